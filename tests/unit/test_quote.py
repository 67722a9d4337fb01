"""What an attempt is held for: bounds that a clamp keeps (B8, invariant 4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.pricing import Price, Rates
from interlock.core.quote import USEFUL, Quote
from interlock.core.usage import Usage


def a_price(input: int = 2_000_000, output: int = 8_000_000) -> Price:
    rates = Rates.of(input=input, output=output)
    return Price(provider="acme", model="m", version=1, source="manifest", valid_from=0, rates=rates)


def a_quote(**changes: Any) -> Quote:
    values: dict[str, Any] = {
        "price": a_price(),
        "input": 1_000,
        "likely": Usage(input_uncached=300, output=100),
        "cap": 1_000,
        "server_tools": {},
    }
    return Quote(**values | changes)


def test_the_most_is_the_bound_of_input_and_cap() -> None:
    assert a_quote().most == 1_000 * 2_000 + 1_000 * 8_000
    assert a_quote(answers=3).most == 1_000 * 2_000 + 3 * 1_000 * 8_000


def test_the_least_has_a_useful_cap_or_the_callers_smaller_one() -> None:
    assert a_quote().least == 1_000 * 2_000 + USEFUL * 8_000
    assert a_quote(cap=10).least == a_quote(cap=10).most


def test_what_is_expected_is_the_price_of_what_is_likely() -> None:
    assert a_quote().exp == 300 * 2_000 + 100 * 8_000


def test_a_clamp_leaves_no_more_thought_than_there_is_output() -> None:
    clamped = a_quote(likely=Usage(input_uncached=300, output=100, reasoning=90)).within(
        1_000 * 2_000 + 50 * 8_000
    )
    assert (clamped.likely.output, clamped.likely.reasoning) == (50, 50)


def test_an_output_that_costs_nothing_is_never_clamped() -> None:
    assert a_quote(price=a_price(output=0)).within(2_000_000).cap == 1_000


@given(
    input=st.integers(1, 10**9),
    output=st.integers(1, 10**9),
    tokens=st.integers(0, 10**6),
    cap=st.integers(1, 10**5),
    answers=st.integers(1, 4),
    room=st.integers(0, 10**9),
)
def test_a_clamped_attempt_fits_and_no_larger_one_would(
    input: int, output: int, tokens: int, cap: int, answers: int, room: int
) -> None:
    quote = a_quote(price=a_price(input, output), input=tokens, cap=cap, answers=answers)
    most = quote.least + room
    clamped = quote.within(most)
    assert clamped.most <= most
    assert clamped.cap >= min(cap, USEFUL)
    assert clamped.likely.output <= clamped.cap * answers
    assert (
        clamped.cap == cap
        or a_quote(price=a_price(input, output), input=tokens, cap=clamped.cap + 1, answers=answers).most
        > most
    )


def test_a_clamp_never_rounds_over_the_room() -> None:
    quote = a_quote(price=a_price(1, 3), input=0, cap=10_000)
    assert all(quote.within(most).most <= most for most in range(quote.least, quote.most + 2))


@pytest.mark.parametrize("cap", [2**63 - 1, 2**63, 10**20])
def test_a_cap_beyond_every_number_of_a_machine_is_clamped_like_any_other(cap: int) -> None:
    usual = a_quote(cap=1_000_000)
    most = a_quote(cap=500).most
    assert a_quote(cap=cap).within(most) == usual.within(most)
    assert usual.within(most).cap == 500
