"""The benchmark's client: HTTP/1.1 over kept connections, as little of it as can be told apart from the wire.

It looks for the end of an answer (its Content-Length, or the last chunk) and for the first event of a
stream; it parses nothing else, so that its own cost is small beside what is measured.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: seconds to the first byte of its body and to its end."""

    first: float
    whole: float


@dataclass
class Line(asyncio.Protocol):
    """One connection, one request at a time."""

    _transport: asyncio.Transport | None = None
    _waiting: asyncio.Future[Answered] | None = None
    _held: bytearray = field(default_factory=bytearray)
    _began: float = 0.0
    _first: float = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Fail what waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))

    def ask(self, request: bytes) -> asyncio.Future[Answered]:
        """Send a request; its answer comes as a future."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._held.clear()
        self._first = 0.0
        self._began = time.perf_counter()
        assert self._transport is not None
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        """Note the first byte of the body, and the end."""
        self._held += data
        head = self._held.find(b"\r\n\r\n")
        if head < 0 or len(self._held) == head + 4:
            return
        if not self._first:
            self._first = time.perf_counter()
            if not self._held.startswith(b"HTTP/1.1 200"):
                self._fail(bytes(self._held[:600]))
                return
        if self._ended(head):
            ended = time.perf_counter()
            assert self._waiting is not None
            self._waiting.set_result(Answered(self._first - self._began, ended - self._began))

    def _ended(self, head: int) -> bool:
        fields = bytes(self._held[:head]).lower()
        at = fields.find(b"content-length:")
        if at < 0:
            return self._held.endswith(b"0\r\n\r\n")
        length = int(fields[at + 15 :].split(b"\r\n", 1)[0])
        return len(self._held) >= head + 4 + length

    def _fail(self, answer: bytes) -> None:
        assert self._waiting is not None
        self._waiting.set_exception(SystemExit(f"a call failed: {answer!r}"))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


def request(port: int, token: str, body: bytes) -> bytes:
    """Return the bytes of one chat request."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connect(port: int) -> Line:
    """Open one connection."""
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line


async def burst(port: int, sent: bytes, *, callers: int, calls: int) -> float:
    """Return calls a second from so many callers at once."""
    lines = [await connect(port) for _ in range(callers)]
    numbers = iter(range(calls))

    async def caller(line: Line) -> None:
        for _ in numbers:
            await line.ask(sent)

    began = time.perf_counter()
    await asyncio.gather(*map(caller, lines))
    rate = calls / (time.perf_counter() - began)
    for line in lines:
        line.close()
    return rate
