"""Money is held on every account or on none, and what is on disk is what was spent (B2 to B5, B8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.core.budget import BudgetState, Clamp, Crossed, Overrun, Refused
from interlock.core.document.spending import Budget
from interlock.core.model import DAY, SECOND, OnHard
from interlock.store.live_accounts import Held
from support.money import Purse, a_bundle, a_principal, balanced

FOUR = {
    "workflow": Budget(run=1_000, day=5_000),
    "agent": Budget(day=8_000),
    "organisation": Budget(month=20_000),
}


@asynccontextmanager
async def a_purse(tmp_path: Path, database: str, **budgets: Budget) -> AsyncGenerator[Purse]:
    purse = await Purse.open(tmp_path, database, a_bundle(**(budgets or FOUR)))
    try:
        yield purse
    finally:
        await purse.close()


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def used(held: Held | Clamp | Refused) -> int:
    """How much of the most used account of a hold is used now, per mille."""
    assert isinstance(held, Held)
    return max(each.freeze().used for each in held.accounts)


def test_a_call_is_charged_to_every_account_and_the_ledger_agrees(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, database_url) as purse:
            held = purse.hold(30, 100)
            assert isinstance(held, Held)
            assert await purse.budgets.durable(held) is None
            assert purse.settle(held, 42)
            books = await purse.books()
            assert {name: row.spent for name, row in books.items()} == {
                "run:run": 42,
                "workflow:day": 42,
                "agent:day": 42,
                "organisation:month": 42,
            }
            read = await purse.store.read(balanced(purse.store))
            assert all(spent == summed for spent, summed in read.values())

    run(story())


def test_a_call_is_held_on_all_accounts_or_on_none(tmp_path: Path) -> None:
    async def story() -> None:
        tight = {"workflow": Budget(run=1_000), "team": Budget(day=100)}
        async with a_purse(tmp_path, "", **tight) as purse:
            said = purse.hold(10, 151)
            assert isinstance(said, Refused)
            assert (said.code, said.scope) == ("request_exceeds_budget", "team desk, per day")
            now = purse.clock.now()
            assert [each.held_max for each in purse.budgets.accounts(a_principal(), now)] == [0, 0]
            assert purse.hold(10, 500, least=20) == Clamp(
                most=150, account=purse.budgets.accounts(a_principal(), now)[1]
            )

    run(story())


def test_a_hold_is_settled_or_released_once(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, database_url) as purse:
            kept, given_back = purse.hold(5, 50), purse.hold(5, 50)
            for held in (kept, given_back):
                assert await purse.budgets.durable(held) is None
            assert purse.settle(kept, 7)
            assert not purse.settle(kept, 7)
            assert not purse.budgets.release(kept)
            assert purse.budgets.release(given_back)
            assert not purse.settle(given_back, 9)
            books = await purse.books()
            assert {row.spent for row in books.values()} == {7}
            read = await purse.store.read(balanced(purse.store))
            assert all(spent == summed for spent, summed in read.values())

    run(story())


def test_what_is_relaxed_costs_no_commit_before_the_call_and_what_is_strict_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path / "a", "", workflow=Budget(day=10_000)) as purse:
            await purse.spend(10)
            await purse.budgets.flush()
            later = purse.hold(10, 10)
            assert later.covered
            assert not later.journaled
            purse.budgets.release(later)
        async with a_purse(tmp_path / "b", "", workflow=Budget(day=10_000, strict=True)) as purse:
            await purse.spend(10)
            await purse.budgets.flush()
            later = purse.hold(10, 10)
            assert later.journaled
            assert await purse.budgets.durable(later) is None
            purse.budgets.release(later)

    run(story())


def test_however_many_calls_come_at_once_none_waits_for_a_slice_once_they_come(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(day=1_000_000)) as purse:
            for covered in (0, 200):
                holds: list[Held] = [purse.hold(10, 10) for _ in range(200)]
                assert sum(each.covered for each in holds) == covered
                for each in holds:
                    await purse.budgets.durable(each)
                    purse.settle(each, 10)
                await purse.budgets.flush()

    run(story())


def test_soft_hard_and_kill_are_told_once_each_in_the_same_tick(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(run=100)) as purse:
            told: list[Any] = []
            purse.budgets.on_event.append(told.append)
            states = [(await purse.spend(25)).state for _ in range(6)]
            assert states == [
                BudgetState.OK,
                BudgetState.OK,
                BudgetState.SOFT,
                BudgetState.SOFT,
                BudgetState.DEGRADED,
                BudgetState.DEGRADED,
            ]
            assert [each.state for each in told] == [
                BudgetState.SOFT,
                BudgetState.DEGRADED,
                BudgetState.HALTED,
            ]
            assert all(isinstance(each, Crossed) and each.run == "run_1" for each in told)
            refused = purse.hold(1, 1)
            assert isinstance(refused, Refused)
            assert (refused.code, refused.transient) == ("run_halted", False)

    run(story())


def test_a_refusal_that_holds_alone_caused_is_transient_and_ends_with_a_settlement(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(run=100)) as purse:
            held = purse.hold(1, 150)
            assert held.state is BudgetState.OK
            refused = purse.hold(1, 10)
            assert isinstance(refused, Refused)
            assert (refused.code, refused.transient) == ("budget_inflight", True)
            waiting = asyncio.ensure_future(purse.budgets.freed(5))
            await asyncio.sleep(0)
            await purse.budgets.durable(held)
            purse.settle(held, 2)
            await asyncio.wait_for(waiting, 1)
            assert isinstance(purse.hold(1, 10), Held)

    run(story())


def test_a_budget_that_never_degrades_refuses_at_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(run=100, on_hard=OnHard.NEVER)) as purse:
            await purse.spend(100)
            refused = purse.hold(1, 1)
            assert isinstance(refused, Refused)
            assert refused.code == "budget_exhausted"

    run(story())


def test_a_shadow_budget_records_and_refuses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(run=100, shadow=True)) as purse:
            await purse.spend(500)
            held = await purse.spend(500)
            assert held.state is BudgetState.OK
            assert type(held.would).__name__ == "Killed"
            assert (await purse.books())["run:run"].spent == 1_000

    run(story())


def test_a_call_that_cost_more_than_it_could_is_charged_and_reported(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, database_url, workflow=Budget(run=1_000)) as purse:
            told: list[Any] = []
            purse.budgets.on_event.append(told.append)
            held = purse.hold(10, 20, attempt="att_over")
            assert await purse.budgets.durable(held) is None
            purse.settle(held, 500)
            assert told == [Overrun(attempt="att_over", run="run_1", cost=500, most=20)]
            assert (await purse.books())["run:run"].spent == 500
            await purse.spend(100)
            books = await purse.books()
            assert (books["run:run"].spent, books["run:run"].leased >= 0) == (600, True)

    run(story())


def test_a_window_starts_anew_and_a_clock_that_steps_back_finds_the_old_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(day=100)) as purse:
            today = purse.clock.now() // DAY * DAY
            await purse.spend(100, now=today + DAY - 1)
            tomorrow = await purse.spend(30, now=today + DAY)
            assert used(tomorrow) == 300
            back = purse.hold(10, 10, now=today + DAY - 5)
            assert used(back) == 1_100
            purse.budgets.release(back)

    run(story())


def test_what_was_spent_is_known_after_a_restart(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, database_url, workflow=Budget(day=100)) as purse:
            await purse.spend(60)
        async with a_purse(tmp_path, database_url, workflow=Budget(day=100)) as purse:
            assert used(await purse.spend(15)) == 750
            assert (await purse.books())["workflow:day"].leased <= 75

    run(story())


def test_a_raised_limit_counts_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_purse(tmp_path, "", workflow=Budget(run=100)) as purse:
            await purse.spend(150)
            assert isinstance(purse.hold(1, 1), Refused)
            purse.memory.put_bundle(a_bundle(workflow=Budget(run=1_000)))
            assert (await purse.spend(10)).state is BudgetState.OK

    run(story())


def test_a_closed_store_lets_nothing_be_sent_that_no_slice_covers(tmp_path: Path) -> None:
    async def story() -> None:
        from interlock.errors import StoreUnavailable

        async with a_purse(tmp_path, "", workflow=Budget(run=100)) as purse:
            await purse.store.close()
            held = purse.hold(1, 1)
            with pytest.raises(StoreUnavailable):
                await purse.budgets.durable(held)
            assert purse.budgets.release(held)

    run(story())


def test_a_slice_that_nobody_uses_is_returned(tmp_path: Path) -> None:
    async def story() -> None:
        purse = await Purse.open(tmp_path, "", a_bundle(workflow=Budget(day=10_000)), lease=SECOND // 10)
        held = purse.hold(10, 10)
        assert await purse.budgets.durable(held) is None
        leased = (await purse.books())["workflow:day"].leased  # a slice that is held for a call stays
        purse.settle(held, 10)
        for _ in range(50):
            await asyncio.sleep(0.02)
            if not (await purse.books())["workflow:day"].leased:
                break
        row = (await purse.books())["workflow:day"]
        assert (leased > 0, row.leased, row.spent) == (True, 0, 10)
        await purse.spend(10)
        assert (await purse.books())["workflow:day"].spent == 20
        await purse.close()

    run(story())
