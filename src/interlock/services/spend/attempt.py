"""An attempt at a model call that money was set aside for, and what is known at its end (B1, B4, B8)."""

from __future__ import annotations

from typing import Protocol

from interlock.core.budget import BudgetState, Granted
from interlock.core.charge import Ending
from interlock.core.model import value
from interlock.core.model_route import Route
from interlock.core.quote import Quote
from interlock.core.usage import Usage
from interlock.store.budgets import Held
from interlock.upstream.llm.ask import Ask


class Stepped(Protocol):
    """A call after the ladder, and the names of the steps it took."""

    @property
    def ask(self) -> Ask: ...
    @property
    def route(self) -> Route: ...
    @property
    def degraded(self) -> tuple[str, ...]: ...


class Ladder(Protocol):
    """What makes a call cheaper (B4)."""

    def keeps(self, run: str) -> bool:
        """Whether the calls of a run take its steps even below every limit."""
        ...

    def down(self, ask: Ask, route: Route, *, slack: int | None, shadow: bool = False) -> Stepped:
        """Return what becomes of a call. `slack` is the money left until the kill, None below every limit.

        In `shadow` it stays as it is, and what would become of it is told.
        """
        ...


@value
class Report:
    """What is known of an attempt at its end. `complete` says that `reported` is of the whole answer."""

    ending: Ending
    reported: Usage | None
    seen: Usage
    complete: bool
    model: str = ""
    service_tier: str = ""


@value
class Beyond:
    """Where a call stands beyond a hard limit: what is left until the kill, and whether that is in shadow."""

    slack: int
    shadow: bool = False


class Attempt:
    """Money set aside for one attempt. `cap` is the output cap to set where the caller set none."""

    __slots__ = (
        "ask",
        "cap",
        "cost",
        "degraded",
        "ended_at",
        "held",
        "id",
        "quote",
        "route",
        "started_at",
        "usage",
    )

    def __init__(self, ask: Ask, route: Route, quote: Quote, held: Held, *, cap: int | None, at: int) -> None:
        self.id = held.attempt
        self.ask = ask
        self.route = route
        self.quote = quote
        self.held = held
        self.cap = cap
        self.started_at = at
        self.degraded: tuple[str, ...] = ()
        self.cost: int | None = None
        self.usage: Usage | None = None
        self.ended_at = 0

    @property
    def beyond(self) -> Beyond | None:
        """What there is left where a budget has passed its hard limit with this attempt (B4).

        One in shadow is asked only where no other has: it changes nothing, and hides nothing.
        """
        would = self.held.would
        if _past(self.held.state):
            return Beyond(slack=self._slack(shadow=False))
        if would is not None and (not isinstance(would, Granted) or _past(would.state)):
            return Beyond(slack=self._slack(shadow=True), shadow=True)
        return None

    def _slack(self, *, shadow: bool) -> int:
        """Return the money left until the kill on the tightest account, without this attempt."""
        left = (
            each.payer.limits.ceiling - each.likely + self.held.exp
            for each in self.held.accounts
            if each.payer.limits.shadow is shadow
        )
        return min(left, default=0)


def _past(state: BudgetState) -> bool:
    return state.rank >= BudgetState.DEGRADED.rank
