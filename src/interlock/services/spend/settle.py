"""Turn what was set aside for an attempt into what it cost: once, in one row of the ledger (B1, B8)."""

from __future__ import annotations

from interlock.core.charge import Ending, charged, with_tools
from interlock.core.context import MEDIA_TOKENS
from interlock.core.payer import teams_of
from interlock.core.pricing import cost, cost_untold
from interlock.core.usage import Usage, UsageSource
from interlock.runtime import Clock
from interlock.services.spend.attempt import Attempt, Report
from interlock.services.spend.quote import FREE, Quotes
from interlock.store.budgets import Budgets
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow


class Settling:
    """How the attempts of one process are settled, and what is learned from them."""

    def __init__(self, *, memory: Memory, budgets: Budgets, quotes: Quotes, clock: Clock) -> None:
        self._memory = memory
        self._budgets = budgets
        self._quotes = quotes
        self._clock = clock
        self._named: tuple[object, dict[str, str]] = (None, {})

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
            self._budgets.release(attempt.held)
            return
        attempt.cost = _charge(attempt, usage, report)
        self._budgets.settle(attempt.held, attempt.cost, self._row(attempt, usage, report))
        if usage.source is UsageSource.PROVIDER:
            size = attempt.ask.body.size
            self._quotes.habit(attempt.ask, attempt.route).learn(
                size=size.text,
                input=usage.input,
                cached=usage.cache_read,
                output=usage.output,
                reasoning=usage.reasoning,
                media=size.media * MEDIA_TOKENS,
            )

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
            price_version=price.label if price is not FREE else "",
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


def _charge(attempt: Attempt, usage: Usage, report: Report) -> int:
    price = attempt.quote.price
    if report.service_tier:
        return cost(usage, price, service_tier=report.service_tier)
    return cost_untold(usage, price, asked=attempt.ask.body.service_tier)
