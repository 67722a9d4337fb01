"""Whoever fails too often waits; nobody else does, and memory stays bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.model import MINUTE
from interlock.core.throttle import Throttle


def test_ten_failures_in_a_minute_must_wait_for_the_rest_of_it() -> None:
    throttle = Throttle()
    for second in range(10):
        assert throttle.wait("a", second) == 0
        throttle.failed("a", second)
    assert throttle.wait("a", 20) == MINUTE - 20
    assert throttle.wait("b", 20) == 0
    assert throttle.wait("a", MINUTE) == 0
    throttle.failed("a", MINUTE)
    assert throttle.wait("a", MINUTE) == 0


def test_success_forgets_the_failures() -> None:
    throttle = Throttle(failures=1)
    throttle.failed("a", 0)
    assert throttle.wait("a", 1)
    throttle.succeeded("a")
    throttle.succeeded("never seen")
    assert throttle.wait("a", 1) == 0


def test_an_attempt_that_was_good_after_all_does_not_count() -> None:
    throttle = Throttle(failures=1)
    throttle.failed("a", 0)
    throttle.forgive("a")
    throttle.forgive("a")
    throttle.forgive("never seen")
    assert throttle.wait("a", 1) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5 * MINUTE)), max_size=60))
def test_the_table_is_bounded_and_no_wait_is_longer_than_the_window(events: list[tuple[int, int]]) -> None:
    throttle = Throttle(failures=2, callers=5)
    for caller, at in sorted(events, key=lambda each: each[1]):
        throttle.failed(str(caller), at)
        assert 0 <= throttle.wait(str(caller), at) <= MINUTE
        assert len(throttle._counted) <= 5
