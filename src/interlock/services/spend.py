"""Set money aside for one attempt at a model call, and turn it into what the attempt cost (B1, B2, B8).

In this order: what does not fit is clamped to what fits, waits for calls under way, is refused. A hold ends
exactly once, whatever becomes of the call; nothing is awaited when it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from interlock.core.budget import BudgetState, Clamp, Granted, Refused
from interlock.core.charge import Ending, charged, with_tools
from interlock.core.context import MEDIA_TOKENS, most_input, near
from interlock.core.habit import Habit, Habits, ratio_of
from interlock.core.ladder import CapOutput
from interlock.core.model import Principal, value
from interlock.core.model_route import Route
from interlock.core.payer import teams_of
from interlock.core.price_book import PriceBook, Unpriced, price_for
from interlock.core.pricing import TOKENS_ALONE, Price, Rates, cost, cost_untold, tier_is_priced
from interlock.core.quote import Quote
from interlock.core.rewrite import rewrite
from interlock.core.usage import Usage, UsageSource
from interlock.runtime import Runtime
from interlock.store.budgets import Budgets, Held
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow
from interlock.upstream.llm.ask import Ask
from interlock.upstream.llm.body import decoded, encoded, rewritten
from interlock.upstream.tokenizer import Counting, Tokenizer

WAIT = 2.0
"""Seconds that a call waits for others to settle before it is told to come again."""

MOST = 10**18
"""Nano-dollars that one call can cost: as much as a budget can be, and books can hold."""

_USUAL_CAP = 16_384
"""The cap that is set where a budget needs one and nobody knows what the model can write."""

_WIDEST = 2_000_000
"""Tokens that bound an input where nothing else does: no model's window is wider."""

_NOTHING = Rates(input=0, cache_read=0, cache_write_5m=0, cache_write_1h=0, output=0, reasoning=0)
_FREE = Price(provider="", model="", version=0, source="", valid_from=0, rates=_NOTHING)
_NO_COST = Quote(price=_FREE, input=0, likely=Usage(), cap=0, server_tools={})


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
            each.payer.limits.ceiling - each.spent - each.held_exp + self.held.exp
            for each in self.held.accounts
            if each.payer.limits.shadow is shadow
        )
        return min(left, default=0)


def _charge(attempt: Attempt, usage: Usage, report: Report) -> int:
    price = attempt.quote.price
    if report.service_tier:
        return cost(usage, price, service_tier=report.service_tier)
    return cost_untold(usage, price, asked=attempt.ask.body.service_tier)


def _past(state: BudgetState) -> bool:
    return state.rank >= BudgetState.DEGRADED.rank


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
        self.habits: Habits[tuple[str, str]] = Habits()
        self._memory = memory
        self._book = book
        self._ready = ready
        self._clock = runtime.clock
        self._named: tuple[object, dict[str, str]] = (None, {})
        self._tokenizer = tokenizer

    def price(self, principal: Principal, route: Route, now: int | None = None) -> Price | Unpriced:
        """Return what a model costs. Without a price, a call that counts against no money is not charged."""
        now = self._clock.now() if now is None else now
        provider, model = route.provider.name, route.model.name
        found = price_for(self._book(), provider, model, now=now, budgeted=True)
        if isinstance(found, Unpriced) and not self.budgets.accounts(principal, now):
            return _FREE
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
        if not (tools or tier) or not self.budgets.accounts(ask.principal, now):
            return None
        tool = min(tools) if tools else ""
        names = route.provider.name, route.model.name
        return Unpriced(provider=names[0], model=names[1], refused=True, tool=tool, tier="" if tool else tier)

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
                return await self.durable(said)
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
        quote = self.quote(ask, route, now) if isinstance(said, Refused) and said.too_large else None
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
        quote = self.quote(ask, route, now)
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
        if attempt.cost is not None:
            return
        usage = charged(report.ending, report.reported, report.seen, complete=report.complete)
        if usage is not None and attempt.ask.body.server_tools and report.ending is not Ending.FAILED:
            usage = with_tools(usage, attempt.ask.body.server_tools, attempt.ask.surface.form)
        attempt.usage, attempt.ended_at = usage, self._clock.now()
        if usage is None or not attempt.ask.surface.metered:
            attempt.cost = 0
            self.release(attempt)
            return
        attempt.cost = min(_charge(attempt, usage, report), MOST)
        self.budgets.settle(attempt.held, attempt.cost, self._row(attempt, usage, report))
        if usage.source is UsageSource.PROVIDER:
            size = attempt.ask.body.size
            self.habit(attempt.ask, attempt.route).learn(
                size=size.text,
                input=usage.input,
                cached=usage.cache_read,
                output=usage.output,
                reasoning=usage.reasoning,
                media=size.media * MEDIA_TOKENS,
            )

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
        left = (
            each.payer.limits.hard_at - each.spent - each.held_exp + exp for each in attempt.held.accounts
        )
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

    def _cap(self, ask: Ask, route: Route, price: Price) -> int:
        if not ask.surface.generates:
            return 0
        wanted = ask.body.output_cap or route.model.max_output or price.max_output or _USUAL_CAP
        most = ask.models.output_cap
        return wanted if most is None else min(wanted, most)

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

    def _teams(self, workflow: str) -> str:
        """Return the teams that a call counts for, found once for each policy."""
        bundle = self._memory.bundle
        if self._named[0] is not bundle:
            self._named = bundle, {}
        known = self._named[1]
        if workflow not in known:
            known[workflow] = ",".join(() if bundle is None else teams_of(bundle, workflow))
        return known[workflow]

    def _row(self, attempt: Attempt, usage: Usage, report: Report) -> LedgerRow:
        ask, price, bundle = attempt.ask, attempt.quote.price, self._memory.bundle
        principal = ask.principal
        facts = self._memory.runs.get(principal.run)
        above = () if facts is None else facts.above
        organisation = None if bundle is None else bundle.organisation
        return LedgerRow(
            attempt=attempt.id,
            environment=self._memory.environment,
            run=principal.run,
            root_run=above[-1][0] if above else principal.run,
            workflow=principal.workflow,
            version=principal.workflow_version,
            agent=principal.agent,
            team=self._teams(principal.workflow),
            organisation="" if organisation is None else organisation.name,
            customer=ask.customer,
            provider=attempt.route.provider.name,
            requested_model=ask.requested,
            served_model=report.model or attempt.route.model.name,
            price_version=price.label if price is not _FREE else "",
            input_uncached=usage.input_uncached,
            cache_read=usage.cache_read,
            cache_write_5m=usage.cache_write_5m,
            cache_write_1h=usage.cache_write_1h,
            output=usage.output,
            reasoning=usage.reasoning,
            tools=dict(usage.tools),
            usage_source=usage.source,
            ending=report.ending,
            degraded=attempt.degraded,
            context_tokens=usage.context,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            step=ask.step,
        )
