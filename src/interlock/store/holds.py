"""Holds that are written down before the call is sent: strict budgets (B8).

A hold moves by compare-and-set on its state, so each amount is given back once, whoever comes first: the
process that settles it, or the one that finds it in what a dead process left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from interlock.core.hold import HoldState
from interlock.store.database import Transaction
from interlock.store.schema import holds, slices

_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRow:
    """One hold on disk. `cost` is what it was settled at, or is charged at since its process died."""

    attempt: str
    epoch: str
    accounts: tuple[str, ...]
    expected: int
    most: int
    state: HoldState
    cost: int = 0


def insert(transaction: Transaction, rows: Sequence[HoldRow]) -> None:
    """Write new holds down."""
    if rows:
        transaction.execute(sa.insert(holds), [_values(row, transaction.now) for row in rows])


def end(transaction: Transaction, attempt: str, frm: HoldState, to: HoldState, *, cost: int = 0) -> bool:
    """End a hold that is in the state `frm`; False when it is not, or was never written down."""
    done = transaction.execute(
        sa.update(holds)
        .where(holds.c.attempt == attempt, holds.c.state == frm.value)
        .values(state=to.value, cost=cost, ended_at=transaction.now)
    )
    return done.rowcount > 0


def active(connection: sa.Connection, epoch: str) -> list[HoldRow]:
    """Return the holds of a process that have not ended."""
    query = sa.select(holds).where(holds.c.epoch == epoch, holds.c.state == HoldState.ACTIVE.value)
    return [_row(row) for row in connection.execute(query.order_by(holds.c.attempt)).mappings()]


def find(connection: sa.Connection, attempt: str) -> HoldRow | None:
    """Return a hold, or None."""
    row = connection.execute(sa.select(holds).where(holds.c.attempt == attempt)).mappings().one_or_none()
    return None if row is None else _row(row)


def uncertain(connection: sa.Connection, accounts: Iterable[str]) -> dict[str, int]:
    """Return what holds that expired are charged at, for those of `accounts` that have any."""
    wanted, amounts = set(accounts), Counter[str]()
    for hold, paid_by in expired(connection):
        amounts.update(dict.fromkeys(wanted.intersection(paid_by), hold.cost))
    return {account: amount for account, amount in amounts.items() if amount}


def expired(connection: sa.Connection) -> list[tuple[HoldRow, tuple[str, ...]]]:
    """Return the holds that expired and whose truth is not known, with the accounts they are charged to."""
    query = sa.select(holds).where(holds.c.state == HoldState.EXPIRED.value).order_by(holds.c.attempt)
    rows = [_row(row) for row in connection.execute(query).mappings()]
    return [(row, charged(connection, row)) for row in rows]


def charged(connection: sa.Connection, row: HoldRow) -> tuple[str, ...]:
    """Return the accounts to which an expired hold is charged: those that go by the journal, not slices."""
    query = sa.select(slices.c.account).where(
        slices.c.epoch == row.epoch, slices.c.journaled == 1, slices.c.account.in_(row.accounts)
    )
    return tuple(connection.execute(query.order_by(slices.c.account)).scalars())


def recharge(transaction: Transaction, attempt: str, cost: int) -> None:
    """Charge less for a hold that expired."""
    transaction.execute(sa.update(holds).where(holds.c.attempt == attempt).values(cost=cost))


def doubtful(connection: sa.Connection, accounts: Iterable[str]) -> dict[str, int]:
    """Return what crashes charged to those of `accounts` that have such a charge; nobody knows its truth."""
    wanted = list(accounts)
    amounts = Counter(uncertain(connection, wanted))
    query = sa.select(slices.c.account, slices.c.charged).where(
        slices.c.account.in_(wanted), slices.c.charged > 0
    )
    for account, amount in connection.execute(query):
        amounts[account] += amount
    return amounts


def _values(row: HoldRow, now: int) -> dict[str, object]:
    return {
        "attempt": row.attempt,
        "epoch": row.epoch,
        "accounts": _json(row.accounts).decode(),
        "expected": row.expected,
        "most": row.most,
        "state": row.state.value,
        "cost": row.cost,
        "held_at": now,
    }


def _row(row: sa.RowMapping) -> HoldRow:
    return HoldRow(
        attempt=row["attempt"],
        epoch=row["epoch"],
        accounts=_TEXTS.decode(row["accounts"]),
        expected=row["expected"],
        most=row["most"],
        state=HoldState(row["state"]),
        cost=row["cost"],
    )
