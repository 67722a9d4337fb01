"""Kills on record: what is stopped, by whom, and which two people let it go on (B5). Functions never commit.

`environment` is empty for a kill of everything: it holds for every environment of the database. The database
itself refuses a resumption that names one person only, unless the row says why one was enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.kill import EVERYTHING, KillLevel, KillOrder, KillSource
from interlock.core.model import Json
from interlock.errors import NotFound, StateConflict
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.schema import kill_reports, kills
from interlock.store.transaction import Transaction

_BODY = msgspec.json.Decoder(dict[str, Json])


class KillState(StrEnum):
    """Where a kill stands. One that is `proposed` to be resumed is still in force."""

    IN_FORCE = "in_force"
    PROPOSED = "proposed"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill. `alone` says why one person was enough to resume it; None where two did."""

    id: str
    environment: str
    subject: str
    level: KillLevel
    reason: str
    source: KillSource
    pressed_by: str
    pressed_at: int
    state: KillState
    proposed_by: str | None
    proposed_at: int | None
    proposed_reason: str | None
    resumed_by: str | None
    resumed_at: int | None
    resumed_reason: str | None
    alone: str | None
    incident: str | None


def record(transaction: Transaction, memory: Memory, order: KillOrder) -> bool:
    """Write a kill down; False where it is on record already."""
    if find(transaction.connection, order.id) is not None:
        return False
    transaction.execute(
        sa.insert(kills).values(
            id=order.id,
            environment="" if order.subject == EVERYTHING else memory.environment,
            subject=order.subject,
            level=order.level.value,
            reason=order.reason,
            source=order.source.value,
            pressed_by=order.by,
            pressed_at=order.at,
            state=KillState.IN_FORCE.value,
        )
    )
    _tell(transaction, memory, order.id, order.subject)
    person = order.by if order.source is KillSource.API else ""  # a file says a name, it proves none
    transaction.audit("kill.pressed", **_about(order.subject), person=person, body=_order_body(order))
    return True


def name_incident(transaction: Transaction, kill: str, incident: str | None) -> None:
    """Say which incident a kill opened."""
    transaction.execute(sa.update(kills).where(kills.c.id == kill).values(incident=incident))


def propose(transaction: Transaction, kill: Kill, *, by: str, reason: str) -> None:
    """Note that a person wants to let it go on. Raises `StateConflict` when somebody did so meanwhile."""
    values = {"proposed_by": by, "proposed_at": transaction.now, "proposed_reason": reason}
    _move(transaction, kill, KillState.PROPOSED, values)
    body = {"kill": kill.id, "reason": reason}
    transaction.audit("kill.resume_proposed", **_about(kill.subject), person=by, body=body)


def resume(transaction: Transaction, memory: Memory, kill: Kill, *, by: str, reason: str, alone: str) -> None:
    """Let it go on; on commit this process refuses no more by it. `alone` says why one person is enough."""
    values: dict[str, Any] = {
        "resumed_by": by,
        "resumed_at": transaction.now,
        "resumed_reason": reason,
        "alone": alone or None,
    }
    if kill.proposed_by is None:
        values |= {"proposed_by": by, "proposed_at": transaction.now, "proposed_reason": reason}
    _move(transaction, kill, KillState.RESUMED, values)
    body = {"kill": kill.id, "reason": reason, "proposed_by": values.get("proposed_by", kill.proposed_by)}
    if alone:
        body["alone"] = alone
    transaction.audit("kill.resumed", **_about(kill.subject), person=by, body=body)
    _tell(transaction, memory, kill.id, kill.subject)
    transaction.on_commit(lambda: memory.lift_kill(kill.id))


def get(connection: sa.Connection, kill: str) -> Kill:
    """Return a kill. Raises `NotFound`."""
    found = find(connection, kill)
    if found is None:
        raise NotFound(f"There is no kill {kill!r}.", hint="interlock kill list")
    return found


