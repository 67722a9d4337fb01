"""Whatever order settlements, releases and expiries come in, each amount is given back once (B8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.hold import Hold, HoldState, end

amounts = st.integers(0, 10**12)
endings = st.lists(st.tuples(st.sampled_from(list(HoldState)), amounts), max_size=8)


@given(amounts, amounts, endings)
def test_each_amount_is_given_back_once_in_any_order(
    exp: int, most: int, moves: list[tuple[HoldState, int]]
) -> None:
    hold, spent, held_exp, held_max = Hold(exp=exp, most=most), 0, exp, most
    for state, cost in moves:
        moved = end(hold, state, cost)
        if moved is None:
            continue
        hold = moved.hold
        spent, held_exp, held_max = spent + moved.spent, held_exp + moved.held_exp, held_max + moved.held_max
        assert (held_exp, held_max) == (0, 0)
        if hold.state is HoldState.EXPIRED:
            assert spent == most
        elif hold.state is HoldState.RELEASED:
            assert spent == 0
        else:
            assert spent == cost
    assert (hold.state is HoldState.ACTIVE) == (
        (held_exp, held_max) == (exp, most) and spent == 0
    ) or exp == most == 0


def test_the_truth_replaces_what_a_crash_charged() -> None:
    expired = end(Hold(exp=3, most=10), HoldState.EXPIRED)
    assert expired is not None
    assert expired.spent == 10
    settled = end(expired.hold, HoldState.SETTLED, 4)
    assert settled is not None
    assert settled.spent == -6
    assert end(settled.hold, HoldState.SETTLED, 4) is None


def test_a_call_that_was_never_sent_costs_nothing_even_after_a_crash() -> None:
    expired = end(Hold(exp=3, most=10), HoldState.EXPIRED)
    assert expired is not None
    released = end(expired.hold, HoldState.RELEASED)
    assert released is not None
    assert released.spent == -10


def test_a_hold_does_not_become_active_again() -> None:
    assert end(Hold(exp=1, most=1), HoldState.ACTIVE) is None


def test_a_cost_is_never_negative() -> None:
    with pytest.raises(ValueError, match="never negative"):
        end(Hold(exp=1, most=1), HoldState.SETTLED, -1)
