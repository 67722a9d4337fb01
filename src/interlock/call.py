"""One governed call, from proposal to answer: measure, admit, execute, settle, in this order and place.

A write runs in a task of its own: a caller who goes away does not stop what was sent. Callers wait for
what the action becomes and are told; the table in `docs/explanation/waiting-calls.md` says what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from interlock.core.action import Action, ActionState
from interlock.core.answer import (
    Answer,
    Broken,
    Completed,
    Continuation,
    InputAsked,
    Proposal,
    Refused,
)
from interlock.core.identity import check_principal
from interlock.core.model import Decision, Json, Principal, Request
from interlock.errors import CommitUnknown, SnapshotMoved, StateConflict, StoreError
from interlock.runtime import Runtime
from interlock.services.admit import ATTEMPTS, Admit, is_read
from interlock.services.attend import Attend
from interlock.services.expire import Expire
from interlock.services.measure import DEADLINE, Measure
from interlock.services.recover import Recover
from interlock.services.settle import UNWRITTEN, Settle, unrecorded
from interlock.settings import Settings
from interlock.store import actions
from interlock.store.collected import Collected
from interlock.store.database import Store
from interlock.store.memory import CallKey, LiveAction, Memory
from interlock.store.watch import Watch
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

log = logging.getLogger(__name__)

TICK = 0.5
_PATIENCE = 10.0
_RETRY = 0.5
_NOBODY = "There is no approval of that name in this run."
_NO_CALL = "No call in this run waits for this input."


class Calls:
    """The engine of one process. `start` it before the first call, `close` it after the last."""

    def __init__(
        self, *, store: Store, memory: Memory, executor: Executor, runtime: Runtime, settings: Settings
    ) -> None:
        process = runtime.ids.new("prc")
        self._store = store
        self._memory = memory
        self._executor = executor
        self._runtime = runtime
        self._timeout = settings.call_timeout
        self._admit = Admit(
            store=store, memory=memory, runtime=runtime, process=process, call_timeout=settings.call_timeout
        )
        self.measure = Measure(
            store=store, memory=memory, runtime=runtime, execute=self._execute,
            deadline=min(DEADLINE, settings.call_timeout),
        )  # fmt: skip
        self._settle = Settle(store=store, memory=memory, runtime=runtime)
        self._expire = Expire(store=store, memory=memory)
        self._recover = Recover(store=store, memory=memory, runtime=runtime, process=process)
        self._collected = Collected(store, runtime)
        self.watch = Watch(memory, runtime)
        self._attend = Attend(
            store=store, memory=memory, runtime=runtime, watch=self.watch, collected=self._collected
        )
        self._admitting: dict[CallKey, asyncio.Future[None]] = {}
        self._flights: dict[str, asyncio.Task[Action | StoreError]] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._clock: asyncio.Task[None] | None = None
        self._closing = False
        self.process = process

    async def start(self, *, lasting: bool = True) -> None:
        """Settle what a dead process left, execute what was approved, start the clock.

        A process that is not `lasting` leaves execution and the clock to the next that is: it could be
        gone before an answer came. The runs, the bundle and the pins must be in memory already. Raises
        `StoreError`.
        """
        self._memory.watchers.append(self._moved)
        approved = await self._recover.start()
        if not lasting:
            return
        for action in approved:
            self.decided(action.id)
        self._clock = self._runtime.scheduler.spawn(self._tick(), name="action clock")

    async def close(self) -> None:
        """Take no more calls, let what was sent finish for a moment, and write what was noted."""
        self._closing = self._attend.closing = True
        if self._clock is not None:
            self._clock.cancel()
        if self._moved in self._memory.watchers:
            self._memory.watchers.remove(self._moved)
        self.watch.close()
        under_way = [*self._flights.values(), *self._late]
        if under_way:
            await asyncio.wait(under_way, timeout=_PATIENCE)
        for task in under_way:
            task.cancel()
        try:
            await self._collected.flush()
        except StoreError as error:
            log.warning("outcomes that were told could not be noted: %s", error.message)

    async def propose(self, proposal: Proposal, *, bridge: Bridge | None = None, wait: float) -> Answer:
        """Decide `proposal` and carry it out, or say why not. `wait` is how long to wait for a person (s).

        An identical call attaches to the open action. Never raises for what the store or a tool does.
        """
        if self._closing:
            return Broken(message="Interlock is shutting down; nothing was sent.")
        try:
            if proposal.continuation is not None and proposal.continuation.request_state:
                return await self._continue(proposal, proposal.continuation, bridge, wait)
            return await self._propose(proposal, bridge, wait)
        except StoreError as error:
            return _store_down(error)

    async def resume(
        self, principal: Principal, approval_id: str, *, bridge: Bridge | None = None, wait: float
    ) -> Answer:
        """Collect the outcome of the call that `approval_id` (or an action's id) is about. Runs nothing."""
        try:
            refused = self._stranger(principal)
            if refused is not None:
                return refused
            action = await self._store.read(lambda found: actions.named(found, approval_id))
            if action is None or action.run != principal.run or action.agent != principal.agent:
                return Broken(message=_NOBODY)
            if principal.scope is not None and action.tool not in principal.scope:
                return Broken(message=_NOBODY)
            return await self._attend.follow(action.id, bridge=bridge, wait=wait, patient=wait > 0)
        except StoreError as error:
            return _store_down(error)

    def decided(self, action_id: str) -> None:
        """Execute `action_id` at once if it is approved. Call it after a person's decision is committed."""
        if self._flying(action_id) or self._closing:
            return
        live = self._memory.actions.get(action_id)
        if live is None or live.state is not ActionState.APPROVED:
            return
        if live.tool not in self._memory.pins:  # after a start: its server has not said yet what it offers
            return  # the clock looks again
        self._launch(action_id, self._go(action_id))

    async def _propose(self, proposal: Proposal, bridge: Bridge | None, wait: float) -> Answer:
        request = proposal.request
        key = (request.principal.run, request.tool, request.digest)
        for _ in range(ATTEMPTS):
            while (ahead := self._admitting.get(key)) is not None:
                await asyncio.shield(ahead)
            live = self._memory.live(key)
            if live is not None and not _asks_anew(proposal, live):
                return await self._attach(live, request, bridge, wait)
            measured = await self.measure.reach(request) if self.measure.declared(request.tool) else None
            if measured is not None and (key in self._admitting or self._memory.live(key) is not live):
                continue  # an identical call was faster
            decision = self._admit.decide(request, measured=measured)
            if decision.denied:
                await self._admit.refuse(request, decision)
                return Refused(decision=decision)
            if is_read(decision):
                return await self._read(proposal, decision, bridge)
            if live is not None:
                self._memory.uncount_call(live.run, live.tool)
                return await self._attach(live, request, bridge, wait)
            try:
                return await self._write(proposal, request, decision, bridge, wait)
            except SnapshotMoved:
                continue
        return Broken(message="What this call was decided on kept changing; nothing was sent. Try again.")

    async def _attach(self, live: LiveAction, request: Request, bridge: Bridge | None, wait: float) -> Answer:
        refused = self._stranger(request.principal)
        if refused is not None:
            return refused
        narrowed = await self._narrowed(request)
        if narrowed is not None:
            return narrowed
        return await self._attend.follow(live.id, bridge=bridge, wait=wait, patient=True)

    async def _narrowed(self, request: Request) -> Refused | None:
        """Refuse a caller whose own token does not hold the tool, whatever its run has under way."""
        scope = request.principal.scope
        if scope is None or request.tool in scope:
            return None
        decision = self._admit.decide(request)  # which says no, and why
        await self._admit.refuse(request, decision)
        return Refused(decision=decision)

    def _stranger(self, principal: Principal) -> Broken | None:
        """Say that the caller does not count any more, whatever it wants to collect."""
        now = self._runtime.clock.now()
        reason = check_principal(
            principal, self._memory.revoked, environment=self._memory.environment, now=now
        )
        return None if reason is None else Broken(message=reason.message)

    async def _write(
        self,
        proposal: Proposal,
        request: Request,
        decision: Decision,
        bridge: Bridge | None,
        wait: float,
    ) -> Answer:
        """Admit a call that is more than a read, in a task that outlives the caller."""
        key = (request.principal.run, request.tool, request.digest)
        ahead = self._admitting[key] = asyncio.get_running_loop().create_future()
        action_id = self._runtime.ids.new("act")
        self._launch(action_id, self._depart(action_id, proposal, request, decision, ahead))
        return await self._land(action_id, bridge, wait)

    async def _depart(
        self,
        action_id: str,
        proposal: Proposal,
        request: Request,
        decision: Decision,
        ahead: asyncio.Future[None],
    ) -> Action:
        try:
            action = await self._admit.record(
                request, decision, action=action_id, idempotency_key=proposal.idempotency_key
            )
        except CommitUnknown:
            self._keep(self._recover.disown(action_id))
            raise
        finally:
            del self._admitting[(request.principal.run, request.tool, request.digest)]
            ahead.set_result(None)
        if action.state is not ActionState.EXECUTING:
            return action
        return await self._carry_out(action, responses=proposal.foreseen)

    async def _go(self, action_id: str, given: Continuation | None = None) -> Action:
        """Execute an approved action, or go on with one that was `given` input; each is decided anew."""
        action, approval = await self._attend.load(action_id)
        if action.state is not (ActionState.APPROVED if given is None else ActionState.AWAITING_INPUT):
            return action
        measured = await self.measure.reach(actions.request_of(action), own=1)
        try:
            moved = await self._admit.again(action, approval, measured)
        except StateConflict:
            return (await self._attend.load(action_id))[0]
        if moved.state is not ActionState.EXECUTING:
            return moved
        if given is None:
            return await self._carry_out(moved)
        kept = msgspec.json.decode(action.input_state)
        return await self._carry_out(moved, responses=given.input_responses, upstream_state=kept["upstream"])

    async def _carry_out(
        self,
        action: Action,
        *,
        responses: Mapping[str, Json] | None = None,
        upstream_state: str | None = None,
    ) -> Action:
        """Send an action whose intent is on disk, and settle it. Nothing is retried but the settling."""
        relay = self._attend.relay(action.id)
        outcome = await self._execute(
            Dispatch(
                action=action.id,
                server=action.tool.partition(".")[0],
                tool=action.tool.partition(".")[2],
                arguments=action.arguments,
                principal=actions.principal_of(action),
                timeout=float(self._timeout),
                approved=bool(action.approval),
                input_responses=responses,
                request_state=upstream_state,
            ),
            relay if relay else None,
        )
        return await self._settled(action, outcome)

    async def _execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        try:
            return await self._executor.execute(dispatch, bridge)
        except Exception as error:
            log.exception("the executor failed")
            return Unknown(message=f"The call broke off ({type(error).__name__}); its outcome is not known.")

    async def _settled(self, action: Action, outcome: Outcome) -> Action:
        """Write the outcome down. While the store cannot be written the caller is told that it is not."""
        try:
            return await self._settle.outcome(action, outcome)
        except StateConflict:
            return (await self._attend.load(action.id))[0]
        except StoreError as error:
            log.error("the outcome of %s cannot be written yet: %s", action.id, error.message)
            self._keep(self._until_written(lambda: self._settle.outcome(action, outcome)))
            return replace(action, state=ActionState.IN_DOUBT, error=UNWRITTEN)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        late = self._runtime.scheduler.spawn(work, name="what the store could not take")
        self._late.add(late)
        late.add_done_callback(self._late.discard)

    async def _noted(self, request: Request, outcome: Outcome) -> StoreError | None:
        """Record how a read ended; what the store cannot take now is recorded later, and returned."""
        try:
            await self._settle.read(request, outcome)
        except StoreError as error:
            self._keep(self._until_written(lambda: self._settle.read(request, outcome)))
            return error
        return None

    async def _until_written(self, settle: Callable[[], Awaitable[object]]) -> None:
        delay = _RETRY
        while True:
            await self._runtime.scheduler.sleep(delay)
            try:
                await settle()
                return
            except StateConflict:
                return
            except StoreError:
                delay = min(delay * 2, _PATIENCE)

    async def _read(self, proposal: Proposal, decision: Decision, bridge: Bridge | None) -> Answer:
        """Carry an allowed read out in the caller's own task: when the caller goes, the read is cancelled."""
        request = proposal.request
        run, tool = request.principal.run, request.tool
        try:
            await self._admit.allow_read(request, decision)
        except BaseException:
            self._memory.uncount_call(run, tool)
            raise
        self._collected.read(run, tool)
        outcome: Outcome = Unknown(message="The caller cancelled it.")
        try:
            outcome = await self._execute(self._dispatch(proposal), bridge)
        finally:
            if isinstance(outcome, Unknown):
                self._runtime.scheduler.spawn(self._noted(request, outcome), name="settle a read")
        if isinstance(outcome, NotSent):
            self._collected.read(run, tool, times=-1)
        unwritten = None if isinstance(outcome, Unknown) else await self._noted(request, outcome)
        if unwritten is not None:
            return Broken(message=unrecorded(outcome, unwritten))
        match outcome:
            case InputNeeded():
                return await self._park_read(request, decision, outcome)
            case Succeeded(payload=payload):
                return Completed(action=None, payload=payload)
            case Failed(message=message, payload=payload):
                return Broken(message=message) if payload is None else Completed(action=None, payload=payload)
            case Unknown(message=message) | NotSent(message=message):
                return Broken(message=message)

    async def _park_read(self, request: Request, decision: Decision, outcome: InputNeeded) -> Answer:
        """A read whose tool asks for input becomes an action, so that the answer finds it again."""
        self._collected.read(request.principal.run, request.tool, times=-1)
        action_id = self._runtime.ids.new("act")
        state, asked = self._settle.ask_for_input(action_id, outcome.payload)
        try:
            await self._admit.record(
                request, decision, action=action_id, parked={"state": state, "payload": asked}
            )
        except StoreError as error:
            return Broken(message=unrecorded(outcome, error))
        return InputAsked(action=action_id, payload=asked)

    async def _continue(
        self, proposal: Proposal, given: Continuation, bridge: Bridge | None, wait: float
    ) -> Answer:
        """Go on with the action that asked for input, if the state that came back is the one it gave out."""
        request = proposal.request
        refused = self._stranger(request.principal)
        if refused is not None:
            return refused
        action = await self._store.read(lambda found: actions.asking(found, given.request_state))
        if action is None or not _same_call(action, request):
            return Broken(message=_NO_CALL)
        narrowed = await self._narrowed(request)
        if narrowed is not None:
            return narrowed
        if not self._flying(action.id):
            self._launch(action.id, self._go(action.id, given))
        return await self._land(action.id, bridge, wait)

    async def _land(self, action_id: str, bridge: Bridge | None, wait: float) -> Answer:
        """Wait for a flight, then for whatever the action waits for."""
        relay = self._attend.relay(action_id)
        if bridge is not None:
            relay.attach(bridge)
        try:
            ended = await asyncio.shield(self._flights[action_id])
        finally:
            if bridge is not None:
                relay.detach(bridge)
        if isinstance(ended, StoreError):
            raise ended
        if ended.state.final:
            return self._attend.tell(ended)
        return await self._attend.follow(action_id, bridge=bridge, wait=wait)

    def _launch(self, action_id: str, work: Coroutine[Any, Any, Action]) -> None:
        flight = self._runtime.scheduler.spawn(_guarded(work), name=f"action {action_id}")
        self._flights[action_id] = flight
        flight.add_done_callback(lambda done: self._landed(action_id, done))

    def _landed(self, action_id: str, flight: asyncio.Task[Action | StoreError]) -> None:
        if self._flights.get(action_id) is flight:
            del self._flights[action_id]
        live = self._memory.actions.get(action_id)
        if live is None or live.state.final:
            self._attend.leave(action_id)

    def _flying(self, action_id: str) -> bool:
        flight = self._flights.get(action_id)
        return flight is not None and not flight.done()

    def _moved(self, live: LiveAction) -> None:
        if live.state is ActionState.APPROVED:
            self.decided(live.id)
        elif live.state.final and not self._flying(live.id):
            self._attend.leave(live.id)

    async def _tick(self) -> None:
        """Do what is due: expire, release, execute what was approved and could not be begun."""
        while True:
            await self._runtime.scheduler.sleep(TICK)
            now = self._runtime.clock.now()
            for live in list(self._memory.actions.values()):
                if live.state is ActionState.APPROVED:
                    self.decided(live.id)
                try:
                    await self._expire.look(live, now)
                except StoreError as error:
                    log.warning("clock work on %s must wait: %s", live.id, error.message)
                except Exception:
                    log.exception("clock work on %s failed; the clock goes on", live.id)

    def _dispatch(self, proposal: Proposal) -> Dispatch:
        server, _, tool = proposal.tool.partition(".")
        return Dispatch(
            action=None,
            server=server,
            tool=tool,
            arguments=proposal.arguments,
            principal=proposal.principal,
            timeout=float(self._timeout),
            input_responses=proposal.foreseen,
        )


async def _guarded(work: Coroutine[Any, Any, Action]) -> Action | StoreError:
    """Return the store's error as a value: whoever waits raises it, and the clock tries again."""
    try:
        return await work
    except StoreError as error:
        return error


def _asks_anew(proposal: Proposal, live: LiveAction) -> bool:
    """Whether answers came without the state of the call that asked: a read that starts over."""
    return proposal.foreseen is not None and live.state is ActionState.AWAITING_INPUT


def _same_call(action: Action, request: Request) -> bool:
    principal = request.principal
    mine = (principal.run, principal.agent, request.tool, request.digest)
    return mine == (action.run, action.agent, action.tool, action.digest)


def _store_down(error: StoreError) -> Broken:
    return Broken(message=f"The call was not sent, because it cannot be recorded now: {error.message}")
