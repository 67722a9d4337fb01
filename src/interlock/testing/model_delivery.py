"""One answer of the scripted model server on its way to a client, who may go away at any byte."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from interlock.testing.model_reply import Reply, Said
from interlock.testing.model_request import CLOCK, Received
from interlock.testing.model_surface import Surface

_LARGEST_HEAD = 1 << 20
_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A reply in the shape of its surface: a body, or the events of a stream."""

    reply: Reply
    body: bytes = b""
    events: Iterator[bytes] | None = None


def shaped(reply: Reply, surface: Surface, request: Received) -> Message:
    said = Said(reply, request.body)
    if reply.raw is not None:
        streams = bool(said.request.get("stream")) and reply.status < 400
        return Message(reply=reply, body=reply.raw, events=iter((reply.raw,)) if streams else None)
    if reply.status >= 400:
        return Message(reply=reply, body=json.dumps(surface.error(reply.status, reply.text)).encode())
    if said.request.get("stream") and surface.stream is not None:
        return Message(reply=reply, events=surface.stream(said))
    return Message(reply=reply, body=json.dumps(surface.whole(said)).encode())


class Connection(asyncio.StreamReaderProtocol):
    """A connection that says when its client is gone."""

    def __init__(self, serve: _Serve) -> None:
        super().__init__(asyncio.StreamReader(limit=_LARGEST_HEAD), serve)
        self.gone = asyncio.Event()

    def eof_received(self) -> bool:
        self.gone.set()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


class Delivery:
    """One answer on its way to the client, which may go away at any byte."""

    def __init__(self, message: Message, request: Received, writer: asyncio.StreamWriter) -> None:
        self._message = message
        self._request = request
        self._writer = writer
        self._left = message.reply.cut_after

    async def send(self) -> bool:
        """Send it; say whether the connection may be used again."""
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.sleep(self._message.reply.wait)
            await (self._whole() if self._message.events is None else self._stream(self._message.events))
            self._request.done = self._left is None or self._left > 0
            return self._request.done and self._request.left_at is None
        except ConnectionError:
            self._note()
            return False
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        """Note the moment at which the client goes away; it sends nothing while it waits."""
        connection = self._writer.transport.get_protocol()
        assert isinstance(connection, Connection)
        await connection.gone.wait()
        self._note()
        self._writer.transport.abort()

    def _note(self) -> None:
        if self._request.left_at is None:
            self._request.left_at = CLOCK.monotonic()

    async def _whole(self) -> None:
        reply = self._message.reply
        body = gzip.compress(self._message.body) if reply.gzip else self._message.body
        await self._head("application/json", f"content-length: {len(body)}")
        await self._write(body)

    async def _stream(self, events: Iterator[bytes]) -> None:
        reply = self._message.reply
        if reply.gzip:
            events = iter((gzip.compress(b"".join(events)),))
        await self._head("text/event-stream", "transfer-encoding: chunked")
        for index, event in enumerate(events):
            if index and reply.pace:
                await asyncio.sleep(reply.pace)
            if not await self._write(event, chunked=True):
                return
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def _head(self, kind: str, framing: str) -> None:
        reply = self._message.reply
        headers = {"content-type": kind, "x-request-id": "req_scripted", **reply.headers}
        if reply.gzip:
            headers["content-encoding"] = "gzip"
        lines = [
            f"HTTP/1.1 {reply.status} Scripted",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._writer.write("\r\n".join([*lines, framing, "", ""]).encode("latin-1"))
        await self._writer.drain()

    async def _write(self, data: bytes, *, chunked: bool = False) -> bool:
        """Write, in pieces where the script says so; say whether there is more to be written."""
        if self._left is not None:
            data, self._left = data[: self._left], self._left - len(data)
        size = self._message.reply.split or max(len(data), 1)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await self._writer.drain()
            if self._message.reply.split:
                await asyncio.sleep(0.001)
        return self._left is None or self._left > 0
