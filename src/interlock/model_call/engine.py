"""One governed model call: admit, hold, forward, settle, reply, in the shape of `call.py`.

The decision is made on values in memory and recorded before anything is sent; bytes pass as they come. A call
has one ending, whoever causes it: the provider, the caller who leaves, or a kill, which cuts a stream
well-formed. Here a call is decided, recorded and stopped; `attempt` holds, sends and settles.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from interlock.core.admission import decide_model
from interlock.core.model import Decision, Principal, WireFamily
from interlock.core.model_route import Route, RoutingTable
from interlock.errors import StoreError
from interlock.model_call.answer import Caller, Refusal, halted, refused, unrecorded
from interlock.model_call.attempt import Attempts
from interlock.model_call.life import Ended, Life, ModelRequest
from interlock.runtime import Runtime
from interlock.services.degrade import Degrade
from interlock.services.spend.hold import Spend
from interlock.store.database import JournalEntry, Store
from interlock.store.flights import Flight
from interlock.store.memory import Memory
from interlock.upstream.llm.providers import Providers
from interlock.upstream.span import Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalls:
    """The engine of model calls in one process."""

    store: Store
    memory: Memory
    providers: Providers
    spend: Spend
    degrade: Degrade
    runtime: Runtime
    spans: Spans | None = None
    attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        attempts = Attempts(
            memory=self.memory,
            providers=self.providers,
            spend=self.spend,
            degrade=self.degrade,
            scheduler=self.runtime.scheduler,
            spans=self.spans,
        )
        object.__setattr__(self, "attempts", attempts)

    def table(self) -> RoutingTable:
        """Return the models of the policy in force."""
        bundle = self.memory.bundle
        return RoutingTable() if bundle is None else bundle.routes

    def in_scope(self, principal: Principal, family: WireFamily) -> tuple[str, ...]:
        """Return the models that a caller may name."""
        bundle = self.memory.bundle
        workflow = None if bundle is None else bundle.workflows.get(principal.workflow)
        return () if workflow is None else self.table().in_scope(workflow.document.models, family)

    def begin(self, request: ModelRequest) -> ModelCall:
        """Return a call that has not done anything yet."""
        return ModelCall(self, Life(self.runtime.ids.new("mcl"), request))


class ModelCall:
    """One call. `run` carries it to its end; `leave` says that the caller is gone."""

    def __init__(self, engine: ModelCalls, life: Life) -> None:
        self.id = life.id
        self._engine = engine
        self._life = life

    @property
    def request(self) -> ModelRequest:
        """What was asked."""
        return self._life.request

    def leave(self) -> None:
        """Stop: nobody waits for the answer any more."""
        self._life.stop(Ended.CALLER)

    def _cut(self) -> None:
        self._life.stop(Ended.KILL)

    async def run(self, caller: Caller) -> Refusal | None:
        """Carry the call out; return why nothing was begun, or None when the caller has its answer."""
        life, flights = self._life, self._engine.memory.flights
        decision, routes = self._decide()
        task = life.task = asyncio.current_task()
        try:
            entry = self._entry(decision, routes)
            if decision.denied:
                return await self._recorded(entry) or refused(decision, kill=self._kill())
            flight = self._flight(routes[0])
            flights.begin(flight)  # before it waits for anything
            try:
                unwritten = None if self._engine.store.offer(entry) else await self._recorded(entry)
                return unwritten or await self._engine.attempts.along(routes, life, caller)
            finally:
                flights.end(flight)
        except asyncio.CancelledError:
            if life.ended is None or task is None:
                raise
            task.uncancel()
            return halted(self._kill()) if life.cut and not life.begun else None
        finally:
            life.task = None

    def _kill(self) -> str:
        return self._engine.memory.kill_of(self.request.principal)

    def _decide(self) -> tuple[Decision, tuple[Route, ...]]:
        engine, request = self._engine, self.request
        snapshot = engine.memory.snapshot(request.principal, "")
        return decide_model(
            request.principal,
            request.body.model,
            request.surface.family,
            engine.table(),
            snapshot,
            engine.runtime.clock.now(),
        )

    def _entry(self, decision: Decision, routes: tuple[Route, ...]) -> JournalEntry:
        """Return what goes on record of the decision."""
        principal = self.request.principal
        return JournalEntry(
            at=decision.decided_at,
            kind="model.denied" if decision.denied else "model.allowed",
            body={
                "verdict": decision.verdict,
                "code": decision.reason.code,
                "call": self.id,
                "model": self.request.body.model,
                "route": routes[0].label if routes else "",
                "operation": self.request.surface.operation,
                "bundle": decision.bundle,
            },
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
        )

    async def _recorded(self, entry: JournalEntry) -> Refusal | None:
        """Wait for room on record, or say why there is none; nothing is sent then."""
        try:
            await self._engine.store.journal(entry)
        except StoreError as error:
            return unrecorded(error)
        return None

    def _flight(self, route: Route) -> Flight:
        principal = self.request.principal
        return Flight(
            subjects=self._engine.memory.subjects(principal),
            what=f"a call of {route.label}",
            cut=self._cut,
            run=principal.run,
        )
