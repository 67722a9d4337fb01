"""One governed model call: admit, hold, forward, settle, reply, in the shape of `call.py`.

The decision is made on values in memory and recorded before anything is sent; bytes pass as they come. A call
has one ending, whoever causes it: the provider, the caller who leaves, or a kill, which cuts a stream
well-formed. Fallbacks are attempts of their own, along the map of the provider's document.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from interlock.core.admission import decide_model
from interlock.core.charge import Ending
from interlock.core.document import Customer, Models
from interlock.core.model import Decision, Principal, WireFamily, value
from interlock.core.model_route import Route, RoutingTable
from interlock.core.usage import Usage, estimated, tokens
from interlock.errors import OutcomeUnknown, StoreError, UpstreamError, UpstreamUnavailable
from interlock.model_answer import (
    HALTED,
    Caller,
    Refusal,
    Told,
    busy,
    lost,
    refused,
    unpaid,
    unrecorded,
)
from interlock.runtime import Runtime
from interlock.services.degrade import Degrade
from interlock.services.spend import Attempt, Report, Spend
from interlock.store.database import JournalEntry, Store
from interlock.store.flights import Flight
from interlock.store.live_accounts import LiveAccount
from interlock.store.memory import Memory
from interlock.upstream.llm.ask import Ask
from interlock.upstream.llm.body import ModelBody, write
from interlock.upstream.llm.meter import Meter
from interlock.upstream.llm.providers import Providers, cap_field
from interlock.upstream.llm.surface import Operation, Surface
from interlock.upstream.llm.transport import Headers, Incoming

PATIENCE = 30.0
"""Seconds a call waits for a slot at its provider before it is told to come again."""
NEARLY = 80
"""Percent of the output cap from which on a stream without a caller is read on for its usage."""

STEP = "interlock-step"
"""The request header in which an agent may name the step that a call belongs to (B1)."""

_LONGEST_LABEL = 200
_LARGEST_REPLY = 64 * 1024 * 1024
_WORTH_ANOTHER = frozenset({408, 425, 429})


@value
class ModelRequest:
    """One request of an agent, as it came in."""

    principal: Principal
    surface: Surface
    body: ModelBody
    headers: Headers = ()
    query: str = ""


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
    spend: Spend
    degrade: Degrade
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
        self._tries = 0

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
            return unrecorded(error)
        if decision.denied:
            return refused(decision)
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
            subjects=self._engine.memory.subjects(principal),
            what=f"a call of {route.label}",
            cut=self._cut,
            run=principal.run,
        )

    async def _attempts(self, routes: tuple[Route, ...], caller: Caller) -> Refusal | None:
        """Try the routes in their order; only the last may answer with a failure."""
        answer: Refusal | _Next | None = None
        for route in routes:
            try:
                slot = await self._engine.providers.slot(route.provider, patience=PATIENCE)
            except TimeoutError:
                answer = _Next(busy(route))
                continue
            try:
                answer = await self._attempt(route, caller, last=route is routes[-1])
            finally:
                slot.release()
            if not isinstance(answer, _Next):
                return answer
        return answer.refusal if isinstance(answer, _Next) else None

    async def _attempt(self, route: Route, caller: Caller, *, last: bool) -> Refusal | _Next | None:
        """Hold the money for one attempt, send it, settle it: exactly once, whatever becomes of it."""
        spend = self._engine.spend
        try:
            paid = await spend.hold(self._ask(), route, self._engine.degrade)
        except StoreError as error:
            return unrecorded(error)
        if not isinstance(paid, Attempt):
            return unpaid(paid)
        relay = _Relay(self, paid, spend, caller)
        try:
            return await self._sent(relay, last=last)
        except UpstreamUnavailable as error:
            relay.ending = Ending.NOT_SENT
            return _Next(lost(error))
        except OutcomeUnknown as error:
            relay.ending = Ending.FAILED
            return _Next(lost(error))
        except asyncio.CancelledError:
            relay.ending = Ending.CUT if self.cut else Ending.LEFT
            raise
        finally:
            relay.close()

    async def _sent(self, relay: _Relay, *, last: bool) -> _Next | None:
        request, paid = self._request, relay.paid
        provider = paid.route.provider
        sent = write(
            paid.ask.body,
            request.surface,
            model=paid.route.model.name,
            output_cap=paid.cap,
            cap_field=cap_field(request.surface, provider),
            ask_usage=provider.usage_in_stream,
        )
        incoming = relay.incoming = await self._engine.providers.send(
            paid.route, request.surface, query=request.query, headers=request.headers, body=sent
        )
        if incoming.status >= 400:
            relay.ending = Ending.FAILED if incoming.status >= 500 else Ending.REJECTED
            if not last and _failed(incoming.status):
                return _Next(None)
        if paid.ask.body.stream and incoming.status < 400:
            await relay.stream()
        else:
            await relay.whole()
        return None

    def _ask(self) -> Ask:
        request, bundle = self._request, self._engine.memory.bundle
        workflow = None if bundle is None else bundle.workflows.get(request.principal.workflow)
        document = None if workflow is None else workflow.document
        customer = None if document is None else document.customer
        self._tries += 1
        return Ask(
            attempt=f"{self.id}.{self._tries}",
            principal=request.principal,
            surface=request.surface,
            body=request.body,
            requested=request.body.model,
            models=Models() if document is None else document.models,
            customer="" if customer is None else _labelled(customer, request.headers),
            step=_header(request.headers, STEP),
        )

    def outlive(self, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` go on when the caller has left."""
        self._engine.runtime.scheduler.spawn(work, name=f"drain {self.id}")

    def begun(self) -> None:
        """Note that the caller has the head of an answer: from here on there is no refusal."""
        self._begun = True

    @property
    def request(self) -> ModelRequest:
        """What was asked."""
        return self._request

    @property
    def cut(self) -> bool:
        """Whether a kill ends this call."""
        return self._ended is _Ended.KILL


