"""The HTTP client of the call path: aiohttp's connections and its parser, without the session on top of them.

Connecting, TLS and reading answers are aiohttp's. A session's cookies, redirects, proxies and
objects for one request cost as much again as the call itself, so the head of a request is written here.
Whatever has arrived is passed on in one piece. There is no total timeout: one to connect, one until the first
byte, one between two. How many calls a provider gets at once is not the connection pool's business.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from interlock.core.document.provider import Timeouts
from interlock.errors import OutcomeUnknown, UpstreamUnavailable
from interlock.upstream.llm.line import Line, Pool
from interlock.upstream.llm.packed import unpacker
from interlock.upstream.llm.transport import Outgoing, RawHeaders

KEPT_ALIVE = 15.0
"""Seconds an idle connection is kept: less than providers do, so that none is used as it is closed."""

_NAMES = 1_024
_JOINED = 32 * 1024
"""Bytes up to which a body is sent in one piece with its head; to copy a larger one would cost more."""

_Lost = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: what aiohttp wants to know to connect, and the first lines of every head."""

    request: ClientRequest
    start: bytes
    pool: Pool


class HttpClient:
    """The transport of the real world, for the event loop that first uses it.

    An idle connection is kept for `kept_alive` seconds.
    """

    def __init__(self, *, kept_alive: float = KEPT_ALIVE) -> None:
        self._kept_alive = kept_alive
        self._connector: aiohttp.TCPConnector | None = None
        self._targets: dict[str, _Target] = {}
        self._pools: dict[ConnectionKey, Pool] = {}
        self._timeouts: dict[int, aiohttp.ClientTimeout] = {}

    async def send(self, outgoing: Outgoing) -> HttpAnswer:
        """Send a request. Raises `UpstreamUnavailable`, `OutcomeUnknown`."""
        target = self._targets.get(outgoing.url) or self._target(outgoing.url)
        head = _head(target.start, outgoing)
        try:
            line = await target.pool.line(target.request, self._timeout(outgoing.timeouts))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error
        try:
            message, body = await _exchange(line.protocol, head, outgoing, target.pool.loop)
        except _Lost as error:
            line.close()
            raise _lost(error) from error
        except BaseException:
            line.close()
            raise
        return HttpAnswer(line, message, body)

    async def close(self) -> None:
        """Drop every connection."""
        if self._connector is not None:
            for pool in self._pools.values():
                pool.close()
            await self._connector.close()
            self._connector = None
            self._pools.clear()
            self._targets.clear()

    def _pool(self, key: ConnectionKey, loop: asyncio.AbstractEventLoop) -> Pool:
        if self._connector is None:
            self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=self._kept_alive)
        if key not in self._pools:
            self._pools[key] = Pool(self._connector, loop, kept_alive=self._kept_alive)
        return self._pools[key]

    def _target(self, url: str) -> _Target:
        if len(self._targets) >= _NAMES:
            self._targets.clear()
        loop = asyncio.get_running_loop()
        try:
            request = ClientRequest("POST", URL(url, encoded=True), loop=loop)
        except ValueError as error:
            raise _unreachable(error) from error
        start = f"POST {request.url.raw_path_qs} HTTP/1.1\r\nHost: {request.headers['Host']}"
        pool = self._pool(request.connection_key, loop)
        found = self._targets[url] = _Target(request, start.encode(), pool)
        return found

    def _timeout(self, timeouts: Timeouts) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(timeouts.connect)
        if found is None:
            found = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=timeouts.connect)
            self._timeouts[timeouts.connect] = found
        return found


class HttpAnswer:
    """One answer of a provider. A body that it compressed although it was asked not to is unpacked."""

    def __init__(self, line: Line, message: RawResponseMessage, body: aiohttp.StreamReader) -> None:
        self.status = message.code
        self.headers: RawHeaders = message.raw_headers
        self._line: Line | None = line
        self._body = body
        coding = message.headers.get("Content-Encoding")
        self._unpacker = None if coding is None else unpacker(coding.encode())
        if self._unpacker is not None:
            self.headers = tuple(each for each in self.headers if each[0].lower() != b"content-encoding")

    async def whole(self, most: int) -> bytes:
        """Return the whole body. Raises `OutcomeUnknown` when it breaks off or is larger than `most`."""
        if self._unpacker is None and self._body.is_eof() and self._body.total_bytes <= most:
            return self._arrived()
        pieces: list[bytes] = []
        size = 0
        async for piece in self.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                said = "The model provider's answer is too large."
                raise OutcomeUnknown(said, hint="Ask for less at once.")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _arrived(self) -> bytes:
        """Return a body that is there already, which a short one is with its head."""
        try:
            return self._body.read_nowait()
        except _Lost as error:
            raise _lost(error) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield whatever has arrived. Raises `OutcomeUnknown` when it breaks off."""
        body, unpacker = self._body, self._unpacker
        try:
            while chunk := await body.readany():
                if unpacker is None:
                    yield chunk
                else:
                    for piece in unpacker.feed(chunk):
                        yield piece
            if unpacker is not None:
                unpacker.end()
        except (*_Lost, zlib.error) as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Give the connection back, or drop it where there is more to come, or more to be sent."""
        line, self._line = self._line, None
        if line is None:
            return
        if self._body.at_eof():
            line.release()
        else:
            line.close()


async def _exchange(
    protocol: ResponseHandler, head: bytes, outgoing: Outgoing, loop: asyncio.AbstractEventLoop
) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """Send a request and return what the answer begins with. Raises what the connection says went wrong."""
    body, transport = outgoing.body, protocol.transport
    assert transport is not None
    if len(body) <= _JOINED:
        transport.write(head + body)
    else:
        transport.writelines((head, body))
    alarm = loop.call_later(outgoing.timeouts.first_byte, _too_late, protocol)
    try:
        message, answer = await protocol.read()
        while 100 <= message.code < 200 and message.code != 101:
            message, answer = await protocol.read()
    finally:
        alarm.cancel()
    if not answer.is_eof():
        protocol.read_timeout = outgoing.timeouts.idle
        protocol.start_timeout()
    return message, answer


def _too_late(protocol: ResponseHandler) -> None:
    protocol.set_exception(aiohttp.SocketTimeoutError("no first byte in time"))


def _head(start: bytes, outgoing: Outgoing) -> bytes:
    """Return the head of a request. Raises `UpstreamUnavailable` where a header would break it."""
    lines = [b"\r\n%b: %b" % each for each in outgoing.headers]
    head = b"%b%b\r\nContent-Length: %d\r\n\r\n" % (start, b"".join(lines), len(outgoing.body))
    ends = len(lines) + 4
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        raise UpstreamUnavailable(
            "A header for the model provider holds a line break or a zero byte.",
            hint="Look at the provider's credentials: a secret may end in a line break.",
        )
    return head


def _unreachable(error: Exception) -> UpstreamUnavailable:
    said = f"The model provider cannot be reached ({type(error).__name__})."
    return UpstreamUnavailable(said, hint="interlock doctor")


def _lost(error: Exception) -> OutcomeUnknown:
    slow = isinstance(error, TimeoutError)
    said = "did not answer in time" if slow else f"broke off the answer ({type(error).__name__})"
    return OutcomeUnknown(f"The model provider {said}.", hint="What the call cost is estimated.")
