"""One commit of a process's books: what was settled, which slices grow, which holds are written down (B8).

All that has gathered since the last round goes into one transaction, so one flush serves many calls. A round
that was committed and not answered may be repeated: the ledger knows each attempt, so nothing counts twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from interlock.core.hold import HoldState
from interlock.core.model import value
from interlock.core.payer import Payer
from interlock.core.slice import Position, covering, returned, settled, topped_up
from interlock.store import accounts, epochs, holds, model_calls
from interlock.store.database import Transaction
from interlock.store.holds import HoldRow
from interlock.store.model_calls import LedgerRow

Positions = dict[str, Position]


@value
class Asked:
    """A hold that waits for this commit: its slices are too small, or it is to be written down."""

    attempt: str
    accounts: tuple[str, ...]
    exp: int
    most: int
    journaled: bool


@value
class Ended:
    """An attempt that is over. `row` is what the caller knows of it; None for one that was released."""

    attempt: str
    accounts: tuple[str, ...]
    exp: int
    most: int
    journaled: bool
    cost: int = 0
    row: LedgerRow | None = None

    @property
    def state(self) -> HoldState:
        """How it ended."""
        return HoldState.RELEASED if self.row is None else HoldState.SETTLED

    def ledger_row(self) -> LedgerRow | None:
        """Return its row as the ledger keeps it: what it cost and what was held for it are ours to say."""
        if self.row is None:
            return None
        return msgspec.structs.replace(
            self.row, attempt=self.attempt, cost=self.cost, held_exp=self.exp, held_max=self.most,
            accounts=self.accounts,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one commit is to do. `needed` is what each slice must go on covering; `idle` ones are returned."""

    environment: str
    epoch: str
    lease: int
    payers: Mapping[str, Payer]
    new: frozenset[str] = frozenset()
    needed: Mapping[str, int] = field(default_factory=dict[str, int])
    asked: tuple[Asked, ...] = ()
    ended: tuple[Ended, ...] = ()
    idle: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a round did: where the accounts stand now, and which attempts found no room in which account."""

    positions: Mapping[str, Position]
    refused: Mapping[str, str]
    processes: int


def commit(transaction: Transaction, given: Round) -> Done:
    """Do it all. Raises `EpochLost` when this process was given up for dead."""
    epochs.renew(transaction, given.epoch, given.lease)
    accounts.create(transaction, given.environment, {each: given.payers[each] for each in given.new})
    limits = {each: payer.limits for each, payer in given.payers.items()}
    positions = {
        each: replace(position, needed=given.needed.get(each, 0))
        for each, position in accounts.lock(transaction, given.epoch, limits).items()
    }
    for account, cost in charges(transaction, given.ended).items():
        positions[account] = settled(positions[account], cost)
    refused = _cover(positions, given.asked)
    processes = epochs.alive(transaction.connection, given.environment)
    _top_up(positions, given, processes)
    for each in given.idle:
        positions[each] = returned(positions[each])
    accounts.write(transaction, given.epoch, positions, given.payers)
    _journal(transaction, given, refused)
    return Done(positions=positions, refused=refused, processes=processes)


def charges(transaction: Transaction, ended: Iterable[Ended]) -> Counter[str]:
    """Append what has ended to the ledger; return what that adds to each account."""
    rows = [row for each in ended if (row := each.ledger_row()) is not None]
    new = model_calls.insert(transaction.connection, rows)
    return added((row.accounts, row.cost) for row in new)


def added(amounts: Iterable[tuple[tuple[str, ...], int]]) -> Counter[str]:
    """Return what comes to each account of amounts that count on several, those of one run on the same."""
    alike: dict[tuple[str, ...], int] = {}
    for paying, amount in amounts:
        alike[paying] = alike.get(paying, 0) + amount
    sums = Counter[str]()
    for paying, amount in alike.items():
        for account in paying:
            sums[account] += amount
    return sums


def _cover(positions: Positions, asked: Iterable[Asked]) -> dict[str, str]:
    """Grow slices until they cover what is asked, each attempt on all its accounts or on none."""
    for each, position in positions.items():
        positions[each] = covering(position, 0) or position  # a call that cost more than its most left a gap
    refused: dict[str, str] = {}
    for hold in asked:
        grown: Positions = {}
        for account in hold.accounts:
            larger = covering(positions[account], hold.most)
            if larger is None:
                refused[hold.attempt] = account
                break
            grown[account] = larger
        else:
            positions.update(grown)
    return refused


def _top_up(positions: Positions, given: Round, processes: int) -> None:
    """Grow slices for as many calls as this round has seen, so that those to come need not ask."""
    seen = [(each.accounts, each.most) for each in (*given.asked, *given.ended)]
    calls, dearest = added((each, 1) for each, _ in seen), dict[tuple[str, ...], int]()
    for paying, most in seen:
        if most > dearest.get(paying, -1):
            dearest[paying] = most
    for account, times in calls.items():
        positions[account] = topped_up(
            positions[account],
            limit=given.payers[account].limits.limit,
            most=max(most for paying, most in dearest.items() if account in paying),
            processes=processes,
            calls=times,
        )


def _journal(transaction: Transaction, given: Round, refused: Mapping[str, str]) -> None:
    rows = [
        HoldRow(
            attempt=each.attempt, epoch=given.epoch, accounts=each.accounts, expected=each.exp,
            most=each.most, state=HoldState.ACTIVE,
        )
        for each in given.asked
        if each.journaled and each.attempt not in refused
    ]  # fmt: skip
    holds.insert(transaction, rows)
    for each in given.ended:
        if each.journaled:
            holds.end(transaction, each.attempt, HoldState.ACTIVE, each.state, cost=each.cost)
