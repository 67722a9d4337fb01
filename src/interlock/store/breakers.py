"""Circuit breakers on record, and the signatures that let them go on (E1). Functions never commit.

A breaker has a row once it has counted something or has opened. The database itself keeps one that has opened
from being anything but open without the sign-off of that very opening (invariant 7).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from interlock.core.breaker import Breaker, BreakerKind, Trigger, signed
from interlock.core.model import BreakerState
from interlock.errors import NotFound
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.schema import breaker_sign_offs, breakers
from interlock.store.transaction import Transaction

Subject = tuple[str, str]
_COUNTERS = ("failures", "low_runs", "clean_runs")
_NEW = sa.text(
    "INSERT INTO breakers (environment, kind, name, state, changed_at)"
    " VALUES (:environment, :kind, :name, 'closed', :at) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A breaker as the store knows it: `cause`, `why`, `run` and `starter` are of its latest opening.

    `starter` is who started the run that tripped it; `opened_by` the person who tripped it, or "interlock".
    """

    breaker: Breaker
    cause: Trigger | None
    why: str
    opened_by: str
    run: str
    starter: str
    incident: str | None
    opened_at: int | None
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """A person's signature: which opening, from where to where, and on what evidence."""

    opening: int
    from_state: BreakerState
    to_state: BreakerState
    person: str
    reason: str
    at: int
    incident: str | None
    clean_runs: int


def standing(
    connection: sa.Connection, environment: str, subjects: Iterable[Subject]
) -> dict[Subject, BreakerState]:
    """Return the breakers among `subjects`, each its kind and name, that are not closed on disk."""
    asked = set(subjects)
    query = sa.select(breakers.c.kind, breakers.c.name, breakers.c.state).where(
        breakers.c.environment == environment,
        breakers.c.name.in_(sorted({name for _, name in asked})),
        breakers.c.state != BreakerState.CLOSED.value,
    )
    found = {(row.kind, row.name): BreakerState(row.state) for row in connection.execute(query)}
    return {subject: state for subject, state in found.items() if subject in asked}


def find(connection: sa.Connection, environment: str, kind: BreakerKind, name: str) -> Record | None:
    """Return a breaker, or None where it has neither opened nor counted anything."""
    row = connection.execute(_one(environment, kind, name)).mappings().one_or_none()
    return None if row is None else _record(row)


def get(connection: sa.Connection, environment: str, kind: BreakerKind, name: str) -> Record:
    """Return a breaker. Raises `NotFound`."""
    found = find(connection, environment, kind, name)
    if found is None:
        raise NotFound(
            f"The breaker {kind.value}:{name[:60]} has never opened.", hint="interlock breaker list --all"
        )
    return found


def hold(transaction: Transaction, environment: str, kind: BreakerKind, name: str) -> Record:
    """Return a breaker, given a row if it has none; nobody else changes it before this commit."""
    query = _one(environment, kind, name).with_for_update()
    row = transaction.execute(query).mappings().one_or_none()
    if row is None:
        new = {"environment": environment, "kind": kind.value, "name": name, "at": transaction.now}
        transaction.execute(_NEW, new)
        row = transaction.execute(query).mappings().one()
    return _record(row)


def count(transaction: Transaction, environment: str, breaker: Breaker) -> None:
    """Write the counters of a breaker that is held, and let other processes count on from there."""
    counters = {name: getattr(breaker, name) for name in _COUNTERS}
    _update(transaction, environment, breaker, counters)
    transaction.tell(Topic.BREAKER, breaker.label, environment=environment)


def write_opening(
    transaction: Transaction, environment: str, breaker: Breaker, *, cause: Trigger, why: str, by: str,
    run: str, starter: str, incident: str | None,
) -> None:  # fmt: skip
    """Write that a breaker which is held has opened."""
    counters = {name: getattr(breaker, name) for name in _COUNTERS}
    values = {
        "state": BreakerState.OPEN.value,
        "opening": breaker.opening,
        "signed": None,
        "cause": cause.value,
        "why": why,
        "opened_by": by,
        "run": run,
        "starter": starter,
        "incident": incident,
        "opened_at": transaction.now,
        "changed_at": transaction.now,
    }
    _update(transaction, environment, breaker, {**values, **counters})


