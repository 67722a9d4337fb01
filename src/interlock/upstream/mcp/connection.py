"""One connection to one tool server: an SDK session that lives in a task of its own.

The task opens the transport, negotiates the newest protocol both sides speak (modern first, else the
legacy handshake), and holds both until it is told to stop or the server goes away. Calls come from other
tasks through the dispatcher, which is made for it; no cancel scope ever crosses a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import mcp_types as types
from mcp.shared.dispatcher import CallOptions, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from interlock.core.model import Json
from interlock.errors import InterlockError, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.mcp.dispatcher import BURST, Dispatcher
from interlock.upstream.mcp.flight import Flight
from interlock.upstream.mcp.handshake import cause, shake_hands
from interlock.upstream.mcp.session import Notified, open_session
from interlock.upstream.mcp.transport import Transport
from interlock.upstream.mcp.wire import Headers, checked, envelope, legacy_headers, modern_headers
from mcp import ClientSession

_LEGACY = "2025-11-25"
_CLOSING = 15.0


class Connection:
    """A long-lived session with a tool server. `shared` ones serve many agents and may not ask any.

    `gone` is told when nothing is left of it, no process and no socket.

    `lost` says why the session before this one ended, until a result has told it; `begun` says that the
    server may keep something for this session, which would be lost with it.

    `headers` says which arguments of which tool a modern server wants mirrored in HTTP headers; its owner
    keeps it up to date.
    """

    def __init__(
        self,
        *,
        server: str,
        transport: Transport,
        shared: bool,
        headers: Headers,
        notified: Notified,
        runtime: Runtime,
        gone: Callable[[Connection], None],
    ) -> None:
        self.server = server
        self.shared = shared
        self.flights: list[Flight] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self.used_at = runtime.clock.monotonic()
        self.reason = ""
        self.lost = ""
        self.begun = False
        self._transport = transport
        self._notified = notified
        self._runtime = runtime
        self.ended = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._dispatcher: Dispatcher | None = None
        self._session: ClientSession | None = None
        self._headers = headers
        self._task = runtime.scheduler.spawn(self._live(), name=f"tool server {server}")
        self._task.add_done_callback(lambda _: gone(self))

    @property
    def alive(self) -> bool:
        """Whether a call can be sent now."""
        return self._dispatcher is not None and not self.ended.is_set()

    @property
    def modern(self) -> bool:
        """Whether the server speaks the modern protocol, which has no session."""
        return self.session.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def session(self) -> ClientSession:
        """The SDK's session. Raises `UpstreamUnavailable` when there is none."""
        if self._session is None or not self.alive:
            raise UpstreamUnavailable(f"The tool server {self.server!r} is not connected: {self.reason}.")
        return self._session

    @property
    def capabilities(self) -> types.ServerCapabilities:
        """What the server says it offers."""
        return self.session.server_capabilities or types.ServerCapabilities()

    async def ready(self) -> None:
        """Wait until calls can be sent. Raises `UpstreamUnavailable` with the reason."""
        await asyncio.shield(self._ready)

    def take_off(self, flight: Flight) -> None:
        """Know a call that is on its way from now on."""
        self.flights.append(flight)
        self._idle.clear()

    def land(self, flight: Flight) -> None:
        """Forget a call that has ended; one that was forgotten already is no error."""
        if flight in self.flights:
            self.flights.remove(flight)
        if not self.flights:
            self._idle.set()

    async def finish(self) -> None:
        """Let the calls that are on their way end, each by its own deadline, then end the session."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """End the session and, for a child process, the process."""
        self._broke("it was closed")
        await asyncio.wait([self._task], timeout=_CLOSING)

    async def request(
        self,
        method: str,
        params: Mapping[str, Json],
        *,
        timeout: float | None,
        capabilities: Mapping[str, Json] | None = None,
        log_level: str | None = None,
        on_progress: ProgressFnT | None = None,
    ) -> dict[str, Json]:
        """Send one request and return its result as the server wrote it. `timeout` is in seconds.

        Raises `MCPError` for the server's own error, a timeout or a lost connection, `NotProtocol` for a
        result that is not what the protocol says, `UpstreamUnavailable` when nothing could be sent.
        """
        version = self.session.protocol_version or _LEGACY
        dispatcher = self._dispatcher
        assert dispatcher is not None
        dispatcher.calm()
        self.used_at = self._runtime.clock.monotonic()
        sent = dict(params)
        options: CallOptions = {}
        if timeout is not None:
            options["timeout"] = timeout
        if on_progress is not None:
            options["on_progress"] = on_progress
        if self.modern:
            sent["_meta"] = envelope(version, params, capabilities or {}, log_level)
            options["headers"] = modern_headers(version, method, sent, self._headers)
        else:
            options["headers"] = legacy_headers(version)
        raw = await dispatcher.send_raw_request(method, sent, options)
        self.used_at = self._runtime.clock.monotonic()
        return checked(self.server, method, version, raw)

    async def _live(self) -> None:
        try:
            async with self._transport(self._broke) as (read, write):
                dispatcher = Dispatcher(read, write, ended=self.ended.set, flooded=self._flooded)
                async with open_session(
                    dispatcher, self.flights, self._notified, shared=self.shared
                ) as session:
                    await shake_hands(session, self.ended)
                    self._session, self._dispatcher = session, dispatcher
                    if not self._ready.done():
                        self._ready.set_result(None)
                    await self.ended.wait()
        except InterlockError as error:
            self._broke(error.message)
        except (OSError, MCPError, ValueError, RuntimeError, TimeoutError, ValidationError) as error:
            self._broke(cause(error))
        except BaseExceptionGroup as group:
            self._broke(cause(group))
        finally:
            self._broke("its connection ended")
            self._settle()

    def _broke(self, reason: str) -> None:
        """End the session, for the first reason that was given."""
        self.reason = self.reason or reason
        self.ended.set()

    def _flooded(self) -> None:
        self._broke(f"it sent more than {BURST} notifications during one call")

    def _settle(self) -> None:
        if not self._ready.done():
            self._ready.set_exception(
                UpstreamUnavailable(f"The tool server {self.server!r} cannot be used: {self.reason}.")
            )
            self._ready.exception()  # somebody may have stopped waiting; the reason is kept in `reason`
