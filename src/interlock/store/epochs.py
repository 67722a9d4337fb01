"""Epochs: one process's time as a holder of slices, and what becomes of them when it dies (B8).

An epoch is kept alive by whatever its process commits. Once its lease has passed, another process ends it:
what its slices covered and nobody wrote down is charged in full, a hold that was written down at its most.
The truth, when it comes, replaces the charge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

import sqlalchemy as sa

from interlock.core.hold import HoldState
from interlock.errors import StateConflict
from interlock.store import accounts, holds
from interlock.store.database import Transaction
from interlock.store.schema import epochs, slices


class EpochState(StrEnum):
    """Open while its process lives; `ended` by itself, `lost` when it was given up for dead."""

    OPEN = "open"
    ENDED = "ended"
    LOST = "lost"


class EpochLost(StateConflict):
    """This process was given up for dead: its slices are charged, and it must begin a new epoch."""


def begin(transaction: Transaction, environment: str, lease: int) -> str:
    """Begin an epoch and return its id; `lease` in microseconds."""
    epoch = transaction.ids.new("epo")
    transaction.execute(
        sa.insert(epochs).values(
            id=epoch,
            environment=environment,
            state=EpochState.OPEN.value,
            opened_at=transaction.now,
            lease_until=transaction.now + lease,
        )
    )
    return epoch


def renew(transaction: Transaction, epoch: str, lease: int) -> None:
    """Keep an epoch alive. Raises `EpochLost`."""
    if not _move(transaction, epoch, EpochState.OPEN, lease_until=transaction.now + lease):
        raise EpochLost("This process was given up for dead; its budget slices are charged in full.")


def end(transaction: Transaction, epoch: str) -> None:
    """End an epoch whose slices were returned."""
    _move(transaction, epoch, EpochState.ENDED)


_ALIVE = (
    sa.select(sa.func.count())
    .select_from(epochs)
    .where(epochs.c.environment == sa.bindparam("mine"), epochs.c.state == sa.bindparam("open"))
)


def alive(connection: sa.Connection, environment: str) -> int:
    """Return how many processes hold slices, or may."""
    return connection.execute(_ALIVE, {"mine": environment, "open": EpochState.OPEN.value}).scalar_one()


def recover(transaction: Transaction, environment: str, *, own: str, sole: bool) -> list[str]:
    """End the epochs of dead processes and charge what they left; return them.

    `sole` says that no other process can be alive, whatever its lease.
    """
    query = sa.select(epochs.c.id).where(
        epochs.c.environment == environment, epochs.c.state == EpochState.OPEN.value, epochs.c.id != own
    )
    if not sole:
        query = query.where(epochs.c.lease_until <= transaction.now)
    dead = list(transaction.execute(query.order_by(epochs.c.id).with_for_update()).scalars())
    for epoch in dead:
        _move(transaction, epoch, EpochState.LOST)
        _charge(transaction, epoch)
    return dead


def _charge(transaction: Transaction, epoch: str) -> None:
    held = Counter[str]()
    for each in holds.active(transaction.connection, epoch):
        holds.end(transaction, each.attempt, HoldState.ACTIVE, HoldState.EXPIRED, cost=each.most)
        held.update(dict.fromkeys(each.accounts, each.most))
    amounts: dict[str, tuple[int, int]] = {}
    for row in transaction.execute(sa.select(slices).where(slices.c.epoch == epoch)).all():
        charged = held[row.account] if row.journaled else row.amount
        amounts[row.account] = (charged, -row.amount)
    accounts.charge(transaction, amounts)
    transaction.execute(
        sa.update(slices)
        .where(slices.c.epoch == epoch)
        .values(charged=sa.case((slices.c.journaled == 0, slices.c.amount), else_=0), amount=0)
    )
    charged = {account: spent for account, (spent, _) in sorted(amounts.items()) if spent}
    transaction.audit("budget.charged", body={"epoch": epoch, "cause": "process_died", "charged": charged})


def correct(
    transaction: Transaction,
    epoch: str,
    *,
    still: Mapping[str, int],
    ended: Mapping[str, tuple[HoldState, int]],
    costs: Mapping[str, int],
) -> None:
    """Replace what the end of `epoch` charged by what its process, alive after all, knows.

    `still` is, for each account, what calls under way can cost at most; `ended` are its holds that have
    ended since, and `costs` what new ledger rows charge to each account. Twice does no harm.
    """
    change = Counter(costs)
    for row in transaction.execute(sa.select(slices).where(slices.c.epoch == epoch).with_for_update()).all():
        left = min(row.charged, still.get(row.account, 0))
        change[row.account] += left - row.charged
        _charged(transaction, epoch, row.account, left)
    for attempt, (state, cost) in ended.items():
        row = holds.find(transaction.connection, attempt)
        if row is not None and holds.end(transaction, attempt, HoldState.EXPIRED, state, cost=cost):
            change.subtract(dict.fromkeys(holds.charged(transaction.connection, row), row.cost))
    accounts.charge(transaction, {account: (amount, 0) for account, amount in change.items()})


def uncharge(transaction: Transaction, account: str, keep: int) -> int:
    """Leave at most `keep` of what crashes charged to an account; return what was taken back.

    An expired hold is one call, so what is known of it holds for every account that it was charged to.
    """
    query = sa.select(slices).where(slices.c.account == account, slices.c.charged > 0)
    back = Counter[str]()
    for row in transaction.execute(query.order_by(slices.c.epoch).with_for_update()).all():
        left = min(row.charged, keep)
        keep -= left
        back[account] += row.charged - left
        _charged(transaction, row.epoch, account, left)
    for hold, charged in holds.expired(transaction.connection):
        if account in charged:
            left = min(hold.cost, keep)
            keep -= left
            holds.recharge(transaction, hold.attempt, left)
            back.update(dict.fromkeys(charged, hold.cost - left))
    accounts.charge(transaction, {each: (-taken, 0) for each, taken in back.items()})
    return back[account]


def _charged(transaction: Transaction, epoch: str, account: str, amount: int) -> None:
    transaction.execute(
        sa.update(slices).where(slices.c.epoch == epoch, slices.c.account == account).values(charged=amount)
    )


def _move(transaction: Transaction, epoch: str, to: EpochState, **values: int) -> bool:
    done = transaction.execute(
        sa.update(epochs)
        .where(epochs.c.id == epoch, epochs.c.state == EpochState.OPEN.value)
        .values(state=to.value, **values)
    )
    return done.rowcount > 0
