"""When a budget's window opens and closes, in UTC (B2).

A window is known by the moment it opened, so a clock that steps back finds the same window again, with all
that was spent in it: no step of the clock makes room. Times are microseconds since the Unix epoch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from interlock.core.model import DAY, HOUR, SECOND

FOREVER = 1 << 62
"""Later than any time: when the window of a run closes."""


class Window(StrEnum):
    """What a limit is counted over. The window of a run is the run itself, however long it lasts."""

    RUN = "run"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def opened(window: Window, now: int) -> int:
    """Return when the window that holds `now` opened; 0 for a run."""
    match window:
        case Window.RUN:
            return 0
        case Window.HOUR:
            return now - now % HOUR
        case Window.DAY:
            return now - now % DAY
        case Window.MONTH:
            today = datetime.fromtimestamp(now // SECOND, UTC)
            return _first_of(today.year, today.month)
        case _:
            assert_never(window)


def closes(window: Window, start: int) -> int:
    """Return when the window that opened at `start` closes, which is when the next one opens."""
    match window:
        case Window.RUN:
            return FOREVER
        case Window.HOUR:
            return start + HOUR
        case Window.DAY:
            return start + DAY
        case Window.MONTH:
            first = datetime.fromtimestamp(start // SECOND, UTC)
            return _first_of(first.year + first.month // 12, first.month % 12 + 1)
        case _:
            assert_never(window)


def _first_of(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND
