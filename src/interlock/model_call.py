"""One governed model call: admit, forward, reply, in the shape of `call.py`.

The decision is made on values in memory and recorded before anything is sent; bytes pass as they come. A call
has one ending, whoever causes it: the provider, the caller who leaves, or a kill, which cuts a stream
well-formed. Fallbacks are attempts of their own, along the map of the provider's document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from interlock.core.admission import decide_model
from interlock.core.kill import belongs_to
from interlock.core.model import Decision, Json, Principal, WireFamily, value
from interlock.core.model_route import Route, RoutingTable
from interlock.core.usage import Usage, estimated, tokens
from interlock.errors import OutcomeUnknown, StoreError, UpstreamError, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.store.database import JournalEntry, Store
from interlock.store.flights import Flight
from interlock.store.memory import Memory
from interlock.upstream.llm.body import ModelBody, write
from interlock.upstream.llm.meter import Meter
from interlock.upstream.llm.providers import Providers
from interlock.upstream.llm.surface import Surface
from interlock.upstream.llm.transport import Headers, Incoming

PATIENCE = 30.0
"""Seconds a call waits for a slot at its provider before it is told to come again."""
_LARGEST_REPLY = 64 * 1024 * 1024
_WORTH_ANOTHER = frozenset({408, 425, 429})


class Why(StrEnum):
    """Why a call gets no answer from a model; each protocol edge has its own form of it."""

    FORBIDDEN = "forbidden"
    UNKNOWN_MODEL = "unknown_model"
    HALTED = "halted"
    BUSY = "busy"
    UNRECORDED = "unrecorded"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"


@value
class Refusal:
    """A call that no model answered. `retry_after` is in seconds, None where asking again is idle."""

    why: Why
    code: str
    message: str
    retry_after: int | None = None
    details: Mapping[str, Json] = field(default_factory=dict[str, Json])


@value
class ModelRequest:
    """One request of an agent, as it came in."""

    principal: Principal
    surface: Surface
    body: ModelBody
    headers: Headers = ()
    query: str = ""


@value
class Told:
    """What the caller is told beside the answer."""

    call: str
    run: str
    requested: str
    served: str = ""


class Caller(Protocol):
    """The way back to the agent: its own wire, whole answers or streams."""

    async def begin(self, status: int, headers: Headers, told: Told, *, stream: bool) -> None:
        """Say the status and the provider's headers; a stream may not have ended when they are sent."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        ...

    async def end(self, broken: UpstreamError | None = None) -> None:
        """End the body; `broken` says that the provider did not."""
        ...


class _Ended(StrEnum):
    """Who ended a call before its provider did."""

    CALLER = "caller"
    KILL = "kill"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalls:
    """The engine of model calls in one process."""

    store: Store
    memory: Memory
    providers: Providers
    runtime: Runtime

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
        return ModelCall(self, request, self.runtime.ids.new("mcl"))


class ModelCall:
    """One call. `run` carries it to its end; `leave` says that the caller is gone."""

    def __init__(self, engine: ModelCalls, request: ModelRequest, call: str) -> None:
        self.id = call
        self._engine = engine
        self._request = request
        self._task: asyncio.Task[object] | None = None
        self._ended: _Ended | None = None
        self._begun = False

    def leave(self) -> None:
        """Stop: nobody waits for the answer any more."""
        self._stop(_Ended.CALLER)

    def _cut(self) -> None:
        self._stop(_Ended.KILL)

    def _stop(self, who: _Ended) -> None:
        if self._task is not None and self._ended is None:
            self._ended = who
            self._task.cancel()

    async def run(self, caller: Caller) -> Refusal | None:
        """Carry the call out; return why nothing was begun, or None when the caller has its answer."""
        decision, routes = self._decide()
        try:
            await self._record(decision, routes)
        except StoreError as error:
            return Refusal(why=Why.UNRECORDED, code=error.code, message=f"{_UNRECORDED} {error.message}")
        if decision.denied:
            return _refused(decision)
        self._task = asyncio.current_task()
        try:
            with self._engine.memory.flights.under_way(self._flight(routes[0])):
                return await self._attempts(routes, caller)
        except asyncio.CancelledError:
            if self._ended is None or self._task is None:
                raise
            self._task.uncancel()
            return HALTED if self._ended is _Ended.KILL and not self._begun else None
        finally:
            self._task = None

    def _decide(self) -> tuple[Decision, tuple[Route, ...]]:
        engine, request = self._engine, self._request
        snapshot = engine.memory.snapshot(request.principal, "")
        return decide_model(
            request.principal,
            request.body.model,
            request.surface.family,
            engine.table(),
            snapshot,
            engine.runtime.clock.now(),
        )

    async def _record(self, decision: Decision, routes: tuple[Route, ...]) -> None:
        """Put the decision on record. Raises `StoreError` when it cannot be; nothing is sent then."""
        principal, store = self._request.principal, self._engine.store
        entry = JournalEntry(
            at=decision.decided_at,
            kind="model.denied" if decision.denied else "model.allowed",
            body={
                "verdict": decision.verdict,
                "code": decision.reason.code,
                "call": self.id,
                "model": self._request.body.model,
                "route": routes[0].label if routes else "",
                "operation": self._request.surface.operation,
                "bundle": decision.bundle,
            },
            run=principal.run,
            agent=principal.agent,
            workflow=principal.workflow,
        )
        if not store.offer(entry):
            await store.journal(entry)

    def _flight(self, route: Route) -> Flight:
        principal = self._request.principal
        return Flight(
            subjects=belongs_to(
                environment=principal.environment,
                agent=principal.agent,
                workflow=principal.workflow,
                run=principal.run,
            ),
            what=f"a call of {route.label}",
            cut=self._cut,
            run=principal.run,
        )

    async def _attempts(self, routes: tuple[Route, ...], caller: Caller) -> Refusal | None:
        """Try the routes in their order; only the last may answer with a failure."""
        *others, last = routes
        for route in others:
            if await self._attempt(route, caller, last=False) is not _NEXT:
                return None
        answer = await self._attempt(last, caller, last=True)
        return answer if isinstance(answer, Refusal) else None

    async def _attempt(self, route: Route, caller: Caller, *, last: bool) -> Refusal | _Next | None:
        providers = self._engine.providers
        try:
            async with providers.slot(route.provider, patience=PATIENCE):
                return await self._sent(route, caller, last=last)
        except TimeoutError:
            return _busy(route) if last else _NEXT
        except UpstreamError as error:
            return _lost(error) if last else _NEXT

    async def _sent(self, route: Route, caller: Caller, *, last: bool) -> _Next | None:
        request = self._request
        asks_usage = route.provider.usage_in_stream
        sent = write(request.body, request.surface, model=route.model.name, ask_usage=asks_usage)
        incoming = await self._engine.providers.send(
            route, request.surface, query=request.query, headers=request.headers, body=sent
        )
        try:
            if not last and _failed(incoming.status):
                return _NEXT
            relay = _Relay(self, route, incoming, caller)
            if request.body.stream and incoming.status < 400:
                await relay.stream()
            else:
                await relay.whole()
            return None
        finally:
            incoming.close()

    def begun(self) -> None:
        """Note that the caller has the head of an answer: from here on there is no refusal."""
        self._begun = True

    def told(self, route: Route) -> Told:
        """Return what the caller is told of an answer from `route`."""
        request = self._request
        return Told(
            call=self.id, run=request.principal.run, requested=request.body.model, served=route.model.name
        )

    @property
    def request(self) -> ModelRequest:
        """What was asked."""
        return self._request

    @property
    def cut(self) -> bool:
        """Whether a kill ends this call."""
        return self._ended is _Ended.KILL


