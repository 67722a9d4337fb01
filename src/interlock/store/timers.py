"""What is due by the clock: one row for each kind and reference, fired once.

Whoever fires a timer holds its row and takes it away in the same commit as its effect, so that after a crash
it is due again and after a commit never; several processes skip what another one holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.store.database import Transaction
from interlock.store.schema import timers


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One thing that is due at `due_at` (microseconds). `kind` says what fires it, `ref` what it is about."""

    kind: str
    ref: str
    due_at: int


def put(transaction: Transaction, kind: str, ref: str, due_at: int) -> None:
    """Set a timer, or set it anew."""
    clear(transaction, kind, ref)
    transaction.execute(sa.insert(timers).values(kind=kind, ref=ref, due_at=due_at))


def clear(transaction: Transaction, kind: str, ref: str) -> None:
    """Take a timer away; one that is not set stays so."""
    transaction.execute(sa.delete(timers).where(timers.c.kind == kind, timers.c.ref == ref))


def take(transaction: Transaction) -> Timer | None:
    """Take the timer that has been due longest, or None: its effect belongs into this transaction."""
    due = sa.select(timers).where(timers.c.due_at <= transaction.now).order_by(timers.c.due_at).limit(1)
    row = transaction.execute(due.with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    clear(transaction, row.kind, row.ref)
    return Timer(kind=row.kind, ref=row.ref, due_at=row.due_at)


def next_due(connection: sa.Connection) -> int | None:
    """Return when the next timer is due (microseconds), or None when none is set."""
    found: int | None = connection.execute(sa.select(sa.func.min(timers.c.due_at))).scalar_one()
    return found


def of(connection: sa.Connection, ref: str) -> list[Timer]:
    """Return the timers that are set for `ref`."""
    rows = connection.execute(sa.select(timers).where(timers.c.ref == ref).order_by(timers.c.due_at))
    return [Timer(kind=row.kind, ref=row.ref, due_at=row.due_at) for row in rows]
