"""What one attempt at a model call is held for: at most, as expected, and in its smallest useful form (B8).

The output cap that is sent bounds the output, so a clamp lowers both together. Amounts are nano-dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from interlock.core.model import value
from interlock.core.pricing import Price, cost, upper_bound
from interlock.core.usage import Usage

USEFUL = 256
"""Tokens of output below which an answer is not worth its input."""


@value
class Quote:
    """One attempt before it is sent. `input` bounds what is read, `likely` is the usage that is expected.

    `cap` bounds each of the `answers`. `server_tools` are the most calls of tools that the provider runs.
    """

    price: Price
    input: int
    likely: Usage
    cap: int
    answers: int = 1
    service_tier: str = ""
    server_tools: Mapping[str, int]

    @property
    def most(self) -> int:
        """What it can cost at most."""
        return self._bound(self.cap)

    @property
    def least(self) -> int:
        """What its smallest useful form can cost at most."""
        return self._bound(min(self.cap, USEFUL))

    @property
    def exp(self) -> int:
        """What it will likely cost, which can be more than the most of one that was clamped."""
        return cost(self.likely, self.price, service_tier=self.service_tier)

    def within(self, most: int) -> Quote:
        """Return it with the largest cap that keeps it within `most`, which is not below its least."""
        cap = self._widest(most)
        output = min(self.likely.output, cap * self.answers)
        likely = replace(self.likely, output=output, reasoning=min(self.likely.reasoning, output))
        return replace(self, cap=cap, likely=likely)

    def _widest(self, most: int) -> int:
        """Return the largest cap whose bound is at most `most`; a cap can be any number that JSON can say."""
        least, cap = 0, self.cap
        while least < cap:
            middle = (least + cap + 1) // 2
            if self._bound(middle) <= most:
                least = middle
            else:
                cap = middle - 1
        return cap

    def _bound(self, cap: int) -> int:
        return upper_bound(
            self.price,
            input_tokens=self.input,
            output_cap=cap,
            n=self.answers,
            service_tier=self.service_tier,
            tool_calls=self.server_tools,
        )
