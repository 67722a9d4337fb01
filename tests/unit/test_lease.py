"""Leases: a call never begins when its lease is about to end, and never outlives it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core import lease
from interlock.core.model import SECOND

spans = st.integers(0, 10_000 * SECOND)


@given(timeout=st.integers(1, 1_000 * SECOND), spent=spans)
def test_a_call_that_begins_ends_before_its_lease_does(timeout: int, spent: int) -> None:
    whole = lease.length(timeout)
    left = lease.time_to_send(lease=whole, spent=spent, timeout=timeout)
    if left is not None:
        assert 0 < left <= timeout
        assert spent + left <= whole - lease.MARGIN
        assert left * 2 >= timeout


def test_a_call_that_is_sent_at_once_has_its_whole_time() -> None:
    whole = lease.length(60 * SECOND)
    assert lease.time_to_send(lease=whole, spent=SECOND, timeout=60 * SECOND) == 60 * SECOND


def test_a_call_whose_lease_is_about_to_end_does_not_begin() -> None:
    whole = lease.length(60 * SECOND)
    assert lease.time_to_send(lease=whole, spent=34 * SECOND, timeout=60 * SECOND) == 30 * SECOND
    assert lease.time_to_send(lease=whole, spent=35 * SECOND, timeout=60 * SECOND) is None
    assert lease.time_to_send(lease=whole, spent=10**12, timeout=60 * SECOND) is None
    assert lease.time_to_send(lease=0, spent=0, timeout=0) is None


def test_it_is_quiet_only_after_the_last_call_that_may_have_begun() -> None:
    assert lease.quiet_at(100 * SECOND, 60 * SECOND) == 165 * SECOND
