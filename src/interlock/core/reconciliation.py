"""What a provider billed beside what the ledger says, per day and model, and how a difference is booked (B8).

The bill is right. What it says more or less is a correction: a further row of the ledger, never a changed
one. It falls on the calls whose usage was not certain, for they are what the ledger may be wrong about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from interlock.core.model import value


@value
class Totals:
    """Tokens and nano-dollars of one day and model. `cost` None: the bill does not say."""

    calls: int | None = None
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: int | None = None

    def plus(self, other: Totals) -> Totals:
        """Return both together; what only one of them says is what that one says."""
        return Totals(
            calls=_both(self.calls, other.calls),
            input=self.input + other.input,
            cached=self.cached + other.cached,
            output=self.output + other.output,
            cost=_both(self.cost, other.cost),
        )


class Standing(StrEnum):
    """What a line says, and whether it can be booked."""

    EQUAL = "equal"
    DIFFERS = "differs"
    NO_AMOUNT = "no_amount"
    """The bill has tokens only: nothing can be booked."""
    NOT_BILLED = "not_billed"
    """Only the ledger has it. The export may be of a part, so nothing is booked."""
    NOT_OVER = "not_over"
    """The day is not over: the bill may still grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One day (days since 1970 UTC) and model. `owed` is what the ledger is short of, in nano-dollars."""

    day: int
    model: str
    standing: Standing
    billed: Totals
    recorded: Totals
    owed: int = 0


Key = tuple[int, str]


def together(lines: Iterable[tuple[Key, Totals]]) -> dict[Key, Totals]:
    """Add up what is said of the same day and model."""
    found: dict[Key, Totals] = {}
    for key, totals in lines:
        found[key] = found[key].plus(totals) if key in found else totals
    return found


def compared(billed: Mapping[Key, Totals], recorded: Mapping[Key, Totals], *, today: int) -> list[Line]:
    """Return every day and model that the bill or, on the days of the bill, the ledger has."""
    days = {day for day, _ in billed}
    keys = {*billed, *(key for key in recorded if key[0] in days)}
    return [
        _line(key, billed.get(key), recorded.get(key, Totals(calls=0, cost=0)), today=today)
        for key in sorted(keys)
    ]


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide `amount` in proportion to `weights`: whole numbers that add up to it exactly.

    Without any weight the first gets all; there must be one.
    """
    whole = sum(weights)
    if whole == 0:
        return [amount] + [0] * (len(weights) - 1)
    ends = [amount * part // whole for part in accumulate(weights)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _line(key: Key, billed: Totals | None, recorded: Totals, *, today: int) -> Line:
    said = billed or Totals()
    owed = 0 if said.cost is None else said.cost - (recorded.cost or 0)
    return Line(
        day=key[0],
        model=key[1],
        standing=_standing(key[0], billed, recorded, owed, today=today),
        billed=said,
        recorded=recorded,
        owed=owed,
    )


def _standing(day: int, billed: Totals | None, recorded: Totals, owed: int, *, today: int) -> Standing:
    if billed is None:
        return Standing.NOT_BILLED
    if day >= today:
        return Standing.NOT_OVER
    if billed.cost is None:
        same = (billed.input, billed.output) == (recorded.input, recorded.output)
        return Standing.EQUAL if same else Standing.NO_AMOUNT
    return Standing.DIFFERS if owed else Standing.EQUAL


def _both(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
