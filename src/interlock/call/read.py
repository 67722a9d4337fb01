"""A read, from its permit to its answer: in the caller's own task, so that it is cancelled with the caller.

It needs no action and no intent on disk. One whose tool asks for input becomes an action.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.call.late import Late
from interlock.call.send import Send
from interlock.core.answer import Answer, Broken, Completed, InputAsked, Proposal
from interlock.core.model import Decision, Request
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.services.admit import Admit
from interlock.services.settle import Settle, unrecorded
from interlock.store.collected import Collected
from interlock.store.memory import Memory
from interlock.upstream.executor import Bridge, Failed, InputNeeded, NotSent, Outcome, Succeeded, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """Carries out reads that were allowed."""

    memory: Memory
    runtime: Runtime
    admit: Admit
    settle: Settle
    send: Send
    late: Late
    collected: Collected

    async def carry_out(self, proposal: Proposal, decision: Decision, bridge: Bridge | None) -> Answer:
        """Record the permit, send the read, record how it ended, and answer.

        Raises `StoreUnavailable` when the permit cannot be recorded; nothing was sent then.
        """
        request = proposal.request
        run, tool = request.principal.run, request.tool
        try:
            await self.admit.allow_read(request, decision)
        except BaseException:
            self.memory.uncount_call(run, tool)
            raise
        self.collected.read(run, tool)
        outcome: Outcome = Unknown(message="The caller cancelled it.", left=True)
        try:
            outcome = await self.send.read(proposal, bridge)
        finally:
            if isinstance(outcome, Unknown):
                self.runtime.scheduler.spawn(self._noted(request, outcome), name="settle a read")
        if isinstance(outcome, NotSent):
            self.collected.read(run, tool, times=-1)
        unwritten = None if isinstance(outcome, Unknown) else await self._noted(request, outcome)
        if unwritten is not None:
            return Broken(message=unrecorded(outcome, unwritten))
        if isinstance(outcome, InputNeeded):
            return await self._park(request, decision, outcome)
        return _answer(outcome)

    async def _noted(self, request: Request, outcome: Outcome) -> StoreError | None:
        """Record how a read ended; what the store cannot take now is recorded later, and returned."""
        try:
            await self.settle.read(request, outcome)
        except StoreError as error:
            self.late.write(lambda: self.settle.read(request, outcome))
            return error
        return None

    async def _park(self, request: Request, decision: Decision, outcome: InputNeeded) -> Answer:
        """Make the read an action, so that the answer to its question finds it again."""
        self.collected.read(request.principal.run, request.tool, times=-1)
        action_id = self.runtime.ids.new("act")
        state, asked = self.settle.ask_for_input(action_id, outcome.payload)
        try:
            await self.admit.record(
                request, decision, action=action_id, parked={"state": state, "payload": asked}
            )
        except StoreError as error:
            return Broken(message=unrecorded(outcome, error))
        return InputAsked(action=action_id, payload=asked)


def _answer(outcome: Succeeded | Failed | NotSent | Unknown) -> Answer:
    match outcome:
        case Succeeded(payload=payload):
            return Completed(action=None, payload=payload)
        case Failed(message=message, payload=payload):
            return Broken(message=message) if payload is None else Completed(action=None, payload=payload)
        case Unknown(message=message) | NotSent(message=message):
            return Broken(message=message)
