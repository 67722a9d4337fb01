"""Set money aside for one attempt at a model call (B1, B2, B4, B8).

In this order: what does not fit is clamped to what fits, waits for calls under way, is refused. A hold ends
exactly once, whatever becomes of the call; nothing is awaited when it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from interlock.core.budget import BudgetState, Clamp, Refused
from interlock.core.context import MEDIA_TOKENS, near
from interlock.core.habit import ratio_of
from interlock.core.ladder import CapOutput
from interlock.core.model_route import Route
from interlock.core.price_book import PriceBook, Unpriced
from interlock.core.quote import Quote
from interlock.core.rewrite import rewrite
from interlock.runtime import Runtime
from interlock.services.spend.attempt import Attempt, Beyond, Ladder, Report
from interlock.services.spend.quote import Quotes
from interlock.services.spend.settle import Settling
from interlock.store.budgets import Budgets, Held
from interlock.store.memory import Memory
from interlock.upstream.llm.ask import Ask
from interlock.upstream.llm.body import decoded, encoded, rewritten
from interlock.upstream.tokenizer import Counting, Tokenizer

WAIT = 2.0
"""Seconds that a call waits for others to settle before it is told to come again."""


class Spend:
    """The money side of model calls in one process.

    `book` returns the prices in force; `ready` waits for those of a provider that was only just declared. The
    `tokenizer` counts near a limit, where a ratio that was learned is not good enough.
    """

    def __init__(
        self,
        *,
        memory: Memory,
        budgets: Budgets,
        book: Callable[[], PriceBook],
        ready: Callable[[], Awaitable[object]],
        runtime: Runtime,
        tokenizer: Tokenizer,
    ) -> None:
        self.budgets = budgets
        self.quotes = Quotes(budgets=budgets, book=book, clock=runtime.clock)
        self._settling = Settling(memory=memory, budgets=budgets, quotes=self.quotes, clock=runtime.clock)
        self._ready = ready
        self._clock = runtime.clock
        self._tokenizer = tokenizer

    async def hold(self, ask: Ask, route: Route, ladder: Ladder) -> Attempt | Refused | Unpriced:
        """Set money aside. Waits while only calls under way stand in the way. Raises `StoreError`."""
        await self._ready()
        until: float | None = None
        while True:
            said = self.stepwise(ask, route, ladder)
            if isinstance(said, Attempt) and ask.ratio is None and self._unsure(said):
                ask = await self._counted(ask, said)
                said = said if ask.ratio is None else self.stepwise(ask, route, ladder)
            if isinstance(said, Attempt):
                return said if said.held.at_once else await self.durable(said)
            if not isinstance(said, Refused) or not said.transient:
                return said
            now = self._clock.monotonic()
            until = now + WAIT if until is None else until
            if now >= until:
                return said
            await self.budgets.freed(until - now)

    def stepwise(self, ask: Ask, route: Route, ladder: Ladder) -> Attempt | Refused | Unpriced:
        """Set money aside now, for a cheaper call beyond a hard limit or where the run was there before."""
        kept = ladder.down(ask, route, slack=None) if ladder.keeps(ask.principal.run) else None
        degraded = () if kept is None else kept.degraded
        tried, way = (ask, route) if kept is None else (kept.ask, kept.route)
        said = self.try_hold(tried, way, final=False)
        beyond = self._beyond(said, tried, way)
        if beyond is not None:
            # The call as it came: where its history was cut before is found again only there.
            stepped = ladder.down(ask, route, slack=beyond.slack, shadow=beyond.shadow)
            degraded = (*degraded, *stepped.degraded) if beyond.shadow else stepped.degraded
            if stepped.ask is not tried and not beyond.shadow:
                if isinstance(said, Attempt):
                    self.release(said)
                tried, way = stepped.ask, stepped.route
                said = self.try_hold(tried, way, final=False)
        if isinstance(said, Refused):
            said = self.try_hold(tried, way)  # no cheaper form is left: now it counts
        if isinstance(said, Attempt):
            said.degraded = degraded
        return said

    def _beyond(self, said: Attempt | Refused | Unpriced, ask: Ask, route: Route) -> Beyond | None:
        """Return how a call stands that is to go down the ladder: beyond a hard limit, held or too large."""
        if isinstance(said, Attempt):
            return said.beyond
        now = self._clock.now()
        quote = self.quotes.quote(ask, route, now) if isinstance(said, Refused) and said.too_large else None
        if not isinstance(quote, Quote):
            return None
        found = [
            each
            for each in self.budgets.accounts(ask.principal, now)
            if not each.limits.shadow and each.spent + each.held_exp + quote.exp > each.limits.hard_at
        ]
        left = [each.limits.ceiling - each.spent - each.held_exp for each in found]
        return Beyond(slack=min(left)) if left else None

    def try_hold(self, ask: Ask, route: Route, *, final: bool = True) -> Attempt | Refused | Unpriced:
        """Set money aside now, clamped to what fits, or say why not.

        A refusal that is not `final` has no effect: where there is no room at all it halts nothing.
        """
        now = self._clock.now()
        quote = self.quotes.quote(ask, route, now)
        if isinstance(quote, Unpriced):
            return quote
        ask = self._capped(ask, quote.cap)
        said = self._held(ask, quote, now, final=final)
        if isinstance(said, Clamp):
            quote = quote.within(said.most)
            ask = self._capped(ask, quote.cap)
            said = self._held(ask, quote, now, final=final)
        if isinstance(said, Clamp):
            raise RuntimeError("a hold that was clamped fits, with no await between")
        if isinstance(said, Refused):
            return said
        bound = bool(said.accounts) or ask.models.output_cap is not None
        cap = quote.cap if bound and ask.surface.generates else None
        return Attempt(ask, route, quote, said, cap=cap, at=now)

    async def durable(self, attempt: Attempt) -> Attempt | Refused:
        """Return the attempt when it may be sent, or why it may not. Raises `StoreError`."""
        try:
            refused = await self.budgets.durable(attempt.held)
        except BaseException:
            self.release(attempt)
            raise
        return attempt if refused is None else refused

    def release(self, attempt: Attempt) -> None:
        """Give an attempt's money back; nothing was sent."""
        self.budgets.release(attempt.held)

    def settle(self, attempt: Attempt, report: Report) -> None:
        """Turn the hold into what the attempt cost. A second time changes nothing."""
        self._settling.settle(attempt, report)

    def _unsure(self, attempt: Attempt) -> bool:
        """Whether an estimate is so close to a line that the tokens are worth counting (B6).

        Lines are the window of the model, and what is left until a hard limit.
        """
        likely, price, exp = attempt.quote.likely, attempt.quote.price, attempt.held.exp
        window = attempt.route.model.window or price.window
        if window is not None and near(likely.input + likely.output, window):
            return True
        if attempt.held.state is BudgetState.OK:
            return False
        left = (each.payer.limits.hard_at - each.likely + exp for each in attempt.held.accounts)
        return any(room > 0 and near(exp, room) for room in left)

    async def _counted(self, ask: Ask, attempt: Attempt) -> Ask:
        """Return what is to be held anew for, with its text counted; as it is where nobody can count.

        What was held goes on until then. A count is an estimate too, of how a provider puts messages together
        for instance: it says what is expected, never what is the most.
        """
        size, model = ask.body.size, attempt.route.model.name
        try:
            counted = await self._tokenizer.count(encoded(ask.body), model)
        except BaseException:
            self.release(attempt)
            raise
        if counted.how is not Counting.COUNTED or not size.text:
            return ask
        self.release(attempt)
        text = max(counted.tokens - size.media * MEDIA_TOKENS, 0)
        return replace(ask, ratio=ratio_of(text, size.text))

    def _capped(self, ask: Ask, cap: int) -> Ask:
        """Lower the cap that the caller set, with whatever must stay below it."""
        set_by_caller, form = ask.body.output_cap, ask.surface.form
        if set_by_caller is None or form is None or cap >= set_by_caller:
            return ask
        lowered = rewrite(decoded(ask.body), [CapOutput(tokens=cap)], form)
        return replace(ask, body=rewritten(lowered, ask.surface))

    def _held(self, ask: Ask, quote: Quote, now: int, *, final: bool) -> Held | Clamp | Refused:
        most = quote.most
        exp = min(quote.exp, most)
        easily = self.budgets.hold_easily(ask.principal, ask.attempt, exp=exp, most=most, now=now)
        if easily is not None:
            return easily
        if not final:
            said = self.budgets.look(ask.principal, exp=exp, most=most, least=quote.least, now=now)
            if isinstance(said, Refused):
                return said
        return self.budgets.hold(ask.principal, ask.attempt, exp=exp, most=most, least=quote.least, now=now)
