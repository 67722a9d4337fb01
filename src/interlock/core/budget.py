"""What a budget does with money before and after a call: hold, settle, release (B2, B8).

Amounts are nano-dollars. `spent + held` never passes `limit`; a ledger without a limit holds anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What one scope may spend, has spent and has set aside. `limit` None means no limit."""

    limit: int | None = None
    spent: int = 0
    held: int = 0

    @property
    def remaining(self) -> int | None:
        """What can still be held; None without a limit."""
        return None if self.limit is None else self.limit - self.spent - self.held


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A hold that does not fit, and by how much."""

    short_by: int


def hold(ledger: Ledger, estimate: int) -> Ledger | Exceeded:
    """Set `estimate` aside, or say how much is missing. Raises `ValueError` for a negative amount."""
    _not_negative(estimate)
    remaining = ledger.remaining
    if remaining is not None and estimate > remaining:
        return Exceeded(estimate - remaining)
    return replace(ledger, held=ledger.held + estimate)


def settle(ledger: Ledger, held: int, cost: int) -> Ledger:
    """Turn a hold into what the call really cost. Raises `ValueError` if so much was never held."""
    _not_negative(cost)
    return replace(release(ledger, held), spent=ledger.spent + cost)


def release(ledger: Ledger, held: int) -> Ledger:
    """Give a hold back unused. Raises `ValueError` if so much was never held."""
    _not_negative(held)
    if held > ledger.held:
        raise ValueError("more is given back than was held")
    return replace(ledger, held=ledger.held - held)


def _not_negative(amount: int) -> None:
    if amount < 0:
        raise ValueError("an amount of money is never negative")
