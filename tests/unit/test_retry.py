"""A delivery that fails is tried later each time, scattered, and not for ever (G3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.model import DAY
from interlock.core.retry import FIRST, LONGEST, over, pause


@given(st.integers(1, 1000), st.text(max_size=30))
def test_a_pause_is_half_to_all_of_a_delay_that_doubles(attempts: int, seed: str) -> None:
    whole = min(LONGEST, FIRST * 2 ** (attempts - 1))
    assert whole // 2 <= pause(attempts, seed) <= whole


def test_two_deliveries_do_not_come_back_at_once() -> None:
    assert len({pause(5, f"dlv_{each}") for each in range(100)}) > 90


def test_it_is_given_up_after_a_day() -> None:
    assert not over(0, DAY)
    assert over(0, DAY + 1)
