"""How often somebody may fail to prove who they are before they must wait (H2).

Failures are counted per caller in fixed windows; the table is bounded, so a flood of callers costs
memory no more than it does time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interlock.core.model import MINUTE


@dataclass(slots=True, kw_only=True)
class Throttle:
    """Counts failures per caller. Told the time in microseconds."""

    failures: int = 10
    window: int = MINUTE
    callers: int = 4_096
    _counted: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def wait(self, caller: str, now: int) -> int:
        """Return how many microseconds the caller must wait before trying again; 0 for not at all."""
        count, until = self._counted.get(caller, (0, 0))
        return until - now if count >= self.failures and now < until else 0

    def failed(self, caller: str, now: int) -> None:
        """Count one failure."""
        count, until = self._counted.pop(caller, (0, 0))
        if now >= until:
            count, until = 0, now + self.window
        self._counted[caller] = (count + 1, until)
        if len(self._counted) > self.callers:
            del self._counted[next(iter(self._counted))]

    def forgive(self, caller: str) -> None:
        """Take one failure back: an attempt was counted before it was known to be good."""
        count, until = self._counted.get(caller, (0, 0))
        if count:
            self._counted[caller] = (count - 1, until)

    def succeeded(self, caller: str) -> None:
        """Forget the failures of a caller who proved who they are."""
        self._counted.pop(caller, None)
