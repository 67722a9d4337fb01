"""Spans on their way to a collector, by OTLP over HTTP in its JSON form (C3).

Each span is written when it is handed over, and they leave in batches, beside the calls. OpenTelemetry's SDK
would take ten times the processor time, on a thread that the calls wait for (ADR 16). What finds no room
while the collector is away is dropped and counted; the ledger has every call.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from itertools import islice
from random import Random

import aiohttp
import msgspec

from interlock.core.model import Json
from interlock.errors import UsageError
from interlock.runtime import Scheduler
from interlock.settings import Collector
from interlock.upstream.span import Span, attributes, otlp

ROOM, BATCH = 8_192, 512
EVERY = 1.0
"""Seconds between two looks at what is to be sent."""

_LAST = 3.0
"""Seconds that the end of a process waits for its last spans."""

_LATER, _LONGEST = frozenset({408, 429, 502, 503, 504}), 30.0
log = logging.getLogger(__name__)


class SpanExport:
    """The spans of one process. Whether a call is traced is never the caller's choice."""

    def __init__(self, collector: Collector, *, environment: str, version: str, scheduler: Scheduler) -> None:
        self._collector = collector
        self._scheduler = scheduler
        self._verify = _trusted(collector.certificate)
        self._encoder = msgspec.json.Encoder()
        self._waiting: deque[bytes] = deque()
        self._identities = Random()  # they name spans, and guard nothing
        self._dropped = 0
        self._head, self._tail = self._envelope(environment, version)
        self._task = scheduler.spawn(self._repeat(), name="export of spans")

    def __call__(self, span: Span) -> None:
        """Hand over a span; returns at once."""
        if len(self._waiting) >= ROOM:
            self._dropped += 1
            return
        identity = f"{self._identities.getrandbits(64) or 1:016x}"
        self._waiting.append(self._encoder.encode(otlp(span, identity)))

    async def close(self) -> None:
        """Send what waits, for a few seconds at the most."""
        self._task.cancel()
        await asyncio.wait([self._task])
        try:
            async with asyncio.timeout(_LAST), self._session() as session:
                while self._waiting and await self._send(session):
                    pass
        except TimeoutError:
            log.warning("%s spans were not sent: the collector does not answer", len(self._waiting))

    def _envelope(self, environment: str, version: str) -> tuple[bytes, bytes]:
        """Return what stands before and behind the spans of a request."""
        ours = {"service.name": "interlock", "service.version": version}
        told = {**ours, "deployment.environment.name": environment, **self._collector.resource}
        scope: Json = {"name": "interlock", "version": version}
        none: list[Json] = []
        around: Json = {
            "resource": {"attributes": attributes(told)},
            "scopeSpans": [{"scope": scope, "spans": none}],
        }
        whole = self._encoder.encode({"resourceSpans": [around]})
        head, mark, tail = whole.rpartition(b"[]")
        return head + mark[:1], mark[1:] + tail

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._verify, limit=1),
            timeout=aiohttp.ClientTimeout(total=self._collector.timeout),
            headers={**self._collector.headers, "content-type": "application/json"},
            trust_env=False,
        )

    async def _repeat(self) -> None:
        pause = EVERY
        async with self._session() as session:
            while True:
                await self._scheduler.sleep(pause)
                taken = True
                while self._waiting and taken:
                    taken = await self._send(session)
                pause = EVERY if taken else min(pause * 2, _LONGEST)

    async def _send(self, session: aiohttp.ClientSession) -> bool:
        """Send one batch; return False where it is to be sent again later."""
        batch = list(islice(self._waiting, BATCH))
        body = self._head + b",".join(batch) + self._tail
        try:
            async with session.post(self._collector.url, data=body, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("the collector of spans was not reached (%s)", type(error).__name__)
            return False
        if status in _LATER:
            log.warning("the collector of spans is busy (HTTP %s)", status)
            return False
        for _ in batch:
            self._waiting.popleft()
        if status >= 300:
            log.warning("the collector refused %s spans (HTTP %s)", len(batch), status)
        self._count_dropped()
        return True

    def _count_dropped(self) -> None:
        if self._dropped:
            log.warning("%s spans found no room and were dropped", self._dropped)
            self._dropped = 0


def _trusted(certificate: str) -> ssl.SSLContext | bool:
    """Return whom a collector must be certified by. Raises `UsageError` for a file that says nobody."""
    try:
        return ssl.create_default_context(cafile=certificate) if certificate else True
    except OSError as error:
        raise UsageError(
            f"OTEL_EXPORTER_OTLP_CERTIFICATE cannot be used: {certificate!r} ({error}).",
            hint="It names a PEM file with the authority of the collector's certificate.",
        ) from error
