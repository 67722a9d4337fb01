"""One connection to one tool server: an SDK session that lives in a task of its own.

The task opens the transport, negotiates the newest protocol both sides speak (modern first, else the
legacy handshake), and holds both until it is told to stop or the server goes away. Calls come from other
tasks through the dispatcher, which is made for it; no cancel scope ever crosses a task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import mcp_types as types
from mcp.client.session import ClientRequestContext
from mcp.shared.dispatcher import CallOptions, ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
)
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import methods
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError

from interlock import __version__
from interlock.core.model import Json
from interlock.errors import InterlockError, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.mcp.flight import ELICIT, ROOTS, SAMPLE, Flight
from interlock.upstream.mcp.http import exchange_failed
from mcp import ClientSession

log = logging.getLogger(__name__)

Transport = Callable[[Callable[[str], None]], AbstractAsyncContextManager[tuple[Any, Any]]]
Headers = Mapping[str, dict[tuple[str, ...], str]]
Notified = Callable[[str, Mapping[str, Json]], Awaitable[None]]

_CONNECT = 60.0
_BURST = 20_000
_CLIENT = types.Implementation(name="interlock", version=__version__)
_CLIENT_JSON = _CLIENT.model_dump(by_alias=True, mode="json", exclude_none=True)


class NotProtocol(InterlockError):
    """The tool server's answer is not what the protocol says."""

    code = "upstream_not_protocol"


