"""Windows follow each other without a gap, in UTC, and a clock that steps back finds the old one (B2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.window import FOREVER, Window, closes, opened

moments = st.integers(0, 253_402_300_000_000_000 // 2)
CALENDAR = [Window.HOUR, Window.DAY, Window.MONTH]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@given(moments, st.sampled_from(CALENDAR))
def test_every_moment_is_in_exactly_one_window(now: int, window: Window) -> None:
    start = opened(window, now)
    end = closes(window, start)
    assert start <= now < end
    assert opened(window, start) == start == opened(window, end - 1)
    assert opened(window, end) == end


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        (Window.HOUR, "2026-03-29T01:59:59", "2026-03-29T01:00:00", "2026-03-29T02:00:00"),
        (Window.DAY, "2028-02-29T23:59:59", "2028-02-29T00:00:00", "2028-03-01T00:00:00"),
        (Window.MONTH, "2028-02-29T12:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
        (Window.MONTH, "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_windows_follow_the_calendar_in_utc(window: Window, now: str, start: str, end: str) -> None:
    assert opened(window, at(now)) == at(start)
    assert closes(window, at(start)) == at(end)


def test_the_window_of_a_run_never_closes() -> None:
    assert opened(Window.RUN, at("2026-01-01T00:00:00")) == 0
    assert closes(Window.RUN, 0) == FOREVER
