"""A scripted model server on a real socket: OpenAI and Anthropic shapes, errors, delays, broken streams.

Use it from any thread: `with ModelServer([Reply(text="hi")]) as server:`. What it received is kept, in order,
with whether the client went away before the end.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self, cast

from interlock.runtime import SystemClock
from interlock.testing.model_reply import SURFACES, Body, Reply, Said, Surface

_CLOCK = SystemClock()
_LARGEST_HEAD = 1 << 20
_NOT_FOUND = b'{"error": {"message": "There is no such path.", "type": "invalid_request_error"}}'


@dataclass(slots=True, kw_only=True)
class Received:
    """One request. Header names are in lower case; `left_at` is the monotonic time at which a client left."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float = field(default_factory=_CLOCK.monotonic)
    left_at: float | None = None
    done: bool = False

    @property
    def body(self) -> Body:
        """The decoded body; empty where it is no JSON object."""
        try:
            found = json.loads(self.raw)
        except ValueError:
            return {}
        return cast("Body", found) if isinstance(found, dict) else {}


Script = Sequence[Reply] | Callable[[Received], Reply]


class ModelServer:
    """A provider that says what the script says: in order, the last reply again and again."""

    def __init__(self, script: Script = (), *, models: Sequence[str] = ("gpt-test",), port: int = 0) -> None:
        self.received: list[Received] = []
        self.models = tuple(models)
        self.port = port
        self._script = script
        self._next = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="model server", daemon=True)
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *replies: Reply) -> None:
        """Say these from now on, and forget what was received."""
        self._script, self._next = replies, 0
        self.received.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join()

    def serve_forever(self, on_started: Callable[[str], None]) -> None:
        """Serve in this thread until interrupted."""
        with suppress(KeyboardInterrupt):
            asyncio.run(self._serve(lambda: on_started(self.url)))

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve(self._started.set))
        except BaseException as error:  # noqa: BLE001 - a thread's edge: handed to the thread that waits
            self._failure = error
        finally:
            self._loop.close()
            self._started.set()

    async def _serve(self, on_started: Callable[[], None]) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)

        self._stop = end
        server = await loop.create_server(lambda: _Connection(self._connection), "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        on_started()
        await stop.wait()
        server.close()
        open_now = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (request := await _read(reader)) is not None:
                self.received.append(request)
                if not await _Answer(self._answer(request), request, writer).send():
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def _answer(self, request: Received) -> _Message:
        path = request.path.partition("?")[0]
        if path == "/v1/models":
            return _Message(reply=Reply(), body=json.dumps(self._listed(request)).encode())
        surface = SURFACES.get(path)
        if surface is None:
            return _Message(reply=Reply(status=404), body=_NOT_FOUND)
        reply = self._reply(request)
        return _shaped(reply, surface, request)

    def _reply(self, request: Received) -> Reply:
        if callable(self._script):
            return self._script(request)
        if not self._script:
            return Reply()
        said = self._script[min(self._next, len(self._script) - 1)]
        self._next += 1
        return said

    def _listed(self, request: Received) -> Body:
        if "anthropic-version" in request.headers:
            listed = [{"type": "model", "id": name, "display_name": name} for name in self.models]
            return {"data": listed, "has_more": False, "first_id": None, "last_id": None}
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in self.models]
        return {"object": "list", "data": listed}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A reply in the shape of its surface: a body, or the events of a stream."""

    reply: Reply
    body: bytes = b""
    events: Iterator[bytes] | None = None


def _shaped(reply: Reply, surface: Surface, request: Received) -> _Message:
    said = Said(reply, request.body)
    if reply.raw is not None:
        streams = bool(said.request.get("stream")) and reply.status < 400
        return _Message(reply=reply, body=reply.raw, events=iter((reply.raw,)) if streams else None)
    if reply.status >= 400:
        return _Message(reply=reply, body=json.dumps(surface.error(reply.status, reply.text)).encode())
    if said.request.get("stream") and surface.stream is not None:
        return _Message(reply=reply, events=surface.stream(said))
    return _Message(reply=reply, body=json.dumps(surface.whole(said)).encode())


_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Connection(asyncio.StreamReaderProtocol):
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


class _Answer:
    """One answer on its way to the client, which may go away at any byte."""

    def __init__(self, message: _Message, request: Received, writer: asyncio.StreamWriter) -> None:
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
        assert isinstance(connection, _Connection)
        await connection.gone.wait()
        self._note()
        self._writer.transport.abort()

    def _note(self) -> None:
        if self._request.left_at is None:
            self._request.left_at = _CLOCK.monotonic()

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


async def _read(reader: asyncio.StreamReader) -> Received | None:
    """Read one request; None when the client has closed."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([piece async for piece in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, path=path, headers=headers, raw=body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
