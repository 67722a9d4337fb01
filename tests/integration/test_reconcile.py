"""A provider's bill is held against the ledger; what differs is booked once, and nothing is changed (B8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interlock.core.document.spending import Budget
from interlock.core.model import DAY
from interlock.core.reconciliation import Standing
from interlock.errors import UsageError
from interlock.services.reconcile import Reconciled, book, reconcile
from interlock.store import model_calls
from interlock.store.database import Store
from interlock.store.model_calls import LedgerRow
from interlock.store.spendings import Spending, spendings
from support.engine import ShiftedClock
from support.ledger import a_row
from support.money import Purse, a_bundle, a_principal, balanced

MONDAY = 20_000
NANO = 10**9
MONTHLY = Budget(month=100 * NANO)


def rows() -> list[LedgerRow]:
    """Return a day of two workflows; the second one's usage is a guess."""
    at: dict[str, Any] = {"started_at": MONDAY * DAY + 5, "ended_at": MONDAY * DAY + 6}
    return [
        a_row(cost=NANO, input_uncached=100, output=50, **at),
        a_row(cost=3 * NANO, workflow="orders", customer="acme", usage_source="estimated", **at),
        a_row(cost=1 * NANO, workflow="drafts", usage_source="uncertain", **at),
        a_row(cost=2 * NANO, served_model="gpt-5-mini", **at),
    ]


def a_bill(dollars: str, model: str = "gpt-5") -> str:
    return f"date,model,cost_usd\n2024-10-04,{model},{dollars}\n"


def held_against(store: Store, export: str, *, provider: str = "", apply: bool = False) -> Reconciled:
    async def story() -> Reconciled:
        if apply:
            return await book(store, export, provider=provider, environment="dev", by="maria")
        return await reconcile(store, export, provider=provider, now=(MONDAY + 9) * DAY)

    return asyncio.run(story())


def by_workflow(store: Store) -> dict[str, int]:
    def work(connection: Any) -> list[Spending]:
        return spendings(connection, ["workflow"], since=0, until=(MONDAY + 9) * DAY)

    return {each.group[0]: each.cost for each in asyncio.run(store.read(work))}


@pytest.fixture
def ledger(store: Store) -> Store:
    """A store whose ledger has one day."""
    asyncio.run(store.transact(lambda each: model_calls.insert(each.connection, rows())))
    return store


def test_a_difference_is_listed_and_nothing_is_written(ledger: Store) -> None:
    before = by_workflow(ledger)
    found = held_against(ledger, a_bill("7"))
    assert [(each.model, each.standing, each.owed) for each in found.lines] == [
        ("gpt-5", Standing.DIFFERS, 2 * NANO),
        ("gpt-5-mini", Standing.NOT_BILLED, 0),
    ]
    assert (found.provider, found.booked) == ("openai", 0)
    assert by_workflow(ledger) == before


def test_what_differs_is_booked_on_the_calls_in_doubt_and_only_once(ledger: Store) -> None:
    assert held_against(ledger, a_bill("7"), apply=True).booked == 2
    assert by_workflow(ledger) == {
        "orders": 3 * NANO + 3 * NANO // 2,
        "drafts": NANO + NANO // 2,
        "refunds": 3 * NANO,
    }
    again = held_against(ledger, a_bill("7"), apply=True)
    assert (again.booked, again.lines[0].standing) == (0, Standing.EQUAL)
    less = held_against(ledger, a_bill("4"), apply=True)
    assert less.lines[0].owed == -3 * NANO
    assert sum(by_workflow(ledger).values()) == 6 * NANO


def test_a_row_of_the_ledger_is_never_changed(ledger: Store) -> None:
    def written(connection: Any) -> list[LedgerRow]:
        return model_calls.of_run(connection, "run_1")

    before = asyncio.run(ledger.read(written))
    held_against(ledger, a_bill("70"), apply=True)
    assert asyncio.run(ledger.read(written)) == before


def test_what_no_call_in_doubt_explains_is_attributed_to_nobody(ledger: Store) -> None:
    assert held_against(ledger, a_bill("2.5", "gpt-5-mini"), apply=True).booked == 1
    assert by_workflow(ledger)[""] == NANO // 2


def test_whose_bill_it_is_must_be_clear(ledger: Store) -> None:
    other = a_row(provider="acme", started_at=MONDAY * DAY, ended_at=MONDAY * DAY)
    asyncio.run(ledger.transact(lambda each: model_calls.insert(each.connection, [other])))
    with pytest.raises(UsageError, match="acme, openai"):
        held_against(ledger, a_bill("7"))
    assert held_against(ledger, a_bill("7"), provider="openai").lines[0].owed == 2 * NANO
    with pytest.raises(UsageError, match="no model call"):
        held_against(ledger, "date,model,cost_usd\n2024-01-01,gpt-5,1\n")


def test_a_correction_moves_the_accounts_that_paid_exactly_and_once(store: Store) -> None:
    async def story() -> None:
        purse = Purse(store, a_bundle(workflow=MONTHLY, organisation=MONTHLY), ShiftedClock())
        await purse.budgets.start()
        at = MONDAY * DAY + 5
        for cost, source in ((NANO, "provider"), (3 * NANO, "estimated")):
            held = purse.hold(cost, cost, now=at)
            assert await purse.budgets.durable(held) is None
            row = {"provider": "openai", "served_model": "gpt-5", "started_at": at, "usage_source": source}
            assert purse.settle(held, cost, **row)
        await purse.budgets.flush()
        for dollars in ("6", "6", "0.5"):
            found = await book(store, a_bill(dollars), provider="openai", environment="dev", by="maria")
            for account in found.accounts:
                purse.budgets.relearn(account)
            await purse.budgets.flush()
            expected = int(float(dollars) * NANO)
            read = await store.read(balanced(store))
            assert set(read.values()) == {(0, 0), (expected, expected)}, "this month, and that one"
            assert {each.spent for each in purse.budgets.accounts(a_principal(), at)} == {expected}
        await purse.budgets.close()

    asyncio.run(story())


def test_what_no_call_in_doubt_explains_is_charged_to_the_accounts_that_all_calls_share(store: Store) -> None:
    at: dict[str, Any] = {"started_at": MONDAY * DAY + 5, "cost": NANO}
    shared = [a_row(accounts=("dev:organisation:month:0:acme", name), **at) for name in ("one", "two")]
    asyncio.run(store.transact(lambda each: model_calls.insert(each.connection, shared)))
    found = held_against(store, a_bill("3"), apply=True)
    assert (found.booked, found.accounts) == (1, {"dev:organisation:month:0:acme"})
