"""Time for what is written down: never steps back, whatever the machine's clock does.

When the wall clock is set back, time goes on from the latest moment seen at the pace of the monotonic
clock, until the wall clock has caught up.
"""

from __future__ import annotations

from interlock.runtime import Clock


class SteadyClock:
    """The time of transactions: the wall clock, held where it would step back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = 0, clock.monotonic()
        self.behind = 0

    @property
    def latest(self) -> int:
        """The latest moment that was told or learnt of, and what has passed since; any thread may look."""
        latest, measured = self._seen
        return latest + _since(measured, self._clock.monotonic())

    def observe(self, moment: int) -> None:
        """Learn of a moment that has been written down already, by an earlier process."""
        self._seen = max(self._seen[0], moment), self._clock.monotonic()

    def now(self, told: int | None = None) -> int:
        """Return microseconds since the epoch: `told` (the database's time) or the wall clock, held.

        `behind` is then how far the source lags, in microseconds; 0 when all is well.
        """
        source = self._clock.now() if told is None else told
        measured = self._clock.monotonic()
        latest, before = self._seen
        if source < latest:
            latest += _since(before, measured)
        self.behind = max(0, latest - source)
        latest = max(latest, source)
        self._seen = latest, measured
        return latest


def _since(measured: float, now: float) -> int:
    """Return the microseconds between two readings of the monotonic clock."""
    return max(0, int((now - measured) * 1_000_000))
