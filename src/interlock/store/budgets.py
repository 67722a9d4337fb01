"""The owner of admission to money in one process (B2 to B5, B8, B9, invariant 4).

A call is held on every account it is charged to, or on none, between two instructions of the event loop: no
await lies between check and hold. What this process may spend lies in slices that are leased in the
database, so the ceiling holds with several processes, and after any of them died.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from interlock.core.budget import (
    Account,
    BudgetState,
    Busy,
    Clamp,
    Crossed,
    Granted,
    Overrun,
    Refusal,
    Refused,
    TooLarge,
    answer,
    refused,
)
from interlock.core.model import SECOND, Principal
from interlock.core.payer import Line, payers
from interlock.core.window import FOREVER, Window
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.store import accounts as stored
from interlock.store import holds
from interlock.store.books import Books, Work
from interlock.store.database import Store
from interlock.store.live_accounts import Held, LiveAccount
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow

__all__ = ["Budgets", "Held"]

log = logging.getLogger(__name__)

LEASE = 15 * SECOND
"""How long a process that has gone silent keeps its slices."""

NO_RUN = ""
"""Stands for a run where only what all runs of a workflow share is asked about."""

Event = Crossed | Overrun


class _Standing:
    """The accounts of one run, good for one policy and until one of their windows closes."""

    __slots__ = ("accounts", "bundle", "paying", "since", "strict", "until")

    def __init__(self, accounts: tuple[LiveAccount, ...], bundle: object) -> None:
        self.accounts = accounts
        self.paying = accounts, tuple([each.id for each in accounts])
        self.bundle = bundle
        self.strict = any(each.strict for each in accounts)
        keys = [each.payer.key for each in accounts]
        self.since = max((key.start for key in keys), default=0)
        self.until = min((key.resets_at for key in keys), default=FOREVER)


class Budgets:
    """Admission to money. `start` it before the first call, `close` it after the last.

    `on_event` is told in the same tick when an account reaches a state for the first time in its window, and
    when an attempt cost more than it could; also of what an account is found to have reached by others. What
    `alongside` is given is written in the commit of what was settled until then.
    """

    def __init__(self, *, store: Store, memory: Memory, runtime: Runtime, lease: int = LEASE) -> None:
        self._memory = memory
        self._store = store
        self._clock = runtime.clock
        self._scheduler = runtime.scheduler
        self._books = Books(store, runtime, memory.environment, lease=lease)
        self._books.learnt = self._learnt
        self._books.in_use = self._in_use
        self._standings: dict[str, _Standing] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._answers: dict[str, asyncio.Future[str | None]] = {}
        self._catching_up = False
        self.on_event: list[Callable[[Event], None]] = []

    async def start(self) -> None:
        """Charge what dead processes left, learn how the accounts stand and tell it. Raises `StoreError`."""
        await self._books.start()
        self._memory.on_run_over.append(self._run_over)
        self._memory.accounts = lambda principal: self.accounts(principal, self._clock.now())
        for account in self._open():
            self._books.refresh(account)
        await self._books.flush()
        await self._catch_up()

    def alongside(self, work: Callable[[], Work | None]) -> None:
        """Write what `work` returns, if anything, with each commit of what was settled."""
        self._books.alongside = work

    async def close(self) -> None:
        """Write what was settled and return the slices."""
        with suppress(ValueError):
            self._memory.on_run_over.remove(self._run_over)
        await self._books.close()

    def hold(
        self, principal: Principal, attempt: str, *, exp: int, most: int, now: int, least: int | None = None
    ) -> Held | Clamp | Refused:
        """Set money aside for one attempt on all accounts of its run, or say why not. Waits for nothing.

        `least` is what the smallest useful form of the call costs at most: where that fits and `most` does
        not, the answer is a `Clamp`, and the caller holds again. Raises `ValueError` for an attempt that has
        a hold already, or amounts that make no sense.
        """
        held = self.hold_easily(principal, attempt, exp=exp, most=most, now=now)
        if held is not None:
            return held
        standing = self._standing(principal, now)
        said = answer([each.freeze() for each in standing.accounts], exp=exp, most=most, least=least)
        if isinstance(said, Clamp):
            return said
        if not isinstance(said, Granted):
            self._out_of_room(said, principal.run)
            return refused(said)
        held = self._put(standing, principal.run, attempt, exp, most, now)
        held.covered = all(each.open <= each.leased for each in standing.accounts)
        return self._note(self._asked(held, standing), said)

    def hold_easily(
        self, principal: Principal, attempt: str, *, exp: int, most: int, now: int
    ) -> Held | None:
        """Do what `hold` does where no account comes near its limits, or leaves its slice; else None."""
        if attempt in self._books.holds or not 0 <= exp <= most:
            raise ValueError("an attempt is held once, for at least nothing and at most what it can cost")
        standing = self._standing(principal, now)
        for each in standing.accounts:
            if each.likely + exp >= each.calm or each.open + most > each.reach:
                return None
        return self._asked(self._put(standing, principal.run, attempt, exp, most, now), standing)

    def look(
        self, principal: Principal, *, exp: int, most: int, now: int, least: int | None = None
    ) -> Granted | Clamp | Refused:
        """Say what `hold` would answer, and change nothing."""
        said = answer(self.accounts(principal, now), exp=exp, most=most, least=least)
        return said if isinstance(said, Granted | Clamp) else refused(said)

    def accounts(self, principal: Principal, now: int) -> tuple[Account, ...]:
        """Return the accounts that a call is charged to, as they stand; those of other processes as known."""
        return tuple([each.freeze() for each in self._standing(principal, now).accounts])

    def relearn(self, account: str) -> None:
        """Learn soon how an account stands that was changed on disk."""
        known = self._books.accounts.get(account)
        if known is not None:
            self._books.refresh(known)

    def now(self) -> dict[str, Account]:
        """Return every account by its id: those of workflows in their present windows, and of open runs."""
        return {each.id: each.freeze() for each in self._open()}

    async def durable(self, held: Held) -> Refused | None:
        """Return when the call may be sent, or why it may not: then the hold is gone.

        In relaxed mode, within the slices that this process has, it returns at once. Raises `StoreError` when
        the hold cannot be written; the call must not be sent then, and the caller releases it.
        """
        waiting = self._answers.get(held.attempt)
        if waiting is None:
            return None
        without_room = await waiting
        if without_room is None:
            return None
        self.release(held)
        account = next(each for each in held.accounts if each.id == without_room).freeze()
        said = answer([account], exp=held.exp, most=held.most)
        return refused(Busy(account=account) if isinstance(said, Granted | Clamp) else said)

    def settle(self, held: Held, amount: int, row: LedgerRow) -> bool:
        """Turn a hold into what the call cost, in nano-dollars; False when it had ended before.

        `row` is what the caller knows; attempt, cost, holds and accounts are filled in. Raises `ValueError`
        for a negative amount.
        """
        if amount < 0:
            raise ValueError("a cost is never negative")
        if not self._end(held, amount, row):
            return False
        if amount > held.most:
            self._tell(Overrun(attempt=held.attempt, run=held.run, cost=amount, most=held.most))
        return True

    def release(self, held: Held) -> bool:
        """Give a hold back: nothing was sent. False when it had ended before."""
        return self._end(held, 0, None)

    async def freed(self, seconds: float) -> None:
        """Return when a call under way has ended, here or as far as known elsewhere, or after `seconds`."""
        for each in self._books.accounts.values():
            if each.elsewhere:
                self._books.refresh(each)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        alarm = self._scheduler.spawn(self._ring(waiter, seconds), name="end of a wait for money")
        try:
            await waiter
        finally:
            alarm.cancel()
            self._waiting.discard(waiter)

    async def flush(self) -> None:
        """Return when everything that was settled so far is on disk. Raises `StoreError`."""
        await self._books.flush()

    def _put(self, standing: _Standing, run: str, attempt: str, exp: int, most: int, now: int) -> Held:
        held = Held(attempt, run, standing.paying, exp, most, self._books.epoch, now)
        self._books.holds[attempt] = held
        return held

    def _asked(self, held: Held, standing: _Standing) -> Held:
        """Have a hold written down, or covered by larger slices, where it must be."""
        if standing.strict or not held.covered:
            held.journaled = standing.strict
            self._answers[held.attempt] = self._books.ask(held)
        return held

    def _note(self, held: Held, said: Granted) -> Held:
        """Keep how the accounts stand with a hold that brought one near its limits, or out of its slice."""
        held.state, held.would = said.state, said.would
        self._watch(held)
        return held

    def _end(self, held: Held, cost: int, row: LedgerRow | None) -> bool:
        """End a hold that has not ended; one of an earlier epoch is charged already, and corrected later."""
        books = self._books
        if books.holds.get(held.attempt) is not held:
            return False
        crossed = held.end(cost) if held.epoch == books.epoch else False
        books.end(held, cost, row)
        if self._answers:
            self._answers.pop(held.attempt, None)
        if self._waiting:
            self._wake()
        if crossed:
            self._watch(held)
        return True

    def _watch(self, held: Held) -> None:
        for each in held.accounts:
            if each.likely >= each.alarm and (state := each.crossed()) is not None:
                self._tell(Crossed(account=each.freeze(), state=state, run=held.run))

    def _out_of_room(self, said: Refusal, run: str) -> None:
        """Beyond the hard limit, having no room with nothing under way is a halt as well (B5)."""
        account = said.account
        spent_up = account.spent >= account.limits.hard_at and not account.held_max
        if isinstance(said, TooLarge) and spent_up:
            self._tell(Crossed(account=account, state=BudgetState.HALTED, run=run))

    def _tell(self, event: Event) -> None:
        for told in self.on_event:
            told(event)
        self._books.soon()

    def _learnt(self, loud: bool) -> None:
        self._wake()
        if loud and not self._catching_up:
            self._catching_up = True
            self._scheduler.spawn(self._catch_up(), name="what others charged")

    async def _catch_up(self) -> None:
        """Tell what accounts were found to have reached: whoever brought them there may have died before."""
        try:
            loud = [each for each in self._books.accounts.values() if each.loud]
            doubtful = await self._store.read(lambda found: holds.doubtful(found, [each.id for each in loud]))
            for each in loud:
                state = each.crossed(doubtful=doubtful.get(each.id, 0))
                if state is not None:
                    self._tell(Crossed(account=each.freeze(), state=state, run=""))
        except StoreError as error:
            log.warning("what budgets reached waits to be told: %s", error.message)
        finally:
            self._catching_up = False

    def _standing(self, principal: Principal, now: int) -> _Standing:
        standing, bundle = self._standings.get(principal.run), self._memory.bundle
        if standing is None or standing.bundle is not bundle or not standing.since <= now < standing.until:
            facts = self._memory.runs.get(principal.run)
            above = () if facts is None else facts.above
            line = [(principal.run, principal.workflow), *above]
            standing = self._standings[principal.run] = _Standing(self._accounts(line, now), bundle)
        return standing

    def _accounts(self, line: Line, now: int) -> tuple[LiveAccount, ...]:
        bundle, known = self._memory.bundle, self._books.accounts
        found: list[LiveAccount] = []
        for payer in payers(bundle, line, now) if bundle is not None else ():
            if line[0][0] == NO_RUN and payer.key.window is Window.RUN:
                continue
            id_ = stored.id_of(self._memory.environment, payer.key)
            account = known.get(id_)
            if account is None:
                account = known[id_] = LiveAccount(id_, payer)
            elif account.payer != payer:
                account.declare(payer)
            found.append(account)
        return tuple(found)

    def _open(self) -> dict[LiveAccount, None]:
        memory, now = self._memory, self._clock.now()
        lines: list[Line] = [[(NO_RUN, name)] for name in memory.bundle.workflows] if memory.bundle else []
        lines += [[(run, facts.workflow), *facts.above] for run, facts in memory.runs.items() if facts.open]
        return {account: None for line in lines for account in self._accounts(line, now)}

    def _in_use(self) -> set[LiveAccount]:
        return {account for standing in self._standings.values() for account in standing.accounts}

    def _run_over(self, run: str) -> None:
        self._standings.pop(run, None)

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def _ring(self, waiter: asyncio.Future[None], seconds: float) -> None:
        await self._scheduler.sleep(seconds)
        if not waiter.done():
            waiter.set_result(None)