class _Next:
    """The attempt failed, and the next route may do better."""


_NEXT = _Next()


class _Relay:
    """One answer of a provider on its way to the caller."""

    def __init__(self, call: ModelCall, route: Route, incoming: Incoming, caller: Caller) -> None:
        body = call.request.body
        self._call = call
        self._route = route
        self._incoming = incoming
        self._caller = caller
        self.meter = Meter(call.request.surface, hide_usage=not body.wants_usage)

    async def whole(self) -> None:
        """Pass on an answer that is no stream. Raises `OutcomeUnknown` when it does not come whole."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self._incoming.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST_REPLY:
                raise OutcomeUnknown(
                    "The model provider's answer is too large.", hint="Ask for less at once."
                )
        body = b"".join(pieces)
        self.meter.whole(body)
        await self._begin(stream=False)
        await self._caller.send(body)
        await self._caller.end()

    async def stream(self) -> None:
        """Pass on a stream as it comes, and end it well-formed when it is cut."""
        await self._begin(stream=True)
        broken: UpstreamError | None = None
        try:
            async for piece in self._incoming.chunks():
                events = self.meter.feed(piece)
                if events:
                    await self._caller.send(events)
        except OutcomeUnknown as error:
            broken = error
        except asyncio.CancelledError:
            if not self._call.cut:
                raise
            self._incoming.close()
            await self._caller.send(self.meter.end(self.usage(), tell_usage=self._tells))
            await self._caller.end()
            raise
        rest = self.meter.rest()
        if rest:
            await self._caller.send(rest)
        await self._caller.end(broken)

    def usage(self) -> Usage:
        """Return what the provider reported, or an estimate from the bytes that passed."""
        size = self._call.request.body.size
        return self.meter.usage or estimated(input_tokens=tokens(size), output_bytes=self.meter.output_size)

    @property
    def _tells(self) -> bool:
        return self._call.request.body.wants_usage

    async def _begin(self, *, stream: bool) -> None:
        self._call.begun()
        told = self._call.told(self._route)
        await self._caller.begin(self._incoming.status, self._incoming.headers, told, stream=stream)


_UNRECORDED = "The call was not sent, because it cannot be recorded now:"
HALTED = Refusal(
    why=Why.HALTED, code="run_halted", message="This call was stopped by a kill; two people resume it."
)
_UNKNOWN = frozenset({"unknown_model", "model_of_another_format"})
_HALTING = frozenset({"killed", "breaker_open"})


def _refused(decision: Decision) -> Refusal:
    """Put a denial into the words of the edges."""
    reason = decision.reason
    near = "".join(f" Did you mean {miss.expected}?" for miss in reason.near_misses)
    if reason.code in _HALTING:
        return Refusal(why=Why.HALTED, code="run_halted", message=reason.message)
    why = Why.UNKNOWN_MODEL if reason.code in _UNKNOWN else Why.FORBIDDEN
    return Refusal(why=why, code=reason.code, message=reason.message + near)


def _busy(route: Route) -> Refusal:
    message = f"The provider {route.provider.name} has as many calls under way as its document allows."
    return Refusal(why=Why.BUSY, code="provider_busy", message=message, retry_after=1)


def _lost(error: UpstreamError) -> Refusal:
    unsent = isinstance(error, UpstreamUnavailable)
    why = Why.UNREACHABLE if unsent else Why.TIMED_OUT
    return Refusal(why=why, code=error.code, message=f"{error.message} {error.hint}".strip())


def _failed(status: int) -> bool:
    """Whether another provider may do better than an answer of this status."""
    return status >= 500 or status in _WORTH_ANOTHER
