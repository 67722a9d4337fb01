"""Listening: one ASGI application on a TCP port and on the data directory's local socket.

The application is raw ASGI; the call path meets no framework. Both listeners live in one event loop and
stop together. A whole body comes in one piece, and a whole answer leaves in one: the server hands on each
piece that arrives, and writes head and body apart, each time with a system call more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from interlock.errors import StoreUnavailable, UsageError
from interlock.settings import Settings

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
_JOINED = 32 * 1024
"""Bytes up to which a body is copied behind its head; copying a larger one would cost more."""

_GATHERED = 256 * 1024
"""Bytes of a body that are kept until the rest is there; with more, the application takes it in pieces."""

_LOOK = 0.005
"""Seconds between two looks whether calls that are under way have ended."""


class _Cycle(RequestResponseCycle):
    """One request and its answer. The head of a whole answer, whose length is said, waits for its body."""

    head = b""

    async def receive(self) -> Any:
        """Return what came, as ASGI has it: a body that is there already without waiting for it."""
        over = self.more_body or self.response_complete or self.disconnected
        if over or not self.message_event.is_set() or self.waiting_for_100_continue:
            return await super().receive()
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Send what the application says, as ASGI has it."""
        if self.head:
            head, self.head = self.head, b""
            if self._finish(head, message):
                return
            if not self.disconnected:
                self.transport.write(head)
        elif not self.response_started and self._begin(message):
            return
        await super().send(message)

    def _begin(self, message: Any) -> bool:
        """Keep the head of a whole answer; False where it is another one, which the server sends as ever."""
        headers: list[tuple[bytes, bytes]] = message.get("headers") or []
        length = _length(headers)
        plain = self.keep_alive and not self.disconnected and not self.default_headers
        if not plain or not length.isdigit() or self.scope["method"] == "HEAD" or self.flow.write_paused:
            return False
        lines = [b"%b: %b" % each for each in headers]
        head = b"%b%b\r\n\r\n" % (STATUS_LINE[message["status"]], b"\r\n".join(lines))
        ends = len(lines) + 2
        if head.count(b"\n") != ends or head.count(b"\r") != ends:
            return False
        if b"\0" in head or b"\nconnection:" in head or b"\ntransfer-encoding:" in head:
            return False
        self.head, self.response_started, self.waiting_for_100_continue = head, True, False
        self.chunked_encoding, self.expected_content_length = False, int(length)
        return True

    def _finish(self, head: bytes, message: Any) -> bool:
        """Send head and body together; False where this is not the whole body."""
        body: bytes = message.get("body", b"")
        if message.get("more_body") or len(body) != self.expected_content_length or self.disconnected:
            return False
        if len(body) <= _JOINED:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        self.expected_content_length = 0
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def _length(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return what is said last of an answer's length, which mostly stands last; empty where nothing is."""
    for name, value in reversed(headers):
        if name == b"content-length":
            return value
    return b""


class _Protocol(HttpToolsProtocol):
    """The server's own protocol, but for the way in which bodies come and whole answers leave.

    It looks after an idle connection once in a while, where the server sets a timer after every answer.
    """

    _idle_since: float | None = None
    _look: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        """Begin a request, with its first byte."""
        self._idle_since = None
        super().on_message_begin()

    def on_response_complete(self) -> None:
        """Go on with the next request that has come already, or wait for one."""
        if self.pipeline or self.transport.is_closing():
            return super().on_response_complete()
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._look is None:
            self._look = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self) -> None:
        """Close a connection that was idle for as long as one is kept; look again where it was not."""
        self._look = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._look = self.loop.call_later(left, self._close_if_idle)

    def on_headers_complete(self) -> None:
        """Begin a request; its task has not run yet."""
        super().on_headers_complete()
        self.cycle.__class__ = _Cycle

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, and tell the application where there is more of it than is kept."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > _GATHERED:
            self.flow.pause_reading()
            cycle.message_event.set()


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to the process that runs several of them, and is stopped at once.

    The server itself looks ten times a second whether it is to stop, then waits a tenth of a second anyway:
    a command that serves for itself alone would wait longer for that than its work takes.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Stop accepting, let open calls end for a moment, then close."""
        self.should_exit = True
        self._stopping.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        """Serve until it is stopped."""
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listening sockets, then wait for what is under way, for as long as is configured."""
        for each in (*self.servers, *(sockets or ())):
            each.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(_LOOK)
        for task in state.tasks:
            task.cancel()


class Listeners:
    """The listeners of one process: a local socket at `place` always, TCP where asked."""

    def __init__(self, application: Asgi, settings: Settings, *, tcp: bool, place: Path) -> None:
        self._place = place
        if tcp:
            _require_free(settings.host, settings.port)
        _prepare_socket(place)
        self._local = Listener(server_config(application, uds=str(place)))
        self._tcp = Listener(_tcp(application, settings)) if tcp else None

    @property
    def _all(self) -> list[Listener]:
        return [each for each in (self._local, self._tcp) if each is not None]

    @property
    def port(self) -> int | None:
        """The TCP port in use, once started; None without TCP."""
        if self._tcp is None or not self._tcp.started:
            return None
        return int(self._tcp.servers[0].sockets[0].getsockname()[1])

    async def run(self, on_started: Callable[[int | None], None]) -> None:
        """Serve until `stop`; call `on_started` with the TCP port when every listener accepts."""
        async with asyncio.TaskGroup() as group:
            for each in self._all:
                group.create_task(each.serve())
            group.create_task(self._announce(on_started))
        with suppress(FileNotFoundError):
            self._place.unlink()

    def stop(self) -> None:
        """Stop accepting, let open calls end for a moment, then close."""
        for each in self._all:
            each.stop()

    async def _announce(self, on_started: Callable[[int | None], None]) -> None:
        while not any(each.should_exit for each in self._all):
            if all(each.started for each in self._all):
                self._place.chmod(0o600)
                on_started(self.port)
                return
            await asyncio.sleep(0.01)
        self.stop()


def _tcp(application: Asgi, settings: Settings) -> uvicorn.Config:
    """Who calls is who connected, unless that is a proxy the operator named: a header dodges no throttle."""
    proxies = settings.trusted_proxies
    return server_config(application, host=settings.host, port=settings.port, proxies=proxies)


def server_config(application: Asgi, *, proxies: str = "", **place: Any) -> uvicorn.Config:
    """Return how an application is served; `place` is `host` and `port`, or `uds`."""
    return uvicorn.Config(
        application,
        **place,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="none",
        log_level="warning",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )


def _require_free(host: str, port: int) -> None:
    """Say in our own words, and before anything listens, that an address cannot be had."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"Nothing can listen on {host}:{port}: {error.strerror}.",
            hint="Take another with --port or INTERLOCK_PORT; 0 takes a free one.",
        ) from error


def _prepare_socket(path: Path) -> None:
    """Make the socket's folder ours alone and remove a socket that nobody serves any more."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.parent.stat()
    if status.st_uid != os.getuid():
        raise StoreUnavailable(
            f"{path.parent} belongs to another user.", hint="Choose another data directory: INTERLOCK_DATA."
        )
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
