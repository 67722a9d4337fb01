"""Processes that decide alone, each within its slice, never pass the ceiling together (B8, invariant 4)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.slice import Position, covering, returned, settled, tight, topped_up

amounts = st.integers(0, 100)


def test_a_slice_grows_only_as_far_as_a_hold_needs() -> None:
    position = Position(spent=10, leased=30, ceiling=100, amount=20, needed=15)
    assert covering(position, 5) == replace(position, needed=20)
    assert covering(position, 40) == Position(spent=10, leased=65, ceiling=100, amount=55, needed=55)
    assert covering(position, 66) is None


def test_nothing_is_too_much_in_shadow_mode() -> None:
    grown = covering(Position(spent=500, leased=0, ceiling=None), 10**9)
    assert grown is not None
    assert (grown.room, grown.amount) == (None, 10**9)
    assert topped_up(grown, limit=200, most=1, processes=3).amount == 10**9 + 10


def test_what_calls_cost_leaves_the_slice_and_is_spent() -> None:
    position = Position(spent=10, leased=30, ceiling=100, amount=20)
    assert settled(position, 15) == Position(spent=25, leased=15, ceiling=100, amount=5)


def test_a_cost_beyond_the_slice_is_charged_all_the_same() -> None:
    position = Position(spent=10, leased=30, ceiling=100, amount=20)
    assert settled(position, 25) == Position(spent=35, leased=10, ceiling=100, amount=0)


def test_a_slice_is_topped_up_for_the_calls_to_come_but_not_beyond_its_share() -> None:
    position = Position(spent=0, leased=0, ceiling=1500)
    assert topped_up(position, limit=1000, most=2, processes=3).amount == 32
    assert topped_up(position, limit=1000, most=100, processes=3).amount == 50
    full = replace(position, amount=50, leased=50)
    assert topped_up(full, limit=1000, most=100, processes=3) == full


def test_a_slice_grows_with_the_calls_there_are_so_that_those_to_come_need_not_ask() -> None:
    position = Position(spent=0, leased=0, ceiling=15_000)
    assert topped_up(position, limit=10_000, most=2, processes=3, calls=100).amount == 400
    assert topped_up(position, limit=10_000, most=2, processes=3, calls=3).amount == 32
    assert topped_up(position, limit=10_000, most=2, processes=3, calls=1_000).amount == 500


def test_near_the_ceiling_processes_lease_each_hold_by_itself_and_one_alone_takes_the_rest() -> None:
    position = Position(spent=1400, leased=0, ceiling=1500)
    assert topped_up(position, limit=1000, most=100, processes=3) == position
    assert topped_up(position, limit=1000, most=100, processes=1).amount == 50
    assert topped_up(replace(position, spent=1480), limit=1000, most=100, processes=1).amount == 20
    assert topped_up(replace(position, spent=1600), limit=1000, most=100, processes=1).amount == 0


def test_an_account_is_tight_when_not_every_process_could_have_its_share() -> None:
    position = Position(spent=1400, leased=0, ceiling=1500)
    assert not tight(position, limit=1000, processes=2)
    assert tight(position, limit=1000, processes=3)
    assert not tight(replace(position, spent=1500), limit=1000, processes=1)
    assert not tight(replace(position, ceiling=None), limit=1000, processes=3)


def test_what_is_not_needed_can_be_returned() -> None:
    assert returned(Position(spent=0, leased=60, ceiling=90, amount=50, needed=20)).leased == 30
    assert returned(Position(spent=0, leased=60, ceiling=90, amount=10, needed=20)).amount == 10


steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["hold", "settle", "top up", "return"]), amounts),
    max_size=30,
)


@given(st.integers(0, 300), steps)
def test_three_processes_never_pass_the_ceiling(ceiling: int, what: list[tuple[int, str, int]]) -> None:
    spent, slices = 0, [Position(spent=0, leased=0, ceiling=ceiling)] * 3
    for who, verb, amount in what:
        leased = sum(each.amount for each in slices)
        mine = replace(slices[who], spent=spent, leased=leased)
        match verb:
            case "hold":
                mine = covering(mine, amount) or mine
            case "settle":
                cost = min(amount, mine.needed)
                mine = replace(settled(mine, cost), needed=mine.needed - cost)
            case "top up":
                mine = topped_up(mine, limit=ceiling, most=amount, processes=3)
            case _:
                mine = returned(mine)
        slices[who], spent = mine, mine.spent
        assert mine.leased == sum(each.amount for each in slices)
        assert all(0 <= each.needed <= each.amount for each in slices)
        assert spent + mine.leased <= ceiling
