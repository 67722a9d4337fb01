"""Pay for a tool call with a declared cost, from the same accounts as model calls (B1, B8).

The decision has looked at the accounts already; here the money is held, at the moment the call is sent, and
charged unless it turns out that nothing was. A call that waits for a person holds nothing while it waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.budget import Refused
from interlock.core.payer import organisation_of, teams_of
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.store.budgets import Budgets, Held
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow
from interlock.upstream.executor import (
    Bridge,
    Dispatch,
    Executor,
    Failed,
    InputNeeded,
    NotSent,
    Outcome,
    Succeeded,
    Unknown,
)

_NOT_COVERED = "The budget does not cover this call."
_LEFT = "The caller cancelled it."
_ENDINGS: dict[type[Outcome], str] = {
    Succeeded: "completed",
    Failed: "failed",
    InputNeeded: "input_needed",
    Unknown: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """An executor that pays for what costs money, around the one that sends."""

    executor: Executor
    memory: Memory
    budgets: Budgets
    runtime: Runtime

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry `dispatch` out and say how it ended; what the budget does not cover is not sent."""
        cost = self._cost(f"{dispatch.server}.{dispatch.tool}")
        if not cost:
            return await self.executor.execute(dispatch, bridge)
        attempt, began = self.runtime.ids.new("att"), self.runtime.clock.now()
        held = self.budgets.hold(dispatch.principal, attempt, exp=cost, most=cost, now=began)
        if not isinstance(held, Held):
            return NotSent(message=held.message if isinstance(held, Refused) else _NOT_COVERED)
        outcome: Outcome = NotSent(message=_LEFT)
        try:
            refused = await self._durable(held)
            if refused is not None:
                return refused
            outcome = Unknown(message=_LEFT)
            outcome = await self.executor.execute(dispatch, bridge)
            return outcome
        finally:
            if isinstance(outcome, NotSent):
                self.budgets.release(held)
            else:
                self.budgets.settle(held, cost, self._row(dispatch, outcome, began))

    def _cost(self, tool: str) -> int:
        compiled = None if self.memory.bundle is None else self.memory.bundle.tools.get(tool)
        return 0 if compiled is None else compiled.cost_per_call

    async def _durable(self, held: Held) -> NotSent | None:
        try:
            refused = await self.budgets.durable(held)
        except StoreError as error:
            return NotSent(message=f"What it costs cannot be recorded now: {error.message}")
        return None if refused is None else NotSent(message=refused.message)

    def _row(self, dispatch: Dispatch, outcome: Outcome, began: int) -> LedgerRow:
        caller, bundle = dispatch.principal, self.memory.bundle
        facts = self.memory.runs.get(caller.run)
        teams = () if bundle is None else teams_of(bundle, caller.workflow)
        organisation = None if bundle is None else organisation_of(bundle)
        tool = f"{dispatch.server}.{dispatch.tool}"
        return LedgerRow(
            attempt="",
            kind="tool",
            environment=caller.environment,
            run=caller.run,
            root_run=facts.above[-1][0] if facts is not None and facts.above else caller.run,
            workflow=caller.workflow,
            version=caller.workflow_version,
            agent=caller.agent,
            team=",".join(teams),
            organisation=organisation.name if organisation is not None else "",
            provider=dispatch.server,
            requested_model=tool,
            served_model=tool,
            usage_source="uncertain" if isinstance(outcome, Unknown) else "provider",
            ending=_ENDINGS[type(outcome)],
            started_at=began,
            ended_at=self.runtime.clock.now(),
            step=dispatch.action or "",
        )
