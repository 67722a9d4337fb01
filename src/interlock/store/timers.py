"""What is due by the clock: one row for each kind and reference, fired once.

Whoever fires a timer holds its row and takes it away in the same commit as its effect, so that after a crash
it is due again and after a commit never; several processes skip what another one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.store.database import Transaction
from interlock.store.prepared import Prepared
from interlock.store.schema import timers

_ENSURE = Prepared(
    sa.text(
        "INSERT INTO timers (kind, ref, due_at, environment) VALUES (:kind, :ref, :due_at, :environment)"
        " ON CONFLICT DO NOTHING"
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One thing that is due at `due_at` (microseconds). `kind` says what fires it, `ref` what it is about."""

    kind: str
    ref: str
    due_at: int


def put(transaction: Transaction, kind: str, ref: str, due_at: int) -> None:
    """Set a timer, or set it anew."""
    clear(transaction, kind, ref)
    row = {"kind": kind, "ref": ref, "due_at": due_at, "environment": transaction.environment}
    transaction.execute(sa.insert(timers).values(row))


def ensure(transaction: Transaction, kind: str, ref: str, due_at: int) -> None:
    """Set a timer, unless it is set already: then it stays due when it was."""
    _ENSURE.run(
        transaction.connection,
        {"kind": kind, "ref": ref, "due_at": due_at, "environment": transaction.environment},
    )


def clear(transaction: Transaction, kind: str, ref: str) -> None:
    """Take a timer away; one that is not set stays so."""
    transaction.execute(sa.delete(timers).where(timers.c.kind == kind, timers.c.ref == ref))


def postpone(transaction: Transaction, timer: Timer, by: int) -> None:
    """Let `timer` be due again in `by` microseconds, unless it was taken or set anew meanwhile."""
    transaction.execute(
        sa.update(timers)
        .where(timers.c.kind == timer.kind, timers.c.ref == timer.ref, timers.c.due_at == timer.due_at)
        .values(due_at=transaction.now + by)
    )


def take(transaction: Transaction, kinds: Sequence[str]) -> Timer | None:
    """Take the timer of any of `kinds` that has been due longest, or None.

    Its effect belongs into this transaction. What another process is firing is passed over, and what belongs
    to another environment on this database is not seen.
    """
    due = (
        sa.select(timers)
        .where(
            timers.c.due_at <= transaction.now,
            timers.c.kind.in_(kinds),
            timers.c.environment == transaction.environment,
        )
        .order_by(timers.c.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = transaction.execute(due).one_or_none()
    if row is None:
        return None
    clear(transaction, row.kind, row.ref)
    return Timer(kind=row.kind, ref=row.ref, due_at=row.due_at)


def next_due(connection: sa.Connection, kinds: Sequence[str]) -> int | None:
    """Return when the next timer of any of `kinds` is due (microseconds), or None when none is set."""
    found: int | None = connection.execute(
        sa.select(sa.func.min(timers.c.due_at)).where(timers.c.kind.in_(kinds))
    ).scalar_one()
    return found


def of(connection: sa.Connection, ref: str) -> list[Timer]:
    """Return the timers that are set for `ref`."""
    rows = connection.execute(sa.select(timers).where(timers.c.ref == ref).order_by(timers.c.due_at))
    return [Timer(kind=row.kind, ref=row.ref, due_at=row.due_at) for row in rows]
