"""A call costs what its tokens cost, rounded up once, and never more than its upper bound."""

from __future__ import annotations

from interlock.core.pricing import Price, Rates, cost, upper_bound
from interlock.core.usage import Usage

DOLLAR_A_MILLION = 1_000_000
PRICE = Price(
    provider="openai",
    model="gpt-5",
    version=1,
    source="list",
    valid_from=0,
    rates=Rates.of(input=1_250_000, cache_read=125_000, output=10_000_000),
)


def test_a_call_costs_what_its_tokens_cost() -> None:
    usage = Usage(input_uncached=40, cache_read=60, output=7)
    assert cost(usage, PRICE) == 40 * 1_250 + 60 * 125 + 7 * 10_000
    assert cost(usage, PRICE) <= upper_bound(PRICE, input_tokens=100, output_cap=7)
