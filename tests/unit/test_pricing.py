"""A call costs what its tokens cost, rounded up once, and never more than its upper bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.pricing import (
    CEILING,
    Price,
    Rates,
    Tariff,
    Tier,
    cost,
    cost_untold,
    expected,
    tier_is_priced,
    upper_bound,
)
from interlock.core.usage import Usage

rate = st.integers(0, 100_000_000)
rates = st.builds(
    Rates,
    input=rate,
    cache_read=rate,
    cache_write_5m=rate,
    cache_write_1h=rate,
    output=rate,
    reasoning=rate,
)
tiers = st.lists(st.builds(Tier, above=st.integers(0, 400), rates=rates), max_size=2).map(
    lambda found: tuple(sorted(found, key=lambda tier: tier.above))
)
tariffs = st.builds(Tariff, rates=rates, tiers=tiers)
prices = st.builds(
    Price,
    provider=st.just("p"),
    model=st.just("m"),
    version=st.just(1),
    source=st.just("list"),
    valid_from=st.just(0),
    rates=rates,
    tiers=tiers,
    tools=st.dictionaries(
        st.sampled_from(["web_search", "file_search", "input_audio", "output_audio"]), rate
    ),
    request=rate,
    service_tiers=st.dictionaries(st.sampled_from(["flex", "priority"]), tariffs),
)
count = st.integers(0, 200)


def a_price(**values: Any) -> Price:
    """Return a price of $1.25 a million tokens in, $0.125 from the cache and $10 out."""
    given: dict[str, Any] = {
        "provider": "openai",
        "model": "gpt-5",
        "version": 3,
        "source": "list",
        "valid_from": 0,
        "rates": Rates.of(input=1_250_000, cache_read=125_000, output=10_000_000),
    }
    return Price(**{**given, **values})


def test_a_call_costs_what_its_tokens_cost() -> None:
    usage = Usage(input_uncached=40, cache_read=60, output=7)
    assert cost(usage, a_price()) == 40 * 1_250 + 60 * 125 + 7 * 10_000


def test_a_cost_is_rounded_up_once() -> None:
    tiny = a_price(rates=Rates.of(input=1, output=1))
    assert cost(Usage(), tiny) == 0
    assert cost(Usage(input_uncached=1, output=1), tiny) == 1
    assert cost(Usage(input_uncached=500, output=500), tiny) == 1
    assert cost(Usage(input_uncached=500, output=501), tiny) == 2


def test_reasoning_is_charged_once_at_its_own_rate() -> None:
    price = a_price(rates=Rates.of(input=0, output=10_000, reasoning=30_000))
    assert cost(Usage(output=10, reasoning=4), price) == 6 * 10 + 4 * 30


def test_cache_writes_have_their_own_rates() -> None:
    price = a_price(rates=Rates.of(input=4_000, output=0, cache_write_5m=5_000, cache_write_1h=8_000))
    assert cost(Usage(cache_write_5m=10, cache_write_1h=10), price) == 50 + 80


def test_rates_that_are_not_named_follow_from_those_that_are() -> None:
    assert Rates.of(input=4, output=9) == Rates(
        input=4, cache_read=4, cache_write_5m=4, cache_write_1h=4, output=9, reasoning=9
    )
    assert Rates.of(input=4, output=9, cache_write_5m=5).cache_write_1h == 5


def test_a_long_input_is_charged_at_the_tier_for_all_of_its_tokens() -> None:
    long = Tier(above=100, rates=Rates.of(input=2_000, output=3_000))
    price = a_price(rates=Rates.of(input=1_000, output=1_000), tiers=(long,))
    assert cost(Usage(input_uncached=100, output=10), price) == 110
    assert cost(Usage(input_uncached=1, cache_read=100, output=10), price) == 101 * 2 + 30


def test_a_tier_is_priced_where_it_is_known_or_cannot_cost_more() -> None:
    rates = Rates.of(input=1_000, output=1_000)
    price = a_price(rates=rates, service_tiers={"priority": Tariff(rates=rates)})
    assert all(tier_is_priced(price, tier) for tier in ("", "auto", "flex", "priority"))
    assert not tier_is_priced(price, "fast")
    assert tier_is_priced(a_price(rates=rates, source="ceiling"), "fast")


def test_a_call_whose_tier_nobody_told_costs_the_dearer_of_what_it_may_have_been() -> None:
    tiers = {
        name: Tariff(rates=Rates.of(input=rate, output=1)) for name, rate in (("flex", 500), ("fast", 6_000))
    }
    price = a_price(rates=Rates.of(input=1_000, output=1_000), service_tiers=tiers)
    usage = Usage(input_uncached=100)
    assert [cost_untold(usage, price, asked=tier) for tier in ("", "flex", "fast")] == [100, 100, 600]


def test_a_service_tier_has_its_own_tariff_and_an_unknown_one_is_charged_as_standard() -> None:
    flex = Tariff(rates=Rates.of(input=500, output=500))
    price = a_price(rates=Rates.of(input=1_000, output=1_000), service_tiers={"flex": flex})
    usage = Usage(input_uncached=100)
    assert cost(usage, price, service_tier="flex") == 50
    assert cost(usage, price, service_tier="scale") == cost(usage, price) == 100


def test_tools_and_requests_are_charged_by_the_call() -> None:
    price = a_price(rates=Rates.of(input=0, output=0), tools={"web_search": 10_000_000}, request=1_000)
    assert cost(Usage(tools={"web_search": 2, "unknown": 9}), price) == 20_000 + 1


def test_a_bound_counts_the_standard_tariff_beside_a_cheaper_one() -> None:
    flex = Tariff(rates=Rates.of(input=500, output=500))
    dear = Tariff(rates=Rates.of(input=3_000, output=3_000))
    price = a_price(rates=Rates.of(input=1_000, output=1_000), service_tiers={"flex": flex, "priority": dear})
    asked = {
        tier: upper_bound(price, input_tokens=100, output_cap=0, service_tier=tier)
        for tier in ("", "auto", "flex", "priority", "unheard_of")
    }
    assert asked == {"": 100, "auto": 100, "flex": 100, "priority": 300, "unheard_of": 300}


@given(
    price=prices,
    parts=st.tuples(count, count, count, count, count, count),
    tools=st.dictionaries(st.sampled_from(["web_search", "file_search", "other"]), st.integers(0, 5)),
    slack=st.tuples(count, count),
    audio=count,
    asked=st.sampled_from(["", "flex", "priority", "unheard_of"]),
)
def test_no_call_costs_more_than_its_bound(
    price: Price,
    parts: tuple[int, int, int, int, int, int],
    tools: dict[str, int],
    slack: tuple[int, int],
    audio: int,
    asked: str,
) -> None:
    uncached, read, short, long, spoken, reasoning = parts
    usage = Usage(
        input_uncached=uncached,
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
        output=spoken + reasoning,
        reasoning=reasoning,
        tools={**tools, "input_audio": audio % (uncached + 1), "output_audio": audio % (spoken + 1)},
    )
    most = upper_bound(
        price,
        input_tokens=usage.input + slack[0],
        output_cap=usage.output + slack[1],
        service_tier=asked,
        tool_calls=tools,
    )
    for served in (asked, "", "default"):
        assert 0 <= cost(usage, price, service_tier=served) <= most


@given(price=prices, tokens=st.tuples(count, count, count), share=st.integers(0, 1000), n=st.integers(1, 4))
def test_what_is_expected_is_never_more_than_the_bound(
    price: Price, tokens: tuple[int, int, int], share: int, n: int
) -> None:
    given, said, more = tokens
    likely = expected(price, input_tokens=given, cache_share_permille=share, output_tokens=said, n=n)
    assert likely <= upper_bound(price, input_tokens=given, output_cap=said + more, n=n)


def test_what_is_expected_counts_the_share_from_the_cache_and_every_choice() -> None:
    price = a_price()
    likely = expected(
        price,
        input_tokens=1_000,
        cache_share_permille=600,
        output_tokens=10,
        n=2,
        tool_calls={"web_search": 1},
    )
    assert likely == cost(Usage(input_uncached=400, cache_read=600, output=20), price)


@pytest.mark.parametrize(
    ("source", "label"), [("genai-prices 1", "openai/gpt-5@3"), (CEILING, "openai/gpt-5@ceiling-3")]
)
def test_a_label_names_the_version_and_what_declared_it(source: str, label: str) -> None:
    assert replace(a_price(), source=source).label == label
