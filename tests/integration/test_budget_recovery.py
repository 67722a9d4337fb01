"""What a process leaves when it dies is charged at most, until the truth is known: never lost, never twice.

A death is a store that is closed under the budgets: whatever was not committed is gone (B8, invariant 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from interlock.core.bundle import Bundle
from interlock.core.document.spending import Budget
from interlock.core.hold import HoldState
from interlock.core.model import SECOND
from interlock.errors import NotFound, StateConflict
from interlock.services.uncharge import uncharge_account
from interlock.store import holds, model_calls
from interlock.store.live_accounts import Held
from support.money import Purse, a_bundle, balanced, die, expire

RELAXED = a_bundle(workflow=Budget(day=10_000))
STRICT = a_bundle(workflow=Budget(day=10_000, strict=True))
MIXED = a_bundle(workflow=Budget(day=10_000, strict=True), organisation=Budget(month=10_000))


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


async def left_behind(tmp_path: Path, database: str, bundle: Bundle, *, settle: int | None = None) -> int:
    """Hold 100 for a call, die; return the slice that was leased."""
    purse = await Purse.open(tmp_path, database, bundle)
    held = purse.hold(60, 100, attempt="att_lost")
    assert await purse.budgets.durable(held) is None
    if settle is not None:
        purse.settle(held, settle)
    leased = max(row.leased for row in (await purse.books()).values())
    await expire(purse)
    await die(purse)
    return leased


async def is_balanced(purse: Purse) -> bool:
    read = await purse.store.read(balanced(purse.store))
    return all(spent == summed for spent, summed in read.values())


def test_a_relaxed_slice_is_charged_in_full_after_a_crash(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        leased = await left_behind(tmp_path, database_url, RELAXED)
        purse = await Purse.open(tmp_path, database_url, RELAXED)
        row = (await purse.books())["workflow:day"]
        assert (row.spent, row.charged) == (leased, leased)
        assert leased >= 100
        assert await is_balanced(purse)
        await purse.close()

    run(story())


def test_a_person_who_knows_what_was_spent_takes_the_rest_of_the_charge_back(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        leased = await left_behind(tmp_path, database_url, RELAXED)
        purse = await Purse.open(tmp_path, database_url, RELAXED)
        account = (await purse.books())["workflow:day"].id
        stated: dict[str, Any] = {
            "store": purse.store,
            "account": account,
            "keep": 40,
            "reason": "the bill",
            "person": "maria",
        }
        row = await uncharge_account(**stated)
        assert (row.spent, row.charged) == (40, 40)
        purse.budgets.relearn(account)
        await purse.budgets.flush()
        assert purse.budgets.now()[account].spent == 40 < leased
        assert await is_balanced(purse)
        with pytest.raises(StateConflict):
            await uncharge_account(**stated)
        stated["account"] = "nobody's"
        with pytest.raises(NotFound):
            await uncharge_account(**stated)
        await purse.close()

    run(story())


def test_a_strict_hold_is_charged_at_its_most_and_no_more(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        await left_behind(tmp_path, database_url, STRICT)
        purse = await Purse.open(tmp_path, database_url, STRICT)
        row = (await purse.books())["workflow:day"]
        assert (row.spent, row.charged) == (100, 0)
        lost = await purse.store.read(lambda found: holds.find(found, "att_lost"))
        assert lost is not None
        assert (lost.state, lost.cost) == (HoldState.EXPIRED, 100)
        assert await is_balanced(purse)
        await purse.close()

    run(story())


def test_a_strict_hold_that_expired_is_replaced_by_what_a_person_knows_on_all_its_accounts(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        both = Budget(day=10_000, strict=True)
        await left_behind(tmp_path, database_url, a_bundle(workflow=both, organisation=both))
        purse = await Purse.open(tmp_path, database_url, a_bundle(workflow=both, organisation=both))
        account = (await purse.books())["workflow:day"].id
        row = await uncharge_account(
            store=purse.store, account=account, keep=40, reason="the bill", person="maria"
        )
        assert (row.spent, row.charged) == (40, 0)
        assert {each.spent for each in (await purse.books()).values()} == {40}
        assert await is_balanced(purse)
        await purse.close()

    run(story())


@pytest.mark.parametrize("known", [True, False])
def test_a_late_settlement_replaces_what_is_still_charged_for_an_expired_hold(
    tmp_path: Path, postgres_url: str, known: bool
) -> None:
    async def story() -> None:
        slow = await Purse.open(tmp_path / "slow", postgres_url, STRICT, lease=60 * SECOND)
        late = slow.hold(60, 100)
        assert await slow.budgets.durable(late) is None
        await expire(slow)
        other = await Purse.open(tmp_path / "other", postgres_url, STRICT)
        row = (await other.books())["workflow:day"]
        assert row.spent == 100
        if known:
            await uncharge_account(store=other.store, account=row.id, keep=30, reason="seen", person="kim")
        slow.settle(late, 50)
        assert (await slow.books())["workflow:day"].spent == 50
        assert await is_balanced(slow)
        await slow.close()
        await other.close()

    run(story())


def test_an_attempt_that_was_held_anew_before_it_was_written_is_charged_too(tmp_path: Path) -> None:
    async def story() -> None:
        purse = await Purse.open(tmp_path, "", STRICT)
        first = purse.hold(60, 200, attempt="att_lost")
        assert purse.budgets.release(first)
        again = purse.hold(30, 100, attempt="att_lost")
        assert await purse.budgets.durable(again) is None
        await purse.budgets.flush()
        await die(purse)
        purse = await Purse.open(tmp_path, "", STRICT)
        assert (await purse.books())["workflow:day"].spent == 100
        await purse.close()

    run(story())


def test_what_was_settled_and_written_before_the_crash_is_exact(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        await left_behind(tmp_path, database_url, STRICT, settle=42)
        purse = await Purse.open(tmp_path, database_url, STRICT)
        assert (await purse.books())["workflow:day"].spent == 42
        assert await is_balanced(purse)
        await purse.close()

    run(story())


def test_one_call_on_a_strict_and_a_relaxed_account_is_charged_by_the_rule_of_each(tmp_path: Path) -> None:
    async def story() -> None:
        leased = await left_behind(tmp_path, "", MIXED)
        purse = await Purse.open(tmp_path, "", MIXED)
        books = await purse.books()
        assert books["workflow:day"].spent == 100
        assert books["organisation:month"].spent == books["organisation:month"].charged == leased
        assert await is_balanced(purse)
        await purse.close()

    run(story())


def test_an_orderly_end_charges_nothing(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        purse = await Purse.open(tmp_path, database_url, RELAXED)
        await purse.spend(30)
        await purse.close()
        purse = await Purse.open(tmp_path, database_url, RELAXED)
        row = (await purse.books())["workflow:day"]
        assert (row.spent, row.leased, row.charged) == (30, 0, 0)
        await purse.close()

    run(story())


@pytest.mark.parametrize("bundle", [RELAXED, STRICT, MIXED], ids=["relaxed", "strict", "mixed"])
def test_a_process_that_was_given_up_and_lives_replaces_the_charge_by_the_truth(
    tmp_path: Path, postgres_url: str, bundle: Bundle
) -> None:
    async def story() -> None:
        slow = await Purse.open(tmp_path / "slow", postgres_url, bundle, lease=60 * SECOND)
        early, late, unsent = (slow.hold(60, 100) for _ in range(3))
        for each in (early, late, unsent):
            assert await slow.budgets.durable(each) is None
        await expire(slow)
        other = await Purse.open(tmp_path / "other", postgres_url, bundle)
        charged = (await other.books())["workflow:day"].spent
        assert charged >= 300
        slow.settle(early, 42)
        assert (await slow.books())["workflow:day"].spent == 242
        slow.settle(late, 50)
        slow.budgets.release(unsent)
        assert not slow.settle(late, 50)
        assert {row.spent for row in (await slow.books()).values()} == {92}
        assert await is_balanced(slow)
        again = slow.hold(10, 10)
        assert isinstance(again, Held)
        assert await slow.budgets.durable(again) is None
        slow.settle(again, 10)
        assert (await slow.books())["workflow:day"].spent == 102
        await slow.close()
        await other.close()

    run(story())


def test_a_settlement_whose_commit_was_not_answered_counts_once(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        purse = await Purse.open(tmp_path, database_url, RELAXED)
        held = await purse.spend(30)
        await purse.budgets.flush()
        (row,) = await purse.store.read(lambda found: model_calls.of_run(found, held.run))
        assert row.attempt == held.attempt
        await purse.store.transact(lambda each: model_calls.insert(each.connection, [row]))
        assert await is_balanced(purse)
        await purse.close()

    run(story())
