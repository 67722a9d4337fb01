"""A ledger never passes its limit, in any order of hold, settle and release (B2, B8, invariant 4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.budget import Exceeded, Ledger, hold, release, settle

amounts = st.integers(0, 200)


@given(st.integers(0, 500), st.lists(st.tuples(amounts, st.sampled_from(["settle", "release", "keep"]))))
def test_spent_and_held_never_pass_the_limit(limit: int, calls: list[tuple[int, str]]) -> None:
    ledger = Ledger(limit=limit)
    for amount, ending in calls:
        held = hold(ledger, amount)
        if isinstance(held, Exceeded):
            assert ledger.spent + ledger.held + amount == limit + held.short_by
            continue
        if ending == "settle":
            ledger = settle(held, amount, amount // 2)
        else:
            ledger = release(held, amount) if ending == "release" else held
        assert 0 <= ledger.spent + ledger.held <= limit
        assert ledger.remaining == limit - ledger.spent - ledger.held


def test_a_ledger_without_a_limit_holds_anything() -> None:
    held = hold(Ledger(), 10**18)
    assert isinstance(held, Ledger)
    assert held.remaining is None


def test_money_is_never_negative() -> None:
    with pytest.raises(ValueError, match="never negative"):
        hold(Ledger(limit=5), -1)


def test_no_more_is_given_back_than_was_held() -> None:
    with pytest.raises(ValueError, match="more is given back"):
        release(Ledger(limit=5, held=1), 2)