def sign(
    transaction: Transaction, memory: Memory, record: Record, to: BreakerState, *, person: str, reason: str
) -> None:
    """Write a person's signature and what it does; on commit this process decides by it."""
    was, now = record.breaker, signed(record.breaker, to)
    transaction.execute(
        sa.insert(breaker_sign_offs).values(
            environment=memory.environment,
            kind=was.kind.value,
            name=was.name,
            opening=was.opening,
            from_state=was.state.value,
            to_state=to.value,
            person=person,
            reason=reason,
            at=transaction.now,
            incident=record.incident,
            clean_runs=was.clean_runs,
        )
    )
    counters = {name: getattr(now, name) for name in _COUNTERS}
    values = {"state": to.value, "signed": to.value, "changed_at": transaction.now, **counters}
    _update(transaction, memory.environment, now, values)
    body = {
        "breaker": was.label,
        "opening": was.opening,
        "from": was.state.value,
        "to": to.value,
        "reason": reason,
        "clean_runs": was.clean_runs,
        "incident": record.incident,
    }
    transaction.audit("breaker.signed_off", **about(was), person=person, body=body)
    transaction.on_commit(lambda: memory.put_breaker(was.subject, to, record.why))
    transaction.tell(Topic.BREAKER, was.label, environment=memory.environment)


def sign_offs(connection: sa.Connection, environment: str, kind: BreakerKind, name: str) -> list[SignOff]:
    """Return the signatures of a breaker, newest first."""
    query = sa.select(breaker_sign_offs).where(
        breaker_sign_offs.c.environment == environment,
        breaker_sign_offs.c.kind == kind.value,
        breaker_sign_offs.c.name == name,
    )
    newest = query.order_by(breaker_sign_offs.c.opening.desc(), breaker_sign_offs.c.at.desc())
    return [
        SignOff(
            opening=row.opening,
            from_state=BreakerState(row.from_state),
            to_state=BreakerState(row.to_state),
            person=row.person,
            reason=row.reason,
            at=row.at,
            incident=row.incident,
            clean_runs=row.clean_runs,
        )
        for row in connection.execute(newest)
    ]


def listed(connection: sa.Connection, environment: str, *, every: bool = False) -> list[Record]:
    """Return what is open or half-open; with `every` also what has opened once. The latest change first."""
    query = sa.select(breakers).where(breakers.c.environment == environment, breakers.c.opening > 0)
    query = query if every else query.where(breakers.c.state != BreakerState.CLOSED.value)
    rows = connection.execute(query.order_by(breakers.c.changed_at.desc(), breakers.c.name))
    return [_record(row) for row in rows.mappings()]


def load(connection: sa.Connection, environment: str) -> list[Record]:
    """Return every breaker that has something to say: not closed, or with failures in a row."""
    telling = sa.or_(breakers.c.state != BreakerState.CLOSED.value, breakers.c.failures > 0)
    query = sa.select(breakers).where(breakers.c.environment == environment, telling)
    return [_record(row) for row in connection.execute(query).mappings()]


def about(breaker: Breaker) -> dict[str, str]:
    """Return the column of the audit log that a breaker names."""
    return {breaker.kind.value: breaker.name}


def open_among(connection: sa.Connection, environment: str, workflows: Collection[str]) -> list[str]:
    """Return which of `workflows` are open."""
    found = standing(connection, environment, ((BreakerKind.WORKFLOW.value, name) for name in workflows))
    return sorted(name for (_, name), state in found.items() if state is BreakerState.OPEN)


def _one(environment: str, kind: BreakerKind, name: str) -> sa.Select[Any]:
    return sa.select(breakers).where(
        breakers.c.environment == environment, breakers.c.kind == kind.value, breakers.c.name == name
    )


def _update(transaction: Transaction, environment: str, breaker: Breaker, values: dict[str, Any]) -> None:
    here = sa.and_(
        breakers.c.environment == environment,
        breakers.c.kind == breaker.kind.value,
        breakers.c.name == breaker.name,
    )
    transaction.execute(sa.update(breakers).where(here).values(values))


def _record(row: sa.RowMapping) -> Record:
    return Record(
        breaker=Breaker(
            kind=BreakerKind(row["kind"]),
            name=row["name"],
            state=BreakerState(row["state"]),
            opening=row["opening"],
            **{name: row[name] for name in _COUNTERS},
        ),
        cause=Trigger(row["cause"]) if row["cause"] else None,
        why=row["why"],
        opened_by=row["opened_by"],
        run=row["run"],
        starter=row["starter"],
        incident=row["incident"],
        opened_at=row["opened_at"],
        changed_at=row["changed_at"],
    )
