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
        self._latest = 0
        self._measured = clock.monotonic()
        self.behind = 0

    @property
    def latest(self) -> int:
        """The latest moment that was told or learnt of; any thread may look."""
        return self._latest

    def observe(self, moment: int) -> None:
        """Learn of a moment that has been written down already, by an earlier process."""
        self._latest = max(self._latest, moment)

    def now(self, told: int | None = None) -> int:
        """Return microseconds since the epoch: `told` (the database's time) or the wall clock, held.

        `behind` is then how far the source lags, in microseconds; 0 when all is well.
        """
        source = self._clock.now() if told is None else told
        measured = self._clock.monotonic()
        if source < self._latest:
            self._latest += max(0, int((measured - self._measured) * 1_000_000))
        self.behind = max(0, self._latest - source)
        self._latest = max(self._latest, source)
        self._measured = measured
        return self._latest