@dataclass(frozen=True, slots=True)
class _Next:
    """The attempt failed, and the next route may do better; where there is none, this is the answer."""

    refusal: Refusal | None


class _Relay:
    """One attempt's answer on its way to the caller, and what it comes to in money."""

    def __init__(self, call: ModelCall, paid: Attempt, spend: Spend, caller: Caller) -> None:
        self.paid = paid
        self.ending = Ending.ANSWERED
        self.incoming: Incoming | None = None
        self._draining = False
        self._call = call
        self._spend = spend
        self._caller = caller
        self._tells = paid.ask.body.wants_usage
        self._meter = Meter(call.request.surface, hide_usage=not self._tells)

    async def whole(self) -> None:
        """Pass on an answer that is no stream. Raises `OutcomeUnknown` when it does not come whole."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self._arriving():
            pieces.append(piece)
            size += len(piece)
            if size > _LARGEST_REPLY:
                raise OutcomeUnknown(
                    "The model provider's answer is too large.", hint="Ask for less at once."
                )
        body = b"".join(pieces)
        self._meter.whole(body)
        self._settle()
        self._call.begun()
        assert self.incoming is not None
        told = _told(self._call, self.paid)
        await self._caller.answer(self.incoming.status, self.incoming.headers, told, body)

    async def stream(self) -> None:
        """Pass on a stream as it comes, and end it well-formed when it is cut."""
        self._call.begun()
        assert self.incoming is not None
        await self._caller.begin(self.incoming.status, self.incoming.headers, _told(self._call, self.paid))
        broken: UpstreamError | None = None
        try:
            async for piece in self._arriving():
                events = self._meter.feed(piece)
                if events:
                    await self._caller.send(events)
        except OutcomeUnknown as error:
            self.ending, broken = Ending.BROKEN, error
        except asyncio.CancelledError:
            if self._call.cut:
                await self._cut()
            elif self._nearly_done:
                self._draining = True
                self._call.outlive(self._drain(self.paid.route.provider.drain))
            raise
        rest = self._meter.rest()
        if rest:
            await self._caller.send(rest)
        self._settle()
        await self._caller.end(broken)

    def close(self) -> None:
        """Give the connection back and settle, unless that was done or is left to the drain."""
        if self._draining:
            return
        if self.incoming is not None:
            self.incoming.close()
        self._settle()

    @property
    def _nearly_done(self) -> bool:
        """Whether the caller left so near the output cap that the true usage is worth waiting for."""
        quote = self.paid.quote
        passed, most = tokens(self._meter.output_size), quote.cap * quote.answers
        return self.paid.route.provider.drain > 0 and passed * 100 >= most * NEARLY > 0

    async def _drain(self, seconds: int) -> None:
        """Read on without the caller, then settle."""
        with suppress(TimeoutError, OutcomeUnknown):
            async with asyncio.timeout(seconds):
                async for piece in self._arriving():
                    self._meter.feed(piece)
        self._draining = False
        self.close()

    async def _cut(self) -> None:
        """End the stream as the provider would have at the output cap."""
        self.ending = Ending.CUT
        if self.incoming is not None:
            self.incoming.close()
        self._settle()
        await self._caller.send(self._meter.end(self.paid.usage or self._seen(0), tell_usage=self._tells))
        await self._caller.end()

    def _settle(self) -> None:
        if self.paid.cost is not None:
            return
        reported = self._meter.usage
        complete = reported is not None and (self._meter.complete or self._ended)
        self._spend.settle(
            self.paid,
            Report(
                ending=self.ending,
                reported=reported,
                seen=self._seen(0 if complete else self._meter.output_size),
                complete=complete,
                model=self._meter.model,
                service_tier=self._meter.service_tier,
            ),
        )

    def _seen(self, output: int) -> Usage:
        """Return the usage that follows from the bytes that passed."""
        return estimated(input_tokens=self.paid.quote.likely.input, output_bytes=output)

    @property
    def _ended(self) -> bool:
        """Whether the answer came to its end, so that usage in any event of it is of the whole of it."""
        several = self._call.request.surface.operation is Operation.MESSAGE
        return self.ending is Ending.ANSWERED and not several

    def _arriving(self) -> AsyncIterator[bytes]:
        assert self.incoming is not None
        return self.incoming.chunks()


def _told(call: ModelCall, paid: Attempt) -> Told:
    """Return what the caller is told of an answer, before its first byte."""
    used, tightest = paid.usage, max(paid.held.accounts, key=_used, default=None)
    return Told(
        call=call.id,
        run=call.request.principal.run,
        requested=paid.ask.requested,
        served=paid.route.model.name,
        cost=paid.cost,
        scope="" if tightest is None else tightest.payer.key.scope,
        state=paid.held.state,
        used=0 if tightest is None else _used(tightest),
        degraded=paid.degraded,
        context=paid.quote.likely.input if used is None else used.input,
    )


def _used(account: LiveAccount) -> int:
    """Return how much of an account is spent or expected, per mille of its limit."""
    return (account.spent + account.held_exp) * 1_000 // max(account.limit, 1)


def _labelled(customer: Customer, headers: Headers) -> str:
    """Return the customer whose work a call is, as the workflow says it is told (B1)."""
    said = "" if customer.header is None else _header(headers, customer.header.lower())
    return said or customer.value or ""


def _header(headers: Headers, name: str) -> str:
    return next((value[:_LONGEST_LABEL] for held, value in headers if held == name), "")


def _failed(status: int) -> bool:
    """Whether another provider may do better than an answer of this status."""
    return status >= 500 or status in _WORTH_ANOTHER
