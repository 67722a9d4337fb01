"""One attempt's answer on its way to the caller, and what it comes to in money (B1, B5, B8).

Bytes pass as they come. However the answer ends, the attempt is settled once: before the last byte where the
provider ends it, well-formed where a kill does, and from what passed where the caller leaves.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from interlock.core.budget import granted
from interlock.core.charge import Ending
from interlock.core.usage import Usage, UsageSource, estimated, tokens
from interlock.errors import OutcomeUnknown, UpstreamError
from interlock.model_call.answer import Caller, Told
from interlock.model_call.life import Life
from interlock.model_call.span import span_of
from interlock.runtime import Scheduler
from interlock.services.spend.attempt import Attempt, Report
from interlock.services.spend.hold import Spend
from interlock.upstream.llm.meter import Meter
from interlock.upstream.llm.surface import Operation
from interlock.upstream.llm.transport import Incoming
from interlock.upstream.span import Spans

NEARLY = 80
"""Percent of the output cap from which on a stream without a caller is read on for its usage."""

_NOT_WHOLE = frozenset({Ending.LEFT, Ending.CUT, Ending.BROKEN})
_LARGEST_REPLY = 64 * 1024 * 1024


class Relay:
    """The way of one answer. `incoming` is the answer once it has begun; `ending` how the attempt ended."""

    def __init__(
        self,
        life: Life,
        paid: Attempt,
        caller: Caller,
        *,
        spend: Spend,
        scheduler: Scheduler,
        spans: Spans | None = None,
    ) -> None:
        self.paid = paid
        self.ending = Ending.ANSWERED
        self.incoming: Incoming | None = None
        self._draining = False
        self._life = life
        self._spend = spend
        self._spans = spans
        self._scheduler = scheduler
        self._caller = caller
        self._tells = paid.ask.body.wants_usage
        self._meter = Meter(life.request.surface, hide_usage=not self._tells)

    async def whole(self, incoming: Incoming) -> None:
        """Pass on an answer that is no stream. Raises `OutcomeUnknown` when it does not come whole."""
        body = await incoming.whole(_LARGEST_REPLY)
        incoming.close()
        self._meter.whole(body)
        self._settle()
        self._life.begun = True
        told = _told(self._life, self.paid)
        await self._caller.answer(incoming.status, incoming.headers, told, body)

    async def stream(self, incoming: Incoming) -> None:
        """Pass on a stream as it comes, and end it well-formed when it is cut."""
        self._life.begun = True
        await self._caller.begin(incoming.status, incoming.headers, _told(self._life, self.paid))
        broken: UpstreamError | None = None
        try:
            async for piece in incoming.chunks():
                events = self._meter.feed(piece)
                if events:
                    await self._caller.send(events)
        except OutcomeUnknown as error:
            self.ending, broken = Ending.BROKEN, error
        except asyncio.CancelledError:
            if self._life.cut:
                await self._cut()
            elif self._nearly_done:
                self._draining = True
                self._outlive(incoming, self.paid.route.provider.drain)
            raise
        rest = self._meter.rest()
        if rest and broken is None:  # half an event would spoil the one that says what happened
            await self._caller.send(rest)
        self._settle()
        whole = not rest or broken is not None  # a comment after half an event would be a part of it
        await self._caller.end(broken, told=self._closing(incoming) if whole else None)

    def stop(self, ending: Ending) -> None:
        """Let the attempt end so, unless its provider has refused it or failed already."""
        if self.incoming is None or self.incoming.status < 400:
            self.ending = ending

    def close(self) -> None:
        """Give the connection back and settle, unless that was done or is left to the drain."""
        if self._draining:
            return
        if self.incoming is not None:
            self.incoming.close()
        self._settle()
        if self._spans is not None:
            status = 0 if self.incoming is None else self.incoming.status
            self._spans(span_of(self.paid, self.ending, served=self._meter.model, status=status))

    @property
    def _nearly_done(self) -> bool:
        """Whether the caller left so near the output cap that the true usage is worth waiting for."""
        quote = self.paid.quote
        passed, most = tokens(self._meter.output_size), quote.cap * quote.answers
        return self.paid.route.provider.drain > 0 and passed * 100 >= most * NEARLY > 0

    def _outlive(self, incoming: Incoming, seconds: int) -> None:
        """Read on although the caller has left."""
        self._scheduler.spawn(self._drain(incoming, seconds), name=f"drain {self._life.id}")

    async def _drain(self, incoming: Incoming, seconds: int) -> None:
        """Read on without the caller, then settle."""
        with suppress(TimeoutError, OutcomeUnknown):
            async with asyncio.timeout(seconds):
                async for piece in incoming.chunks():
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
        await self._caller.end(told=None if self.incoming is None else self._closing(self.incoming))

    def _closing(self, incoming: Incoming) -> Told | None:
        """Return what is known at the end of a stream of events; None where there were no events."""
        kinds = [said for name, said in incoming.headers if name.lower() == b"content-type"]
        if not any(kind.lower().startswith(b"text/event-stream") for kind in kinds):
            return None
        stands = granted(each.freeze() for each in self.paid.held.accounts if not each.payer.limits.shadow)
        return replace(_told(self._life, self.paid), state=stands.state)

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
                seen=self._passed(reported if complete else None),
                complete=complete,
                model=self._meter.model,
                service_tier=self._meter.service_tier,
            ),
        )

    def _passed(self, whole: Usage | None) -> Usage:
        """Return the usage that was seen to pass; `whole` is what the provider says of the whole answer."""
        if whole is None or whole.source is not UsageSource.PROVIDER:
            return self._seen(self._meter.output_size)
        return whole if self.ending is Ending.ANSWERED else self._seen(0)

    def _seen(self, output: int) -> Usage:
        """Return the usage that follows from the bytes that passed.

        Of an answer that is no stream nothing passes before its end: where that does not come, it is taken
        to be what was expected, for its provider has written it or may go on. What a model thinks need not
        pass either, and comes first.
        """
        quote = self.paid.quote
        if self.ending in _NOT_WHOLE and not self.paid.ask.body.stream:
            return replace(quote.likely, source=UsageSource.ESTIMATED)
        passed = estimated(input_tokens=quote.likely.input, output_bytes=output)
        thought = min(quote.likely.reasoning, max(quote.cap * quote.answers - passed.output, 0))
        return replace(passed, output=passed.output + thought, reasoning=thought)

    @property
    def _ended(self) -> bool:
        """Whether the answer came to its end, so that usage in any event of it is of the whole of it."""
        several = self._life.request.surface.operation is Operation.MESSAGE
        return self.ending is Ending.ANSWERED and not several


def _told(life: Life, paid: Attempt) -> Told:
    """Return what the caller is told of an answer, before its first byte."""
    usage, (scope, used) = paid.usage, paid.held.tightest()
    return Told(
        call=life.id,
        run=life.request.principal.run,
        requested=paid.ask.requested,
        served=paid.route.model.name,
        cost=paid.cost,
        scope=scope,
        state=paid.held.state,
        used=used,
        degraded=paid.degraded,
        context=paid.quote.likely.input if usage is None else usage.input,
    )
