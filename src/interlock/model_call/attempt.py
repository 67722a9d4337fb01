"""The attempts of one model call, along its routes: each priced, held, sent and settled by itself (B1, B8).

Money is held before anything is sent and settled exactly once, whatever becomes of the attempt. Fallbacks are
attempts of their own, along the map of the provider's document; only the last may answer with a failure.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from interlock.core.charge import Ending
from interlock.core.document.spending import Customer, Models
from interlock.core.model_route import Route
from interlock.core.pin import pinned
from interlock.errors import OutcomeUnknown, StoreError, UpstreamUnavailable
from interlock.model_call.answer import Caller, Refusal, busy, lost, unpaid, unrecorded
from interlock.model_call.life import Life, ModelRequest
from interlock.model_call.relay import Relay
from interlock.runtime import Scheduler
from interlock.services.degrade import Degrade
from interlock.services.spend.attempt import Attempt
from interlock.services.spend.hold import Spend
from interlock.store.memory import Memory
from interlock.upstream.llm.ask import Ask
from interlock.upstream.llm.body import write
from interlock.upstream.llm.providers import Providers, cap_field
from interlock.upstream.llm.slots import Slots
from interlock.upstream.span import Spans

PATIENCE = 30.0
"""Seconds a call waits for a slot at its provider before it is told to come again."""

STEP = "interlock-step"
"""The request header in which an agent may name the step that a call belongs to (B1)."""

TRACE = "traceparent"
"""The request header that names the span of the caller (W3C Trace Context)."""

PIN = "interlock-pin"
"""The request header in which an agent may name items of the history that no trimming takes from (B4)."""

_WORTH_ANOTHER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How the calls of one process are tried."""

    memory: Memory
    providers: Providers
    spend: Spend
    degrade: Degrade
    scheduler: Scheduler
    spans: Spans | None = None

    async def along(self, routes: tuple[Route, ...], life: Life, caller: Caller) -> Refusal | None:
        """Try the routes in their order, and return why there is no answer, if there is none."""
        answer: Refusal | _Next | None = None
        tries = 0
        for route in routes:
            slots = self.providers.slots(route.provider)
            if not slots.take():
                try:
                    await slots.wait(PATIENCE)
                except TimeoutError:
                    answer = _Next(busy(route))
                    continue
            tries += 1
            try:
                ask = self._ask(life, tries)
                answer = await self._attempt(ask, route, life, caller, last=route is routes[-1])
            finally:
                slots.release()
            if not isinstance(answer, _Next):
                return answer
        return answer.refusal if isinstance(answer, _Next) else None

    def _ask(self, life: Life, tries: int) -> Ask:
        request, bundle = life.request, self.memory.bundle
        workflow = None if bundle is None else bundle.workflows.get(request.principal.workflow)
        document = None if workflow is None else workflow.document
        customer = None if document is None else document.customer
        return Ask(
            attempt=f"{life.id}.{tries}",
            principal=request.principal,
            surface=request.surface,
            body=request.body,
            requested=request.body.model,
            models=Models() if document is None else document.models,
            customer="" if customer is None else _labelled(customer, request),
            step=request.header(STEP),
            pinned=pinned(request.header(PIN)),
            traceparent="" if self.spans is None else request.header(TRACE),
        )

    async def _attempt(
        self, ask: Ask, route: Route, life: Life, caller: Caller, *, last: bool
    ) -> Refusal | _Next | None:
        """Hold the money for one attempt, send it, settle it: exactly once, whatever becomes of it."""
        try:
            paid = await self.spend.hold(ask, route, self.degrade)
        except StoreError as error:
            return unrecorded(error)
        if not isinstance(paid, Attempt):
            return unpaid(paid)
        relay = Relay(life, paid, caller, spend=self.spend, scheduler=self.scheduler, spans=self.spans)
        slots = self._elsewhere(route, paid.route)
        try:
            if slots is None:
                return await self._sent(relay, life.request, last=last)
            await slots.wait(PATIENCE)
            try:
                return await self._sent(relay, life.request, last=last)
            finally:
                slots.release()
        except TimeoutError:
            relay.stop(Ending.NOT_SENT)
            return _Next(busy(paid.route))
        except UpstreamUnavailable as error:
            relay.stop(Ending.NOT_SENT)
            return _Next(lost(error))
        except OutcomeUnknown as error:
            relay.stop(Ending.FAILED if relay.incoming is None else Ending.BROKEN)
            return _Next(lost(error))
        except asyncio.CancelledError:
            relay.stop(Ending.CUT if life.cut else Ending.LEFT)
            raise
        finally:
            relay.close()

    def _elsewhere(self, route: Route, served: Route) -> Slots | None:
        """Return the slots that a call needs as well whose cheaper model another provider serves."""
        same = served.provider.name == route.provider.name
        return None if same else self.providers.slots(served.provider)

    async def _sent(self, relay: Relay, request: ModelRequest, *, last: bool) -> _Next | None:
        """Send what was paid for and pass the answer on, or say that another route may do better."""
        paid, provider = relay.paid, relay.paid.route.provider
        sent = write(
            paid.ask.body,
            request.surface,
            model=paid.route.model.name,
            output_cap=paid.cap,
            cap_field=cap_field(request.surface, provider),
            ask_usage=provider.usage_in_stream,
        )
        incoming = relay.incoming = await self.providers.send(
            paid.route, request.surface, query=request.query, headers=request.headers, body=sent
        )
        if 300 <= incoming.status < 400:
            raise UpstreamUnavailable(
                f"The model provider sends elsewhere ({incoming.status}), and nobody is followed there.",
                hint="Put the address that it moved to into the base_url of its document.",
            )
        if incoming.status >= 400:
            relay.ending = Ending.FAILED if incoming.status >= 500 else Ending.REJECTED
            if not last and _failed(incoming.status):
                return _Next(None)
        if paid.ask.body.stream and incoming.status < 400:
            await relay.stream(incoming)
        else:
            await relay.whole(incoming)
        return None


@dataclass(frozen=True, slots=True)
class _Next:
    """The attempt failed, and the next route may do better; where there is none, this is the answer."""

    refusal: Refusal | None


def _labelled(customer: Customer, request: ModelRequest) -> str:
    """Return the customer whose work a call is, as the workflow says it is told (B1)."""
    said = "" if customer.header is None else request.header(customer.header.lower())
    return said or customer.value or ""


def _failed(status: int) -> bool:
    """Whether another provider may do better than an answer of this status."""
    return status >= 500 or status in _WORTH_ANOTHER
