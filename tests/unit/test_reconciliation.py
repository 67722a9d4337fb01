"""The bill is right, a difference is booked once, and every share of it adds up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.reconciliation import Line, Standing, Totals, compared, shares, together

TODAY = 20_780
MONDAY = (TODAY - 1, "gpt-5")


def the_line(billed: Totals, recorded: Totals, *, day: int = MONDAY[0]) -> Line:
    """Return what is said of one day and model."""
    (found,) = compared({(day, "gpt-5"): billed}, {(day, "gpt-5"): recorded}, today=TODAY)
    return found


def test_what_the_bill_says_more_is_owed_and_what_it_says_less_is_given_back() -> None:
    more = the_line(Totals(cost=120), Totals(calls=1, cost=100))
    less = the_line(Totals(cost=70), Totals(calls=1, cost=100))
    assert (more.standing, more.owed) == (Standing.DIFFERS, 20)
    assert (less.standing, less.owed) == (Standing.DIFFERS, -30)


def test_what_agrees_is_equal() -> None:
    assert the_line(Totals(cost=100), Totals(cost=100)).standing is Standing.EQUAL


@pytest.mark.parametrize(("tokens", "standing"), [(50, Standing.EQUAL), (60, Standing.NO_AMOUNT)])
def test_a_bill_without_amounts_compares_tokens_and_books_nothing(tokens: int, standing: Standing) -> None:
    found = the_line(Totals(input=tokens, output=5), Totals(input=50, output=5, cost=9))
    assert (found.standing, found.owed) == (standing, 0)


def test_a_day_that_is_not_over_is_not_booked() -> None:
    assert the_line(Totals(cost=1), Totals(cost=0), day=TODAY).standing is Standing.NOT_OVER


def test_what_only_the_bill_has_is_owed_in_full() -> None:
    (found,) = compared({MONDAY: Totals(cost=5)}, {}, today=TODAY)
    assert (found.standing, found.owed) == (Standing.DIFFERS, 5)


def test_what_only_the_ledger_has_is_listed_on_the_days_of_the_bill() -> None:
    recorded = {(MONDAY[0], "gpt-6"): Totals(cost=5), (MONDAY[0] - 1, "gpt-5"): Totals(cost=5)}
    found = compared({MONDAY: Totals(cost=1)}, recorded, today=TODAY)
    assert [(each.model, each.standing) for each in found] == [
        ("gpt-5", Standing.DIFFERS),
        ("gpt-6", Standing.NOT_BILLED),
    ]
    assert found[1].owed == 0


def test_lines_of_the_same_day_and_model_are_added_up() -> None:
    usage, amount = Totals(calls=2, input=10, cached=4, output=3), Totals(cost=7)
    assert together([(MONDAY, usage), (MONDAY, amount), (MONDAY, amount)]) == {
        MONDAY: Totals(calls=2, input=10, cached=4, output=3, cost=14)
    }


@given(
    amount=st.integers(-(10**15), 10**15), weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=9)
)
def test_shares_add_up_and_follow_the_weights(amount: int, weights: list[int]) -> None:
    found = shares(amount, weights)
    assert sum(found) == amount
    assert len(found) == len(weights)
    if whole := sum(weights):
        for share, weight in zip(found, weights, strict=True):
            assert abs(share * whole - amount * weight) <= whole