class _Dispatcher(JSONRPCDispatcher[Any]):
    """The SDK's dispatcher, which also says when it ended and drops a flood of notifications."""

    def __init__(
        self, read: Any, write: Any, *, ended: Callable[[], None], flooded: Callable[[], None]
    ) -> None:
        super().__init__(read, write)
        self._ended = ended
        self._flooded = flooded
        self._notifications = 0

    async def run(
        self, on_request: Any, on_notify: Any, on_notify_intercept: Any = None, **options: Any
    ) -> None:
        def counted(method: str, params: Mapping[str, Any] | None) -> bool:
            self._notifications += 1
            if self._notifications > _BURST:
                self._flooded()
                return True
            return on_notify_intercept is not None and on_notify_intercept(method, params)

        try:
            await super().run(on_request, on_notify, counted, **options)
        finally:
            self._ended()

    def calm(self) -> None:
        """Start counting anew; called whenever a call is sent."""
        self._notifications = 0


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
        self._dispatcher: _Dispatcher | None = None
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
        self.reason = self.reason or "it was closed"
        self.ended.set()
        await asyncio.wait([self._task], timeout=15)

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
        """Send one request and return its result as the server wrote it.

        Raises `MCPError` for the server's own error, a timeout or a lost connection, `NotProtocol` for a
        result that is not what the protocol says, `UpstreamUnavailable` when nothing could be sent.
        """
        version = self.session.protocol_version or "2025-11-25"
        dispatcher = self._dispatcher
        assert dispatcher is not None
        dispatcher.calm()
        self.used_at = self._runtime.clock.monotonic()
        sent = dict(params)
        options: CallOptions = {"headers": {MCP_PROTOCOL_VERSION_HEADER: version}}
        if timeout is not None:
            options["timeout"] = timeout
        if on_progress is not None:
            options["on_progress"] = on_progress
        if self.modern:
            sent["_meta"] = _envelope(version, params, capabilities or {}, log_level)
            options["headers"] = self._modern_headers(version, method, sent)
        raw = await dispatcher.send_raw_request(method, sent, options)
        self.used_at = self._runtime.clock.monotonic()
        return self._checked(method, version, raw)

    def _modern_headers(self, version: str, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
        key = "taskId" if method.startswith("tasks/") else NAME_BEARING_METHODS.get(method, "")
        name = params.get(key)
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
            if method == "tools/call" and (declared := self._headers.get(name)):
                headers.update(mcp_param_headers(declared, params.get("arguments") or {}))
        return headers

    def _checked(self, method: str, version: str, raw: dict[str, Any]) -> dict[str, Json]:
        try:
            methods.validate_server_result(method, version, raw)
        except KeyError:
            pass
        except ValidationError as error:
            place = ".".join(str(each) for each in error.errors()[0]["loc"])
            raise NotProtocol(
                f"The tool server {self.server!r} answered {method} with something the protocol does not "
                f"allow (at {place or 'the top'})."
            ) from error
        return raw

    async def _live(self) -> None:
        try:
            async with self._transport(self._broke) as (read, write):
                dispatcher = _Dispatcher(read, write, ended=self._lost, flooded=self._flooded)
                async with self._open_session(dispatcher) as session:
                    await self._unless_ended(_negotiate(session))
                    self._session, self._dispatcher = session, dispatcher
                    if not self._ready.done():
                        self._ready.set_result(None)
                    await self.ended.wait()
        except InterlockError as error:
            self._broke(error.message)
        except (OSError, MCPError, ValueError, RuntimeError, TimeoutError, ValidationError) as error:
            self._broke(_cause(error))
        except BaseExceptionGroup as group:
            self._broke(_cause(group))
        finally:
            self._broke("its connection ended")
            self._settle()

    async def _unless_ended(self, handshake: Coroutine[Any, Any, None]) -> None:
        """Wait for the handshake, no longer than it may take and than anybody wants the connection."""
        shaking = asyncio.ensure_future(handshake)
        ending = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({shaking, ending}, timeout=_CONNECT, return_when=asyncio.FIRST_COMPLETED)
            if shaking.done():
                return shaking.result()
            if not ending.done():
                raise TimeoutError
        finally:
            for each in (shaking, ending):
                each.cancel()
            await asyncio.wait({shaking, ending})

    def _open_session(self, dispatcher: _Dispatcher) -> ClientSession:
        if self.shared:
            return ClientSession(dispatcher=dispatcher, client_info=_CLIENT, message_handler=self._on_message)
        return ClientSession(
            dispatcher=dispatcher,
            client_info=_CLIENT,
            message_handler=self._on_message,
            logging_callback=self._on_log,
            elicitation_callback=self._on_elicit,
            sampling_callback=self._on_sample,
            sampling_capabilities=types.SamplingCapability(
                tools=types.SamplingToolsCapability(), context=types.SamplingContextCapability()
            ),
            list_roots_callback=self._on_roots,
        )

    def _broke(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.ended.set()

    def _lost(self) -> None:
        self.ended.set()

    def _flooded(self) -> None:
        self._broke(f"it sent more than {_BURST} notifications during one call")

    def _settle(self) -> None:
        if not self._ready.done():
            self._ready.set_exception(
                UpstreamUnavailable(f"The tool server {self.server!r} cannot be used: {self.reason}.")
            )
            self._ready.exception()  # somebody may have stopped waiting; the reason is kept in `reason`

    async def _on_message(self, message: object) -> None:
        if isinstance(message, BaseModel):
            body = message.model_dump(by_alias=True, mode="json", exclude_none=True)
            await self._notified(str(body.get("method")), body.get("params") or {})

    async def _on_log(self, params: types.LoggingMessageNotificationParams) -> None:
        body = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        for flight in list(self.flights):
            if flight.bridge is not None:
                await flight.bridge.log(body)

    async def _on_elicit(
        self,
        context: ClientRequestContext,  # noqa: ARG002
        params: types.ElicitRequestParams,
    ) -> types.ElicitResult | types.ErrorData:
        answer = await self._ask(ELICIT, params)
        return answer if isinstance(answer, types.ErrorData) else types.ElicitResult.model_validate(answer)

    async def _on_sample(
        self,
        context: ClientRequestContext,  # noqa: ARG002
        params: types.CreateMessageRequestParams,
    ) -> types.CreateMessageResult | types.CreateMessageResultWithTools | types.ErrorData:
        answer = await self._ask(SAMPLE, params)
        if isinstance(answer, types.ErrorData):
            return answer
        kind = types.CreateMessageResultWithTools if params.tools else types.CreateMessageResult
        return kind.model_validate(answer)

    async def _on_roots(
        self,
        context: ClientRequestContext,  # noqa: ARG002
    ) -> types.ListRootsResult | types.ErrorData:
        answer = await self._ask(ROOTS, None)
        return answer if isinstance(answer, types.ErrorData) else types.ListRootsResult.model_validate(answer)

    async def _ask(self, method: str, params: BaseModel | None) -> dict[str, Json] | types.ErrorData:
        """Ask whoever made the newest call of this session; it belongs to one run alone."""
        body = params.model_dump(by_alias=True, mode="json", exclude_none=True) if params else {}
        if not self.flights:
            return types.ErrorData(
                code=types.INVALID_REQUEST, message="No call is open that this belongs to."
            )
        try:
            return await self.flights[-1].ask(method, body)
        except InterlockError as error:
            return types.ErrorData(code=types.INVALID_REQUEST, message=error.message)
        except MCPError as error:
            return error.error


def _envelope(
    version: str, params: Mapping[str, Any], capabilities: Mapping[str, Json], log_level: str | None
) -> dict[str, Json]:
    meta = dict(cast("Mapping[str, Any]", params.get("_meta") or {}))
    meta[types.PROTOCOL_VERSION_META_KEY] = version
    meta[types.CLIENT_INFO_META_KEY] = _CLIENT_JSON
    meta[types.CLIENT_CAPABILITIES_META_KEY] = dict(capabilities)
    if log_level is not None:
        meta[types.LOG_LEVEL_META_KEY] = log_level
    return meta


async def _negotiate(session: ClientSession) -> None:
    """Agree on the modern protocol, else on the newest legacy one."""
    try:
        await session.discover()
    except (MCPError, ValidationError, RuntimeError):
        await session.initialize()


def _cause(error: BaseException) -> str:
    """Return the innermost cause in a few words, without any text of the server's."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if isinstance(error, MCPError):
        if (failed := exchange_failed(error.error.data, error.error.message)) is not None:
            return f"it {failed.message}"
        return f"it answered the handshake with error {error.error.code}"
    if isinstance(error, TimeoutError):
        return f"it did not answer the handshake within {_CONNECT:.0f} s"
    if isinstance(error, OSError):
        return f"it cannot be started ({error.strerror or type(error).__name__})"
    return f"the connection failed ({type(error).__name__})"
