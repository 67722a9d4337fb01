"""A clock that stands still until it is told to move, so that a test decides what time it is."""

from __future__ import annotations

_MICROSECONDS = 1_000_000


class FixedClock:
    """A clock for `Runtime`: starts at `start` (microseconds since the Unix epoch), moves by `advance`."""

    def __init__(self, start: int = 1_767_225_600 * _MICROSECONDS) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> int:
        """Return the wall time in microseconds since the Unix epoch."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that the clock was advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises `ValueError` for a step back; see `step_to` for a broken clock."""
        if seconds < 0:
            raise ValueError("A monotonic clock cannot go back; use step_to() to move the wall clock alone.")
        self._now += round(seconds * _MICROSECONDS)
        self._monotonic += seconds

    def step_to(self, now: int) -> None:
        """Set the wall time, as an administrator or a time server does; the monotonic time stays."""
        self._now = now
