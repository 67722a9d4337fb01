"""What was raised: one event per alert, subject and period, however often it is true (B3, G1).

The event, its incident and a delivery for everybody who is told are rows of the commit that is about what
happened, so nothing is told that did not happen and nothing happens that is not told. Functions never commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.alert import AlertKind, Severity
from interlock.core.model import Json
from interlock.core.recipient import Address, addresses
from interlock.errors import NotFound
from interlock.store import deliveries, incidents, runbooks
from interlock.store.memory import Memory
from interlock.store.schema import alert_events
from interlock.store.transaction import Transaction

_FACTS = msgspec.json.Decoder(dict[str, Json])
_ONCE = sa.text(
    "INSERT INTO alert_events (id, alert, environment, kind, subject, period, severity, summary, facts, at) "
    "VALUES (:id, :alert, :environment, :kind, :subject, :period, :severity, :summary, :facts, :at) "
    "ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """One event. `period` is the window it is raised once in; `facts` hold no secret and no argument."""

    id: str
    alert: str
    environment: str
    kind: AlertKind
    subject: str
    period: str
    severity: Severity
    summary: str
    facts: Mapping[str, Json]
    at: int
    incident: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What is to be told: `workflow` is the one a run is of, `route` who hears of it instead of the owner.

    `incident` is the one that it belongs to, where what happened has opened one already. `told_by` is the
    event by which people hear of it: then it is on record, and nobody is told twice. In `shadow` nothing
    was halted: it is a ticket at the most, and opens no incident.
    """

    kind: AlertKind
    subject: str
    period: str
    summary: str
    facts: Mapping[str, Json] | None = None
    workflow: str = ""
    route: Sequence[str] = ()
    by: str = ""
    incident: str = ""
    told_by: str = ""
    shadow: bool = False


def raise_alert(transaction: Transaction, memory: Memory, raised: Raised) -> AlertEvent | None:
    """Raise an alert once for its subject and period; None where it was raised before.

    Whoever is to be told has a delivery waiting when this is committed.
    """
    alert = _alert(transaction, memory, raised)
    severity = Severity.TICKET if raised.shadow else alert.severity
    event = transaction.ids.new("evt")
    row = {
        "id": event,
        "alert": alert.id,
        "environment": memory.environment,
        "kind": raised.kind.value,
        "subject": raised.subject,
        "period": raised.period,
        "severity": severity.value,
        "summary": raised.summary,
        "facts": msgspec.json.encode(_facts(raised)).decode(),
        "at": transaction.now,
    }
    if transaction.execute(_ONCE, row).rowcount != 1:
        return None
    if raised.kind.opens_incident and not raised.shadow:
        incident = raised.incident or _open_incident(transaction, memory, raised)
        transaction.execute(
            sa.update(alert_events).where(alert_events.c.id == event).values(incident=incident)
        )
    told = () if raised.told_by else _told(memory, raised, severity)
    for address in told:
        deliveries.enqueue(transaction, memory.environment, event, address)
    body = {"event": event, "alert": raised.kind.value, "subject": raised.subject, "told": len(told)}
    transaction.audit("alert.raised", workflow=raised.workflow, body=body)
    return get(transaction.connection, event)


def _alert(transaction: Transaction, memory: Memory, raised: Raised) -> runbooks.Alert:
    workflow = raised.workflow or raised.subject.removeprefix("workflow:")
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    runbook = "" if compiled is None else compiled.document.runbook or ""
    found = runbooks.alert_for(transaction.connection, memory.environment, raised.kind, runbook)
    if found is None:  # nothing was applied since this program knows of alerts
        runbooks.declare(transaction, memory.environment, ())
        found = runbooks.alert_for(transaction.connection, memory.environment, raised.kind, runbook)
    assert found is not None, "the template has an entry for every kind"
    return found


def _facts(raised: Raised) -> dict[str, Json]:
    return {**(raised.facts or {}), **({"told_by": raised.told_by} if raised.told_by else {})}


def _told(memory: Memory, raised: Raised, severity: Severity) -> tuple[Address, ...]:
    documents = () if memory.bundle is None else memory.bundle.documents
    return addresses(raised.subject, severity, documents, workflow=raised.workflow, route=raised.route)


def _open_incident(transaction: Transaction, memory: Memory, raised: Raised) -> str:
    return incidents.open_one(
        transaction,
        environment=memory.environment,
        kind=raised.kind.value,
        subject=raised.subject,
        summary=raised.summary,
        by=raised.by,
    )


def get(connection: sa.Connection, event: str) -> AlertEvent:
    """Return an event. Raises `NotFound`."""
    query = sa.select(alert_events).where(alert_events.c.id == event)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no alert event {event!r}.", hint="interlock alerts list")
    return _event(row)


def of_undo(connection: sa.Connection, environment: str, action: str) -> AlertEvent | None:
    """Return the latest event about an undo of `action` that failed; its period begins with the action."""
    query = sa.select(alert_events).where(
        alert_events.c.environment == environment,
        alert_events.c.kind == AlertKind.UNDO_FAILED.value,
        alert_events.c.period.startswith(action, autoescape=True),
    )
    row = connection.execute(query.order_by(alert_events.c.id.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else _event(row)


def listed(
    connection: sa.Connection, environment: str, *, kind: str = "", before: str = "", limit: int = 50
) -> list[AlertEvent]:
    """Return events, newest first."""
    query = sa.select(alert_events).where(alert_events.c.environment == environment)
    query = query.where(alert_events.c.kind == kind) if kind else query
    query = query.where(alert_events.c.id < before) if before else query
    rows = connection.execute(query.order_by(alert_events.c.id.desc()).limit(limit))
    return [_event(row) for row in rows.mappings()]


def _event(row: sa.RowMapping) -> AlertEvent:
    values: dict[str, Any] = dict(row)
    values["kind"], values["severity"] = AlertKind(row["kind"]), Severity(row["severity"])
    values["facts"] = _FACTS.decode(row["facts"])
    return AlertEvent(**values)
