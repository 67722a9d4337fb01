"""One governed call, from proposal to answer: measure, admit, execute, settle, in this order and place.

A read is carried out in the caller's own task, a write in one of its own. Callers wait for what the
action becomes and are told; the table in `docs/explanation/waiting-calls.md` says what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from interlock.call.asked import Asked, Keeps, anybody
from interlock.call.due import Due
from interlock.call.flight import Flights
from interlock.call.late import Late
from interlock.call.others import Others
from interlock.call.quiet import Quiet
from interlock.call.read import Reads
from interlock.call.rejoin import Rejoin
from interlock.call.send import Send
from interlock.call.timers import ring_of
from interlock.call.undo import undos_of
from interlock.call.write import Writes
from interlock.core.action import Action, ActionState
from interlock.core.answer import Answer, Broken, Continuation, InputAsked, Proposal, Refused
from interlock.core.model import Principal, Request
from interlock.errors import CommitUnknown, SnapshotMoved, StoreError
from interlock.runtime import Runtime
from interlock.services.admit import ATTEMPTS, Admit, is_read
from interlock.services.attend import Attend
from interlock.services.expire import Expire
from interlock.services.measure import DEADLINE, Measure
from interlock.services.readmit import Readmit
from interlock.services.recover import Recover
from interlock.services.settle import Counted, Settle, uncounted
from interlock.settings import Settings
from interlock.store.collected import Collected
from interlock.store.database import Store
from interlock.store.memory import CallKey, LiveAction, Memory, call_key
from interlock.store.watch import Watch
from interlock.upstream.executor import Bridge, Executor, Outcome

log = logging.getLogger(__name__)

_PATIENCE = 10.0
_PERHAPS = (
    "Nothing was sent yet, but whether this call is on record is not known: it may wait for a person. "
    "Ask again."
)
_KEPT_CHANGING = "What this call was decided on kept changing; nothing was sent. Try again."


def _always(_tool: str, _run: str) -> bool:
    return True


class Calls:
    """The engine of one process. `start` it before the first call, `close` it after the last.

    `ready(tool, run)` says whether an approved call could be sent now, in the run or, where none is named,
    in any; one that could not waits for it.
    `counts` says what the end of a read counts for breakers. `recovery` carries out undos: no kill and no
    budget is in its way. `keeps(state)` says whether a call that asked people can go on here.
    """

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        executor: Executor,
        runtime: Runtime,
        settings: Settings,
        ready: Callable[[str, str], bool] = _always,
        counts: Callable[[Request, Outcome], Counted] = uncounted,
        recovery: Executor | None = None,
        keeps: Keeps = anybody,
    ) -> None:
        self.process = process = runtime.ids.new("prc")
        self.watch = Watch(memory, runtime)
        self._ready = ready
        timeout = settings.call_timeout
        send = Send(
            executor=executor, timeout=float(timeout), clock=runtime.clock, asks_people=memory.asks_people
        )
        self.measure = Measure(
            store=store, memory=memory, runtime=runtime, execute=send.execute, deadline=min(DEADLINE, timeout)
        )
        self._store, self._memory, self._scheduler = store, memory, runtime.scheduler
        self._collected = collected = Collected(store, runtime)
        self._admit = admit = Admit(
            store=store, memory=memory, runtime=runtime, process=process, call_timeout=timeout
        )
        readmit = Readmit(store=store, memory=memory, runtime=runtime, process=process, call_timeout=timeout)
        recover = Recover(store=store, memory=memory, runtime=runtime, process=process, call_timeout=timeout)
        attend = Attend(store=store, memory=memory, runtime=runtime, watch=self.watch, collected=collected)
        self._recover, self._attend = recover, attend
        self._late = late = Late(runtime)
        settle = Settle(store=store, memory=memory, runtime=runtime, call_timeout=timeout, counts=counts)
        self.flights = Flights(memory=memory, runtime=runtime, attend=attend)
        attend.here = self.flights.aloft
        self._asked = Asked(store=store, memory=memory, attend=attend, keeps=keeps)
        self._others = Others(store=store, memory=memory, attend=attend, flights=self.flights)
        self._rejoin = Rejoin(store=store, memory=memory, runtime=runtime, admit=admit, attend=attend)
        self._reads = Reads(
            memory=memory, runtime=runtime, admit=admit, settle=settle, send=send, late=late,
            collected=collected,
        )  # fmt: skip
        self._writes = Writes(
            runtime=runtime, admit=admit, readmit=readmit, attend=attend, measure=self.measure, settle=settle,
            recover=recover, send=send, flights=self.flights, late=late,
        )  # fmt: skip
        self._undos = undos_of(
            store, memory, runtime, recovery or executor,
            process=process, timeout=timeout, attend=attend, late=late,
        )  # fmt: skip
        self._quiet = Quiet(runtime.clock, timeout=timeout)
        self.ring = ring_of(store, memory, runtime, self.measure)
        self._due = Due(
            memory=memory, runtime=runtime, ring=self.ring, expire=Expire(store=store, memory=memory),
            begin=self.decided, sweep=self._sweep,
        )  # fmt: skip
        self._clock: asyncio.Task[None] | None = None
        self._closing = False

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
        self._clock = self._scheduler.spawn(self._due.run(), name="action clock")

    async def close(self) -> None:
        """Take no more calls, let what was sent finish for a moment, and write what was noted."""
        self._closing = self._attend.closing = True
        if self._clock is not None:
            self._clock.cancel()
        if self._moved in self._memory.watchers:
            self._memory.watchers.remove(self._moved)
        self.watch.close()
        under_way = [*self.flights.tasks, *self._late.tasks]
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
            return await self._rejoin.collect(principal, approval_id, bridge=bridge, wait=wait)
        except StoreError as error:
            return Broken(message=f"What became of this call cannot be read now; ask again. {error.message}")

    def decided(self, action_id: str) -> None:
        """Execute `action_id` at once if it is approved, or due again. Call it when that is committed."""
        if self._closing or self.flights.aloft(action_id):
            return
        live = self._memory.actions.get(action_id)
        if live is not None and self._asked.waits(live):
            self.flights.launch(action_id, self._answered(action_id))
            return
        if live is None or live.state not in (ActionState.APPROVED, ActionState.RETRY):
            return
        if live.comp_of:
            now = self._store.now()
            if self._quiet.over(live, now) and live.due_at <= now and self._ready(live.tool, ""):
                self.flights.launch(action_id, self._undos.go(action_id))
            return
        if live.tool not in self._memory.pins:  # after a start: its server has not said yet what it offers
            return  # the clock looks again
        if not self._ready(live.tool, "" if live.follows else live.run):
            return
        self.flights.launch(action_id, self._writes.go(action_id))

    async def _sweep(self) -> None:
        """Take up what nobody carries out, but for what this process is about; know what others do."""
        await self._recover.sweep({*self.flights.aloft_now, *self._late.about})
        await self._others.follow()
        for each in await self._asked.over():
            self.decided(each)

    async def _answered(self, action_id: str) -> Action:
        """Go on with a call whose tool server asked people, when that is over."""
        given = await self._asked.given(action_id)
        if given is None:
            return (await self._attend.load(action_id))[0]
        return await self._writes.go(action_id, given)

    async def _propose(self, proposal: Proposal, bridge: Bridge | None, wait: float) -> Answer:
        request = proposal.request
        key = call_key(request.principal.run, request.tool, request.digest, proposal.idempotency_key)
        admitting, overtaken = self._writes.admitting, bool(proposal.idempotency_key)
        for _ in range(ATTEMPTS):
            live = await self._identical(proposal, key, look=overtaken)
            people = self._memory.asks_people(request.principal.run)
            if live is not None and (people or not _asks_anew(proposal, live)):
                return await self._rejoin.attach(live, request, bridge, wait)
            measured = await self.measure.reach(request) if self.measure.declared(request.tool) else None
            if measured is not None and (key in admitting or self._memory.live(key) is not live):
                continue  # an identical call was faster
            decision = self._admit.decide(request, measured=measured)
            if decision.denied:
                await self._admit.refuse(request, decision)
                return Refused(decision=decision)
            if is_read(decision):
                answer = await self._reads.carry_out(proposal, decision, bridge)
                if isinstance(answer, InputAsked) and people:
                    return await self._attend.follow(answer.action, bridge=bridge, wait=wait)
                return answer
            if live is not None:
                self._memory.uncount_call(live.run, live.tool)
                return await self._rejoin.attach(live, request, bridge, wait)
            try:
                return await self._writes.begin(proposal, request, decision, bridge, wait)
            except SnapshotMoved:
                if not self._store.alone:
                    overtaken = True
                    await self._others.recount(request.principal.run)
        return Broken(message=_KEPT_CHANGING)

    async def _identical(self, proposal: Proposal, key: CallKey, *, look: bool) -> LiveAction | None:
        """Return the action that a call is: the live one, or where it has to `look`, one on disk."""
        while True:
            while (ahead := self._writes.admitting.get(key)) is not None:
                await asyncio.shield(ahead)
            live = self._memory.live(key)
            if live is not None or not look:
                return live
            live = await self._rejoin.elsewhere(proposal)
            if key not in self._writes.admitting:
                return live

    async def _continue(
        self, proposal: Proposal, given: Continuation, bridge: Bridge | None, wait: float
    ) -> Answer:
        """Go on with the action that asked for input."""
        action = await self._rejoin.asking(proposal.request, given)
        if not isinstance(action, Action):
            return action
        if not self.flights.aloft(action.id):
            self.flights.launch(action.id, self._writes.go(action.id, given))
        return await self.flights.land(action.id, bridge, wait)

    def _moved(self, live: LiveAction) -> None:
        if live.state is ActionState.APPROVED:
            self.decided(live.id)
        else:
            self.flights.moved(live)


def _asks_anew(proposal: Proposal, live: LiveAction) -> bool:
    """Whether answers came without the state of the call that asked: a read that starts over."""
    return proposal.foreseen is not None and live.state is ActionState.AWAITING_INPUT


def _store_down(error: StoreError) -> Broken:
    if isinstance(error, CommitUnknown):
        return Broken(message=f"{_PERHAPS} {error.message}")
    return Broken(message=f"The call was not sent, because it cannot be recorded now: {error.message}")
