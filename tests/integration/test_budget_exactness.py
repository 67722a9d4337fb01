"""The ceiling holds at every instant, whoever spends at once, and the accounts are the sum of the ledger.

Acceptance tests 1 and 3 of budgets: 256 calls at once, and every order of holding, settling, dying and
coming back against the pure model, on the real store (B8, invariant 4).
"""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.core.budget import Account, Granted, answer
from interlock.core.document.spending import Budget
from interlock.core.document.workflow import Workflow
from interlock.core.hold import Hold, HoldState, end
from interlock.store import epochs
from interlock.store.database import Store
from interlock.store.live_accounts import Held
from support.engine import ShiftedClock
from support.money import Purse, a_bundle, a_principal, a_row, balanced

_numbers = count()


@pytest.mark.parametrize("strict", [False, True], ids=["relaxed", "strict"])
def test_256_calls_at_once_on_a_run_with_room_for_ten(
    tmp_path: Path, database_url: str, *, strict: bool
) -> None:
    async def story() -> None:
        bundle = a_bundle(workflow=Budget(run=1_000, day=100_000, strict=strict))
        purse = await Purse.open(tmp_path, database_url, bundle)
        seen: list[int] = []

        async def call(number: int) -> int:
            held = purse.hold(80, 150, attempt=f"att_{number}")
            watch()
            if not isinstance(held, Held):
                return 0
            if await purse.budgets.durable(held) is not None:
                return 0
            await asyncio.sleep(number % 7 / 1_000)
            purse.settle(held, 90 + number % 60)
            watch()
            return 90 + number % 60

        def watch() -> None:
            run = purse.budgets.accounts(a_principal(), purse.clock.now())[0]
            seen.append(run.spent + run.held_max)

        costs = await asyncio.gather(*(call(number) for number in range(256)))
        assert 10 <= sum(cost > 0 for cost in costs) < 256
        assert max(seen) <= 1_500
        books = await purse.books()
        assert {row.spent for row in books.values()} == {sum(costs)}
        read = await purse.store.read(balanced(purse.store))
        assert all(spent == summed for spent, summed in read.values())
        await purse.close()

    asyncio.run(story())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.integers(0, 300), st.integers(0, 300)),
        st.tuples(st.sampled_from(["settle", "release"]), st.integers(0, 9), st.integers(0, 300)),
        st.tuples(st.just("die"), st.just(0), st.just(0)),
    ),
    max_size=14,
)


class Twins:
    """The real budgets of a process, and of those before it that were given up for dead, beside the model."""

    def __init__(self, store: Store, *, strict: bool) -> None:
        self.name = f"orders-{next(_numbers)}"
        budget = Budget(day=1_000, strict=strict)
        self.bundle = a_bundle(Workflow(name=self.name, agent="bot", owner="maria", budget=budget))
        self.store = store
        self.strict = strict
        self.principal = a_principal(f"run of {self.name}", self.name)
        self.purses: list[Purse] = []
        self.held: list[tuple[Purse, Held]] = []
        self.holds: dict[str, Hold] = {}
        self.model: Account | None = None

    async def die(self) -> None:
        """Begin another process, which takes those before it for dead."""
        await self.store.transact(lambda each: epochs.recover(each, "dev", own="", sole=True))
        purse = Purse(self.store, self.bundle, ShiftedClock())
        await purse.budgets.start()
        self.purses.append(purse)
        self.model = self.model or purse.budgets.accounts(self.principal, purse.clock.now())[0]
        for attempt in self.holds:
            self._move(attempt, HoldState.EXPIRED, 0)

    async def hold(self, exp: int, more: int) -> None:
        """Hold in the process that lives: it answers as the model does."""
        assert self.model is not None
        purse, attempt = self.purses[-1], f"{self.name}/{len(self.holds)}"
        said = purse.hold(exp, exp + more, attempt=attempt, by=self.principal)
        fits = isinstance(answer([self.model], exp=exp, most=exp + more), Granted)
        if self.strict:
            assert isinstance(said, Held) == fits
        if isinstance(said, Held):
            assert await purse.budgets.durable(said) is None
            self.held.append((purse, said))
            self.holds[attempt] = Hold(exp=exp, most=exp + more)
            self.model = self.model.with_hold(exp, exp + more)

    def end(self, number: int, state: HoldState, cost: int) -> None:
        """Settle or release a hold, of a process that lives or does not, once or again."""
        if not self.held:
            return
        purse, held = self.held[number % len(self.held)]
        cost = min(cost, held.most)
        row = a_row(self.principal)
        done = (
            purse.budgets.settle(held, cost, row)
            if state is HoldState.SETTLED
            else purse.budgets.release(held)
        )
        assert done == self._move(held.attempt, state, cost)

    def _move(self, attempt: str, state: HoldState, cost: int) -> bool:
        moved = end(self.holds[attempt], state, cost)
        if moved is not None and self.model is not None:
            self.holds[attempt], self.model = moved.hold, self.model.after(moved)
        return moved is not None

    async def check(self) -> None:
        """Let every process write what it knows; compare the disk with the model and with the ledger."""
        assert self.model is not None
        for purse in (*self.purses[:-1], self.purses[-1]):
            for account in purse.budgets._books.accounts.values():
                purse.budgets._books.refresh(account)
            await purse.budgets.flush()
        read = await self.store.read(balanced(self.store))
        spent, summed = next(both for id_, both in read.items() if id_.endswith(self.name))
        assert spent == summed
        assert spent <= self.model.limits.ceiling
        if self.strict:
            assert spent == self.model.spent
        else:
            assert spent >= self.model.spent


async def walk(store: Store, taken: list[tuple[str, int, int]], *, strict: bool) -> None:
    """Take the steps, then end whatever is open and compare for the last time."""
    twins = Twins(store, strict=strict)
    await twins.die()
    for verb, one, other in taken:
        match verb:
            case "hold":
                await twins.hold(one, other)
            case "settle":
                twins.end(one, HoldState.SETTLED, other)
            case "release":
                twins.end(one, HoldState.RELEASED, 0)
            case _:
                await twins.die()
        await twins.check()
    for number in range(len(twins.held)):
        twins.end(number, HoldState.SETTLED, 10)
    await twins.check()
    await twins.check()
    assert twins.model is not None
    account = (await twins.purses[-1].books())["workflow:day"]
    if account.key.name == twins.name:
        assert (account.spent, account.charged) == (twins.model.spent, 0)
    for purse in twins.purses:
        await purse.budgets.close()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps, strict=st.booleans())
def test_whatever_happens_in_whatever_order_disk_and_model_agree(
    store: Store, taken: list[tuple[str, int, int]], *, strict: bool
) -> None:
    asyncio.run(walk(store, taken, strict=strict))
