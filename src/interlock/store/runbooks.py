"""Runbooks in force, their failure modes, and the alerts that rest on them (G1, invariant 12).

The database itself keeps an alert from existing without a complete entry of its own: a foreign key to it,
and checks that it says something. Nothing is deleted: an alert whose entry is gone from the manifest is
retired, for its events still point at what to do. Functions never commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.alert import TEMPLATE, AlertKind, Severity
from interlock.core.document.runbook import FailureMode, Runbook
from interlock.errors import NotFound
from interlock.store.schema import alerts, failure_modes, runbooks
from interlock.store.transaction import Transaction

_SAID = ("symptoms", "first_action", "escalate_when")
_WITH_ENTRY = sa.select(alerts, *(failure_modes.c[name] for name in _SAID)).join(
    failure_modes,
    sa.and_(
        alerts.c.environment == failure_modes.c.environment,
        alerts.c.runbook == failure_modes.c.runbook,
        alerts.c.failure_mode == failure_modes.c.name,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert and the entry that says what to do about it."""

    id: str
    environment: str
    kind: AlertKind
    severity: Severity
    runbook: str
    entry: FailureMode
    retired: bool


def declare(transaction: Transaction, environment: str, declared: Iterable[Runbook]) -> None:
    """Put the complete ones of `declared` in force, beside the template; alerts of other entries retire."""
    kept = [TEMPLATE, *(each for each in declared if not each.missing)]
    for runbook in kept:
        _put(transaction, runbooks, _row(transaction, environment, runbook))
        for mode in runbook.failure_modes:
            _put(transaction, failure_modes, _mode(environment, runbook.name, mode))
    _keep_alerts(transaction, environment, kept)


def alert_for(connection: sa.Connection, environment: str, kind: AlertKind, runbook: str) -> Alert | None:
    """Return the alert of this kind that rests on `runbook`, or else on the template."""
    known = {
        each.runbook: each
        for each in listed(connection, environment)
        if each.kind is kind and not each.retired
    }
    return known.get(runbook) or known.get(TEMPLATE.name)


def get(connection: sa.Connection, alert: str) -> Alert:
    """Return an alert by its id. Raises `NotFound`."""
    row = connection.execute(_WITH_ENTRY.where(alerts.c.id == alert)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no alert {alert!r}.", hint="interlock alerts rules")
    return _alert(row)


def listed(connection: sa.Connection, environment: str) -> list[Alert]:
    """Return every alert of an environment with its entry."""
    query = _WITH_ENTRY.where(alerts.c.environment == environment).order_by(alerts.c.kind, alerts.c.runbook)
    return [_alert(row) for row in connection.execute(query).mappings()]


def _keep_alerts(transaction: Transaction, environment: str, kept: Iterable[Runbook]) -> None:
    """Have one alert for each entry that is named after one; retire those whose entry is gone."""
    kinds = {kind.mode: kind for kind in AlertKind}
    wanted = {(each.name, mode.name) for each in kept for mode in each.failure_modes if mode.name in kinds}
    there = {(each.runbook, each.entry.name): each for each in listed(transaction.connection, environment)}
    for runbook, mode in sorted(wanted - there.keys()):
        values = {
            "environment": environment,
            "kind": kinds[mode].value,
            "severity": kinds[mode].severity.value,
        }
        own = {"id": transaction.ids.new("alr"), "runbook": runbook, "failure_mode": mode}
        transaction.execute(sa.insert(alerts).values(**values, **own))
    for entry, alert in there.items():
        retired = entry not in wanted
        if alert.retired != retired:
            transaction.execute(sa.update(alerts).where(alerts.c.id == alert.id).values(retired=retired))


def _put(transaction: Transaction, table: sa.Table, row: dict[str, Any]) -> None:
    """Write a row, or write over the one of the same key."""
    here = sa.and_(*(column == row[column.name] for column in table.primary_key.columns))
    if not transaction.execute(sa.update(table).where(here).values(row)).rowcount:
        transaction.execute(sa.insert(table).values(row))


def _row(transaction: Transaction, environment: str, runbook: Runbook) -> dict[str, Any]:
    return {
        "environment": environment,
        "name": runbook.name,
        "owner": runbook.owner,
        "baseline": msgspec.json.encode(runbook.baseline).decode(),
        "escalation": ", ".join(runbook.escalation),
        "rollback": runbook.rollback,
        "applied_at": transaction.now,
    }


def _mode(environment: str, runbook: str, mode: FailureMode) -> dict[str, Any]:
    said = {name: getattr(mode, name) for name in _SAID}
    return {"environment": environment, "runbook": runbook, "name": mode.name, **said}


def _alert(row: sa.RowMapping) -> Alert:
    return Alert(
        id=row["id"],
        environment=row["environment"],
        kind=AlertKind(row["kind"]),
        severity=Severity(row["severity"]),
        runbook=row["runbook"],
        entry=FailureMode(name=row["failure_mode"], **{name: row[name] for name in _SAID}),
        retired=row["retired"],
    )
