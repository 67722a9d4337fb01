"""What this process is sending right now, so that a stop can cut it and say what it could not cut (B5).

An engine registers each call for as long as it is under way: to a tool server, or to a model's provider.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from interlock.core.model import value


@value
class Flight:
    """One call under way. `subjects` is what it belongs to; `what` names it for people; `cut` ends it.

    `action` is set where it may have had an effect that a cut does not take back.
    """

    subjects: tuple[str, ...]
    what: str
    cut: Callable[[], None]
    run: str = ""
    action: str = ""


class Flights:
    """The calls under way in one process."""

    def __init__(self) -> None:
        self._under_way: dict[int, Flight] = {}

    @contextmanager
    def under_way(self, flight: Flight) -> Generator[None]:
        """Know of a call while the block runs."""
        self.begin(flight)
        try:
            yield
        finally:
            self.end(flight)

    def begin(self, flight: Flight) -> None:
        """Know of a call from now on, until its `end`."""
        self._under_way[id(flight)] = flight

    def end(self, flight: Flight) -> None:
        """Forget a call."""
        del self._under_way[id(flight)]

    def of(self, subject: str) -> tuple[Flight, ...]:
        """Return the calls under way that belong to `subject`."""
        return tuple(each for each in self._under_way.values() if subject in each.subjects)

    def cut(self, subject: str) -> tuple[Flight, ...]:
        """End every call of `subject` in this tick; return them."""
        found = self.of(subject)
        for each in found:
            each.cut()
        return found
