"""Incidents: work was halted, and a person says why before it is over (B5, G5). Functions never commit."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.errors import NotFound, StateConflict
from interlock.store.schema import incidents
from interlock.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident. `state` is `open` or `closed`."""

    id: str
    environment: str
    kind: str
    subject: str
    state: str
    summary: str
    opened_at: int
    opened_by: str
    closed_at: int | None
    closed_by: str | None
    reason: str | None


def open_one(
    transaction: Transaction, *, environment: str, kind: str, subject: str, summary: str, by: str
) -> str:
    """Open an incident and return its id."""
    incident = transaction.ids.new("inc")
    transaction.execute(
        sa.insert(incidents).values(
            id=incident,
            environment=environment,
            kind=kind,
            subject=subject,
            state="open",
            summary=summary,
            opened_at=transaction.now,
            opened_by=by,
        )
    )
    transaction.audit("incident.opened", body={"incident": incident, "kind": kind, "subject": subject})
    return incident


def close(transaction: Transaction, incident: str, *, by: str, reason: str) -> Incident:
    """Close an open incident. Raises `NotFound`, `StateConflict` when it was closed before."""
    done = transaction.execute(
        sa.update(incidents)
        .where(incidents.c.id == incident, incidents.c.state == "open")
        .values(state="closed", closed_at=transaction.now, closed_by=by, reason=reason)
    )
    found = get(transaction.connection, incident)
    if done.rowcount != 1:
        raise StateConflict(f"The incident {incident} was closed by {found.closed_by}: {found.reason}.")
    transaction.audit("incident.closed", person=by, body={"incident": incident, "reason": reason})
    return found


def get(connection: sa.Connection, incident: str) -> Incident:
    """Return an incident. Raises `NotFound`."""
    row = connection.execute(sa.select(incidents).where(incidents.c.id == incident)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no incident {incident!r}.", hint="interlock incidents list")
    return Incident(**row)


def listed(
    connection: sa.Connection, environment: str, *, state: str = "", before: str = "", limit: int = 50
) -> list[Incident]:
    """Return incidents, newest first; an empty `state` means all."""
    query = sa.select(incidents).where(incidents.c.environment == environment)
    query = query.where(incidents.c.state == state) if state else query
    query = query.where(incidents.c.id < before) if before else query
    rows = connection.execute(query.order_by(incidents.c.id.desc()).limit(limit))
    return [Incident(**row) for row in rows.mappings()]
