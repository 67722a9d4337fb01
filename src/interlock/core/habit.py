"""What is learned of an agent's calls to a model: tokens per byte, length of answers, share of the cache.

Counting tokens costs more than all the rest of a call. Each reply says how many tokens a body had, so
from the second call on the next is estimated well from its bytes. All figures are integers; late calls
count more than early ones, and the table is bounded.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from interlock.core.shape import Expected
from interlock.core.sketch import Sketch

FIRST_RATIO = 314_572
"""Tokens in a MiB where nothing has been learned: 300 per thousand bytes."""

USUAL_OUTPUT = 1_000
_MEBI = 20
_WEIGHT = 4
_PER_MILLE = 1_000
_NINETY = 900
_REMEMBERED = 512
_AGAIN = 16
"""After so many calls, how long answers usually are is looked up anew: once for each of the first of them."""


@dataclass(slots=True, kw_only=True)
class Habit:
    """What one agent's calls to one model usually come to."""

    ratio: int = FIRST_RATIO
    cached: int = 0
    reasoning: int = 0
    calls: int = 0
    output: int = USUAL_OUTPUT
    """As long as nine in ten answers were."""
    outputs: Sketch = field(default_factory=Sketch)

    def learn(
        self, *, size: int, input: int, cached: int, output: int, reasoning: int, media: int = 0
    ) -> None:
        """Learn from one reply. `size` is the text sent, in bytes; the rest are tokens that were reported.

        What the `media` usually come to is no part of what the text came to.
        """
        if size <= 0 or input <= 0:
            return
        first = self.calls == 0
        text = max(input - media, 1)
        self.ratio = _towards(self.ratio, (text << _MEBI) // size, at_once=first)
        self.cached = _towards(self.cached, cached * _PER_MILLE // input, at_once=first)
        self.reasoning = _towards(self.reasoning, reasoning * _PER_MILLE // max(output, 1), at_once=first)
        self.outputs.add(output)
        self.calls += 1
        if self.calls < _AGAIN or self.calls % _AGAIN == 0:
            self.output = self.outputs.percentile(_NINETY)
        if self.calls % _REMEMBERED == 0:
            self.outputs.halve()

    def tokens(self, size: int, ratio: int | None = None) -> int:
        """Return how many tokens so many bytes of text come to; never more than the bytes."""
        return min((size * (self.ratio if ratio is None else ratio) >> _MEBI) + 1, size)

    def expect(self, size: int, *, media: int = 0, ratio: int | None = None) -> Expected:
        """Return what a call is expected to come to: `size` bytes of text and `media` tokens of other things.

        A `ratio` that was counted on this very text counts.
        """
        read = self.tokens(size, ratio) + media
        return Expected(
            input=read,
            output=self.output,
            cached=read * self.cached // _PER_MILLE,
            reasoning=self.output * self.reasoning // _PER_MILLE if self.calls else None,
        )


Key = TypeVar("Key", bound=Hashable)


class Habits(Generic[Key]):
    """The habits that are remembered, the longest unused forgotten first."""

    def __init__(self, most: int = 4_096) -> None:
        self._most = most
        self._known: dict[Key, Habit] = {}

    def of(self, key: Key) -> Habit:
        """Return the habit of `key`, a new one if it has none."""
        habit = self._known.pop(key, None) or Habit()
        self._known[key] = habit
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return habit


def ratio_of(tokens: int, size: int) -> int:
    """Return the ratio of a text of `size` bytes whose tokens were counted, rounded up."""
    return -(-(tokens << _MEBI) // max(size, 1))


def _towards(held: int, seen: int, *, at_once: bool) -> int:
    return seen if at_once else held + (seen - held) // _WEIGHT
