"""What a process writes of its budgets, one round at a time, and how it stays alive in others' eyes (B8).

Settlements gather for a moment; a hold that waits for a larger slice, or to be written down, starts a round
at once. A process that was given up for dead learns it from its next round: it begins a new epoch and
replaces what was charged for it by the truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from interlock.core.model import SECOND
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.store import epochs
from interlock.store.database import Store, Transaction
from interlock.store.epochs import EpochLost
from interlock.store.live_accounts import Held, LiveAccount
from interlock.store.model_calls import LedgerRow
from interlock.store.rounds import Asked, Done, Ended, Round, added, charges, commit

log = logging.getLogger(__name__)

GATHER = 0.04
"""Seconds that settlements gather for before they are written together: less than the journal's window, so
that one commit takes both."""
_RETRY = 0.5

Ending = tuple[Held, int, LedgerRow | None]
Work = Callable[[Transaction], None]


class Books:
    """The accounts of one process and what of them is to be written. `lease` is in microseconds."""

    def __init__(self, store: Store, runtime: Runtime, environment: str, *, lease: int) -> None:
        self._store = store
        self._runtime = runtime
        self._environment = environment
        self._lease = lease
        self.epoch = ""
        self.accounts: dict[str, LiveAccount] = {}
        self.holds: dict[str, Held] = {}
        self.learnt: Callable[[bool], None] = lambda loud: None  # noqa: ARG005 - nobody listens yet
        self.alongside: Callable[[], Work | None] = lambda: None
        self.in_use: Callable[[], set[LiveAccount]] = lambda: set(self.accounts.values())
        self._asked: dict[str, tuple[Held, asyncio.Future[str | None]]] = {}
        self._ended: list[Ending] = []
        self._stale: set[LiveAccount] = set()
        self._lost: set[str] = set()
        self._gathering = self._writing = self._again = self._closed = self._failed = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Charge what dead processes left and begin an epoch. Raises `StoreError`."""
        self.epoch = await self._begin(sole=self._store.alone)
        self._keeper = self._runtime.scheduler.spawn(self._keep(), name="budget slices")

    async def close(self) -> None:
        """Write what has ended, return every slice, end the epoch. What is still held stays charged."""
        self._closed = True
        if not self.epoch:
            return
        if self._keeper is not None:
            self._keeper.cancel()
        try:
            await self.flush()
            await self._round(closing=True)
            if not self.holds:
                await self._store.transact(lambda transaction: epochs.end(transaction, self.epoch))
        except StoreError as error:
            log.warning("budget slices could not be returned: %s", error.message)

    def ask(self, held: Held) -> asyncio.Future[str | None]:
        """Have a hold covered, or written down; the answer is the id of an account without room, or None."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked[held.attempt] = (held, answer)
        self._go()
        return answer

    def end(self, held: Held, cost: int, row: LedgerRow | None) -> None:
        """Note that a hold has ended; `row` None says that it was released."""
        del self.holds[held.attempt]
        asked = self._asked.pop(held.attempt, None) if self._asked else None
        if asked is not None and not asked[1].done():
            asked[1].set_result(None)
        written = asked is None and (held.journaled or held.epoch != self.epoch)
        if row is not None or written:
            self._ended.append((held, cost, row))
            self.soon()
        elif any(each.tight for each in held.accounts):
            self.soon()

    def refresh(self, account: LiveAccount) -> None:
        """Learn soon how an account stands."""
        self._stale.add(account)
        self.soon()

    async def flush(self) -> None:
        """Write everything that has ended so far. Raises `StoreError`."""
        while self._writing:
            await self._runtime.scheduler.sleep(GATHER)
        self._again = self._writing = True  # two rounds at once would take each other's work
        try:
            while self._again or self._ended:
                self._again = False
                await self._round()
        finally:
            self._writing = False
            if self._again:
                self._go()

    def soon(self, seconds: float = GATHER) -> None:
        """Have a round begin in a moment."""
        if not self._gathering:
            self._gathering = True
            self._runtime.scheduler.spawn(self._gather(seconds), name="budget settlements")

    async def _gather(self, seconds: float) -> None:
        await self._runtime.scheduler.sleep(seconds)
        self._gathering = False
        self._go()

    def _go(self) -> None:
        self._again = not self._closed
        if self._again and not self._writing:
            self._writing = True
            self._runtime.scheduler.spawn(self._rounds(), name="budget round")

    async def _rounds(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._round()
        except StoreError as error:
            log.warning("settlements of budgets wait: %s", error.message)
            self.soon(_RETRY)
        finally:
            self._writing = False

    async def _round(self, *, closing: bool = False) -> None:
        """Write what has gathered. Raises `StoreError`; what has ended is kept, what was asked is told."""
        asked, self._asked = self._asked, {}
        ended, self._ended = self._ended, []
        late = [each for each in ended if each[0].epoch != self.epoch]
        self._stale.update(account for held, _, _ in late for account in held.accounts)
        settled = [each for each in ended if each[0].epoch == self.epoch]
        stale, given = (
            set(self._stale),
            self._drawn_up([held for held, _ in asked.values()], settled, closing),
        )
        told = None if self._failed else self.alongside()  # what cannot be told must not stop the money
        try:
            await self._correct(late)
            done = await self._store.transact(partial(_committed, given=given, told=told))
        except EpochLost:
            self._ended, self._asked = [*ended, *self._ended], asked | self._asked
            await self._begin_anew()
            return
        except Exception as error:
            self._failed = told is not None
            self._ended = [*ended, *self._ended]
            for _, answer in asked.values():
                if not answer.done():
                    answer.set_exception(error)
            raise
        self._failed = False
        self._stale -= stale
        loud = self._learn(done, given)
        for held, answer in asked.values():
            held.covered = held.attempt not in done.refused
            if not answer.done():
                answer.set_result(done.refused.get(held.attempt))
        self.learnt(loud)

    def _drawn_up(self, asked: list[Held], settled: list[Ending], closing: bool) -> Round:
        """Return what the next round does, and stop using at once what it returns."""
        ended = tuple([_ended(*each) for each in settled])
        costs, waiting = _costs(ended), added((held.ids, held.most) for held in asked)
        idle = {
            each for each in self.accounts.values() if each.leased and (closing or each.quiet or each.tight)
        }
        touched = idle.union(
            self._stale, *(held.accounts for held in asked), *(held.accounts for held, _, _ in settled)
        )
        for each in idle:
            each.give_back()
            each.quiet = False
        return Round(
            environment=self._environment,
            epoch=self.epoch,
            lease=self._lease,
            payers={each.id: each.payer for each in touched},
            new=frozenset(each.id for each in touched if not each.stored),
            needed={each.id: each.open - costs[each.id] - waiting[each.id] for each in touched},
            asked=tuple(_asked(held) for held in asked),
            ended=ended,
            idle=frozenset(each.id for each in idle),
        )

    def _learn(self, done: Done, given: Round) -> bool:
        """Take what a round found; say whether an account has reached what has not been told."""
        loud, written = False, _costs(given.ended)
        for id_, position in done.positions.items():
            account = self.accounts.get(id_)
            if account is not None:
                account.learn(position, written=written[id_], processes=done.processes)
                loud = loud or account.loud
        return loud

    async def _begin(self, *, sole: bool) -> str:
        """Begin an epoch, after charging what dead processes left."""

        def work(transaction: Transaction) -> str:
            epochs.recover(transaction, self._environment, own=self.epoch, sole=sole)
            return epochs.begin(transaction, self._environment, self._lease)

        return await self._store.transact(work)

    async def _begin_anew(self) -> None:
        """Go on after this process was given up for dead: what is under way is covered by the charge."""
        lost, self.epoch = self.epoch, await self._begin(sole=False)
        log.warning("this process was given up for dead; its budgets begin anew")
        for account in self.accounts.values():
            account.begin_anew()
            self._stale.add(account)
        for held in self.holds.values():
            if held.attempt in self._asked:
                held.epoch = self.epoch
            elif held.epoch == lost:
                held.end(0)
        self._lost.add(lost)
        self._again = True

    async def _correct(self, late: list[Ending]) -> None:
        """Replace what the ends of earlier epochs of this process charged by what is known now."""
        for epoch in self._lost.union(held.epoch for held, _, _ in late):
            ended = [_ended(*each) for each in late if each[0].epoch == epoch]
            still = Counter[str]()
            for held in self.holds.values():
                if held.epoch == epoch:
                    still.update(dict.fromkeys(held.ids, held.most))
            await self._store.transact(partial(_corrected, epoch=epoch, ended=ended, still=still))
            self._lost.discard(epoch)

    async def _keep(self) -> None:
        """Stay alive, return what nobody uses, and end the epochs of processes that died."""
        while True:
            await self._runtime.scheduler.sleep(self._lease / SECOND / 3)
            unused = self._sweep()
            try:
                if not self._store.alone:
                    await self._store.transact(self._recovered)
            except StoreError as error:
                log.warning("the budgets of dead processes wait: %s", error.message)
            if unused or not self._store.alone:
                self._go()

    def _sweep(self) -> bool:
        """Mark the slices that nobody uses, forget the accounts that nobody asks for; True for the former."""
        in_use, unused = self.in_use(), False
        for account in list(self.accounts.values()):
            account.quiet = account.idle
            unused = unused or (account.quiet and account.leased > 0)
            if account.quiet and not account.leased and account not in in_use:
                del self.accounts[account.id]
        return unused

    def _recovered(self, transaction: Transaction) -> None:
        epochs.recover(transaction, self._environment, own=self.epoch, sole=False)


def _committed(transaction: Transaction, *, given: Round, told: Work | None) -> Done:
    done = commit(transaction, given)
    if told is not None:
        told(transaction)
    return done


def _costs(ended: Iterable[Ended]) -> Counter[str]:
    """Return what comes to each account of what was paid for; a hold that was released comes to nothing."""
    return added((each.accounts, each.cost) for each in ended if each.row is not None)


def _asked(held: Held) -> Asked:
    return Asked(
        attempt=held.attempt, accounts=held.ids, exp=held.exp, most=held.most, journaled=held.journaled
    )


def _ended(held: Held, cost: int, row: LedgerRow | None) -> Ended:
    return Ended(
        attempt=held.attempt, accounts=held.ids, exp=held.exp, most=held.most, journaled=held.journaled,
        cost=cost, row=row,
    )  # fmt: skip


def _corrected(transaction: Transaction, *, epoch: str, ended: list[Ended], still: Counter[str]) -> None:
    moves = {each.attempt: (each.state, each.cost) for each in ended if each.journaled}
    epochs.correct(transaction, epoch, still=still, ended=moves, costs=charges(transaction, ended))