def find(connection: sa.Connection, kill: str) -> Kill | None:
    """Return a kill, or None."""
    row = connection.execute(sa.select(kills).where(kills.c.id == kill)).mappings().one_or_none()
    return None if row is None else _kill(row)


def in_force(connection: sa.Connection, environment: str) -> list[Kill]:
    """Return what stands against anything of an environment."""
    query = sa.select(kills).where(
        kills.c.state != KillState.RESUMED.value, kills.c.environment.in_(["", environment])
    )
    return [_kill(row) for row in connection.execute(query.order_by(kills.c.id)).mappings()]


def resumed_for_good(connection: sa.Connection) -> set[str]:
    """Return the kills that were resumed and could be pressed once more: by a file that still lies there, or
    by a budget whose window is still open.
    """
    done = sa.select(kills.c.id).where(
        kills.c.state == KillState.RESUMED.value, kills.c.source != KillSource.API.value
    )
    return set(connection.execute(done).scalars())


def listed(
    connection: sa.Connection, environment: str, *, every: bool = False, before: str = "", limit: int = 50
) -> list[Kill]:
    """Return kills, newest first; resumed ones only if `every` is asked for."""
    query = sa.select(kills).where(kills.c.environment.in_(["", environment]))
    query = query if every else query.where(kills.c.state != KillState.RESUMED.value)
    query = query.where(kills.c.id < before) if before else query
    rows = connection.execute(query.order_by(kills.c.id.desc()).limit(limit))
    return [_kill(row) for row in rows.mappings()]


def put_report(
    transaction: Transaction, kill: str, process: str, environment: str, body: Mapping[str, Json]
) -> None:
    """Write down what a process has made of a kill; a later report takes the place of an earlier one."""
    here = sa.and_(kill_reports.c.kill == kill, kill_reports.c.process == process)
    values = {"at": transaction.now, "body": msgspec.json.encode(body).decode()}
    if not transaction.execute(sa.update(kill_reports).where(here).values(values)).rowcount:
        row = {"kill": kill, "process": process, "environment": environment, **values}
        transaction.execute(sa.insert(kill_reports).values(row))


def reports(connection: sa.Connection, kill: str) -> list[dict[str, Json]]:
    """Return what each process has made of a kill."""
    rows = connection.execute(
        sa.select(kill_reports).where(kill_reports.c.kill == kill).order_by(kill_reports.c.at)
    )
    return [
        {"process": row.process, "environment": row.environment, "at": row.at, **_BODY.decode(row.body)}
        for row in rows
    ]


def _move(transaction: Transaction, kill: Kill, to: KillState, values: Mapping[str, Any]) -> None:
    done = transaction.execute(
        sa.update(kills)
        .where(kills.c.id == kill.id, kills.c.state == kill.state.value)
        .values(state=to.value, **values)
    )
    if done.rowcount != 1:
        raise StateConflict("Somebody else was first.", hint=f"interlock kill show {kill.id}")


def _tell(transaction: Transaction, memory: Memory, kill: str, subject: str) -> None:
    environment = "" if subject == EVERYTHING else memory.environment
    transaction.tell(Topic.KILL, kill, environment=environment)


def _order_body(order: KillOrder) -> dict[str, Json]:
    return {
        "kill": order.id,
        "subject": order.subject,
        "level": order.level.value,
        "reason": order.reason,
        "source": order.source.value,
        "by": order.by,
    }


def _about(subject: str) -> dict[str, str]:
    """Return the columns of the audit log that a subject names."""
    kind, _, name = subject.partition(":")
    return {kind: name} if kind in {"run", "agent", "workflow", "tool"} else {}


def _kill(row: sa.RowMapping) -> Kill:
    values: dict[str, Any] = dict(row)
    values["level"], values["state"] = KillLevel(row["level"]), KillState(row["state"])
    values["source"] = KillSource(row["source"])
    return Kill(**values)
