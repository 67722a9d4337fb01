"""The report adds up to the ledger, whatever it is told apart by; on both databases (B1)."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import pytest

from interlock.core.model import DAY
from interlock.errors import UsageError
from interlock.store import model_calls
from interlock.store.database import Store
from interlock.store.spendings import CORRECTION, DIMENSIONS, Spending, spendings
from interlock.web.spend import moment
from support.ledger import MONDAY, a_row

ROWS = [
    a_row(cost=1_000, input_uncached=10, cache_read=90, output=5, reasoning=2, team="support"),
    a_row(cost=2_000, input_uncached=20, output=6, usage_source="estimated", degraded=("model",)),
    a_row(cost=50, served_model="gpt-5-mini", customer="acme", started_at=MONDAY + DAY, price_version=""),
    a_row(cost=30, kind="tool", provider="shop", served_model="shop.refund", price_version=""),
    a_row(cost=-7, kind=CORRECTION, workflow="", agent=""),
    a_row(cost=9_999, started_at=MONDAY + 3 * DAY),
]


def found(store: Store, *by: str, **terms: Any) -> list[Spending]:
    """Return the report over Monday and Tuesday."""

    async def story() -> list[Spending]:
        await store.transact(lambda each: model_calls.insert(each.connection, ROWS))
        given: dict[str, Any] = {"since": MONDAY, "until": MONDAY + 2 * DAY, **terms}
        return await store.read(lambda connection: spendings(connection, by, **given))

    return asyncio.run(story())


def test_what_was_spent_is_told_apart_the_dearest_first(store: Store) -> None:
    by_model = found(store, "workflow", "model")
    assert [(each.group, each.cost, each.calls) for each in by_model] == [
        (("refunds", "gpt-5"), 3_000, 2),
        (("refunds", "gpt-5-mini"), 50, 1),
        (("refunds", "shop.refund"), 30, 1),
        (("", "gpt-5"), -7, 0),
    ]
    assert asdict(by_model[0]) | {"group": ()} == {
        "group": (),
        "calls": 2,
        "input": 120,
        "cached": 90,
        "output": 11,
        "reasoning": 2,
        "cost": 3_000,
        "uncertain": 1,
        "unpriced": 0,
        "degraded": 1,
    }
    assert [each.unpriced for each in by_model] == [0, 1, 0, 0]


def test_a_report_adds_up_to_the_ledger_by_every_dimension(store: Store) -> None:
    expected = sum(row.cost for row in ROWS if row.started_at < MONDAY + 2 * DAY)
    for name in DIMENSIONS:
        assert sum(each.cost for each in found(store, name)) == expected


def test_what_a_budget_in_shadow_would_have_done_was_not_done(store: Store) -> None:
    shadow = a_row(degraded=("shadow:model", "shadow:message"), started_at=MONDAY)

    async def story() -> list[Spending]:
        await store.transact(lambda each: model_calls.insert(each.connection, [shadow]))
        return await store.read(lambda each: spendings(each, ["model"], since=MONDAY, until=MONDAY + DAY))

    assert [(each.calls, each.degraded) for each in asyncio.run(story())] == [(1, 0)]


def test_days_are_days_in_utc(store: Store) -> None:
    assert [(each.group, each.cost) for each in found(store, "day")] == [
        (("2026-11-22",), 3_023),
        (("2026-11-23",), 50),
    ]


def test_a_report_can_be_of_one_team_or_customer_only(store: Store) -> None:
    assert [each.cost for each in found(store, "model", only={"team": "support"})] == [1_000]
    assert [each.cost for each in found(store, "model", only={"customer": "acme", "version": "1"})] == [50]
    assert found(store, "model", only={"team": "nobody"}) == []


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", MONDAY),
        ("1d", MONDAY - DAY),
        ("2026-11-22", MONDAY),
        ("2026-11-22T01:00:00+01:00", MONDAY),
        (str(MONDAY), MONDAY),
    ],
)
def test_a_time_is_a_while_ago_a_date_or_microseconds(text: str, at: int) -> None:
    assert moment(text, now=MONDAY) == at


@pytest.mark.parametrize("text", ["yesterday", "7", "9" * 40])
def test_what_is_no_time_is_said_so(text: str) -> None:
    with pytest.raises(UsageError):
        moment(text, now=MONDAY)
