"""A call that is more than a read: its intent on disk, then sent, then settled; no attempt is sent twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from interlock.call.flight import Flights
from interlock.call.late import Late
from interlock.call.send import Send
from interlock.core.action import Action, ActionState
from interlock.core.answer import Answer, Continuation, Proposal
from interlock.core.model import Decision, Json, Request
from interlock.errors import CommitUnknown, StateConflict, StoreError
from interlock.runtime import Runtime
from interlock.services.admit import Admit
from interlock.services.attend import Attend
from interlock.services.measure import Measure
from interlock.services.readmit import Readmit
from interlock.services.recover import Recover
from interlock.services.settle import UNWRITTEN, Settle
from interlock.store import actions
from interlock.store.memory import CallKey, call_key
from interlock.upstream.executor import Bridge, Outcome

log = logging.getLogger(__name__)

_NOT_KNOWN = "Whether an identical call is on record is not known yet."
_READY = frozenset({ActionState.APPROVED, ActionState.RETRY})
_ASKED = frozenset({ActionState.AWAITING_INPUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """Carries out actions. `admitting` holds the calls whose intent is on its way to the disk."""

    runtime: Runtime
    admit: Admit
    readmit: Readmit
    attend: Attend
    measure: Measure
    settle: Settle
    recover: Recover
    send: Send
    flights: Flights
    late: Late
    admitting: dict[CallKey, asyncio.Future[None]] = field(
        default_factory=dict[CallKey, asyncio.Future[None]]
    )

    async def begin(
        self,
        proposal: Proposal,
        request: Request,
        decision: Decision,
        bridge: Bridge | None,
        wait: float,
    ) -> Answer:
        """Admit a call and carry it out in a flight, or let it wait for a person `wait` seconds.

        Raises `SnapshotMoved` when what it was decided on is no longer so, and `StoreError`.
        """
        key = call_key(request.principal.run, request.tool, request.digest, proposal.idempotency_key)
        ahead = self.admitting[key] = asyncio.get_running_loop().create_future()
        action_id = self.runtime.ids.new("act")
        self.flights.launch(action_id, self._depart(action_id, proposal, decision, key, ahead))
        return await self.flights.land(action_id, bridge, wait)

    async def go(self, action_id: str, given: Continuation | None = None) -> Action:
        """Execute an approved action, send one again, or go on with one that was `given` input.

        Each is decided anew.
        """
        action, approval = await self.attend.load(action_id)
        if action.state not in (_READY if given is None else _ASKED):
            return action
        measured = await self.measure.reach(actions.request_of(action), own=1)
        leased = self.runtime.clock.monotonic()
        try:
            moved = await self.readmit.again(action, approval, measured)
        except StateConflict:
            return (await self.attend.load(action_id))[0]
        if moved.state is not ActionState.EXECUTING:
            return moved
        if given is None:
            return await self._carry_out(moved, leased)
        kept = msgspec.json.decode(action.input_state)
        return await self._carry_out(
            moved, leased, responses=given.input_responses, upstream_state=kept["upstream"]
        )

    async def _depart(
        self,
        action_id: str,
        proposal: Proposal,
        decision: Decision,
        key: CallKey,
        ahead: asyncio.Future[None],
    ) -> Action:
        leased = self.runtime.clock.monotonic()
        try:
            action = await self.admit.record(
                proposal.request, decision, action=action_id, idempotency_key=proposal.idempotency_key
            )
        except CommitUnknown:
            self.late.keep(self._disown(action_id, proposal.request, key, ahead))
            raise
        except BaseException:
            self._admitted(key, ahead)
            raise
        self._admitted(key, ahead)
        if action.state is not ActionState.EXECUTING:
            return action
        people = self.send.asks_people(action.run)  # no client answers in their place
        return await self._carry_out(action, leased, responses=None if people else proposal.foreseen)

    async def _disown(
        self, action_id: str, request: Request, key: CallKey, ahead: asyncio.Future[None]
    ) -> None:
        """Learn what became of an intent. Nobody makes the same call before that: it may be on the disk."""
        try:
            while not await self.recover.disown(action_id, request):
                if not ahead.done():  # nobody waits for a store that does not answer
                    ahead.set_exception(CommitUnknown(_NOT_KNOWN, hint="Ask again in a moment."))
                    ahead.exception()  # it is no fault if nobody made the same call
        finally:
            del self.admitting[key]
            if not ahead.done():
                ahead.set_result(None)

    def _admitted(self, key: CallKey, ahead: asyncio.Future[None]) -> None:
        """Let identical calls go on: they find what this one became."""
        del self.admitting[key]
        ahead.set_result(None)

    async def _carry_out(
        self,
        action: Action,
        leased: float,
        *,
        responses: Mapping[str, Json] | None = None,
        upstream_state: str | None = None,
    ) -> Action:
        """Send an action whose intent is on disk, and settle it. Nothing is retried here but the settling."""
        relay = self.attend.relay(action.id)
        outcome = await self.send.action(
            action,
            relay if relay else None,
            leased=leased,
            responses=responses,
            upstream_state=upstream_state,
        )
        return await self._settled(action, outcome)

    async def _settled(self, action: Action, outcome: Outcome) -> Action:
        """Write the outcome down. While the store cannot be written the caller is told that it is not."""
        try:
            return await self.settle.outcome(action, outcome)
        except StateConflict:
            return (await self.attend.load(action.id))[0]
        except StoreError as error:
            log.error("the outcome of %s cannot be written yet: %s", action.id, error.message)
            self.late.write(lambda: self.settle.outcome(action, outcome), about=action.id)
            return replace(action, state=ActionState.IN_DOUBT, error=UNWRITTEN)
