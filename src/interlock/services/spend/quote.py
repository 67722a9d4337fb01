"""What an attempt at a model call is held for, before anything is clamped (B1, B8).

Nothing that an attempt can cost is left out: what nobody knows a price of is refused where it counts.
"""

from __future__ import annotations

from collections.abc import Callable

from interlock.core.context import MEDIA_TOKENS, most_input
from interlock.core.habit import Habit, Habits
from interlock.core.model import Principal
from interlock.core.model_route import Route
from interlock.core.price_book import PriceBook, Unpriced, price_for
from interlock.core.pricing import TOKENS_ALONE, Price, Rates, tier_is_priced
from interlock.core.quote import Quote
from interlock.core.usage import MOST_TOKENS, Usage
from interlock.runtime import Clock
from interlock.store.budgets import Budgets
from interlock.upstream.llm.ask import Ask

_USUAL_CAP = 16_384
"""The cap that is set where a budget needs one and nobody knows what the model can write."""

_WIDEST = 2_000_000
"""Tokens that bound an input where nothing else does: no model's window is wider."""

_NOTHING = Rates(input=0, cache_read=0, cache_write_5m=0, cache_write_1h=0, output=0, reasoning=0)
FREE = Price(provider="", model="", version=0, source="", valid_from=0, rates=_NOTHING)
"""The price of what counts against no money and has no other."""

_NO_COST = Quote(price=FREE, input=0, likely=Usage(), cap=0, server_tools={})


class Quotes:
    """What the attempts of one process are held for. `book` returns the prices in force."""

    def __init__(self, *, budgets: Budgets, book: Callable[[], PriceBook], clock: Clock) -> None:
        self.habits: Habits[tuple[str, str]] = Habits()
        self._budgets = budgets
        self._book = book
        self._clock = clock

    def price(self, principal: Principal, route: Route, now: int | None = None) -> Price | Unpriced:
        """Return what a model costs. Without a price, a call that counts against no money is not charged."""
        now = self._clock.now() if now is None else now
        provider, model = route.provider.name, route.model.name
        found = price_for(self._book(), provider, model, now=now, budgeted=True)
        if isinstance(found, Unpriced) and not self._budgets.accounts(principal, now):
            return FREE
        return found

    def habit(self, ask: Ask, route: Route) -> Habit:
        """Return what is known of this agent's calls to a model."""
        return self.habits.of((ask.principal.agent, route.model.name))

    def quote(self, ask: Ask, route: Route, now: int) -> Quote | Unpriced:
        """Return what an attempt is held for at `now`, before anything is clamped."""
        if not ask.surface.metered:
            return _NO_COST
        price = self.price(ask.principal, route, now)
        if isinstance(price, Unpriced):
            return price
        if unpriced := self._unpriced(ask, route, price, now):
            return unpriced
        body, size = ask.body, ask.body.size
        window = route.model.window or price.window
        calls = sum(body.server_tools.values())
        most = most_input(size, window=window, remote=body.remote, server_calls=calls)
        cap = self._cap(ask, route, price)
        expected = self.habit(ask, route).expect(size.text, media=size.media * MEDIA_TOKENS, ratio=ask.ratio)
        output = min(expected.output, cap) * body.answers
        likely = Usage(
            input_uncached=max(0, expected.input - expected.cached),
            cache_read=expected.cached,
            output=output,
            reasoning=min(expected.reasoning or 0, output),
        )
        return Quote(
            price=price,
            input=_WIDEST if most is None else most,
            likely=likely,
            cap=cap,
            answers=body.answers,
            service_tier=body.service_tier,
            server_tools=body.server_tools,
        )

    def _unpriced(self, ask: Ask, route: Route, price: Price, now: int) -> Unpriced | None:
        """Return what a call asks of the provider that nobody knows a price of, if it counts."""
        body = ask.body
        tools = body.server_tools and body.server_tools.keys() - price.tools.keys() - TOKENS_ALONE
        tier = "" if tier_is_priced(price, body.service_tier) else body.service_tier
        if not (tools or tier) or not self._budgets.accounts(ask.principal, now):
            return None
        tool = min(tools) if tools else ""
        names = route.provider.name, route.model.name
        return Unpriced(provider=names[0], model=names[1], refused=True, tool=tool, tier="" if tool else tier)

    def _cap(self, ask: Ask, route: Route, price: Price) -> int:
        if not ask.surface.generates:
            return 0
        wanted = ask.body.output_cap or route.model.max_output or price.max_output or _USUAL_CAP
        most = ask.models.output_cap
        return min(wanted, MOST_TOKENS if most is None else most)
