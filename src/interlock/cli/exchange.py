"""One JSON-RPC message over the gateway's HTTP, and all that comes back for it.

Every request is answered, whatever happens to the connection: a client of stdio has no other sign that a
server died. A server that was restarted is found again; a legacy session that it has forgotten is begun
anew with what the client began it with, so that neither the client nor its run notices.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import httpx2
from mcp.shared.inbound import MCP_METHOD_HEADER
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)

STREAM = "subscriptions/listen"
_SESSION, _LAST = "mcp-session-id", "last-event-id"
_ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
_LIMIT = 16 * 1024 * 1024
_TRIES, _PAUSE = 60, 0.25
_RESUMES, _RETRY = 2, 1.0
_BEGIN = 30.0
_UNREACHED = "Interlock cannot be reached; nothing was sent. Is the server running? Try: interlock doctor"
_LOST = (
    "The connection to Interlock was lost before it answered. What was under way is on record there: make "
    "the identical call again to collect its outcome. Nothing is executed twice by that."
)

Headers = Mapping[str, str]
Hand = Callable[[JSONRPCMessage], Awaitable[None]]


class _Lost(Exception):
    """What was asked will not be answered over this connection any more."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Flight:
    """A request under way. A `modern` one is cancelled by closing its stream; `last` is its newest event."""

    id: RequestId
    modern: bool
    lasting: bool
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)
    last: str = ""


class Exchange:
    """Carries one client's messages to the gateway at `url`; `hand` is given what comes back."""

    def __init__(self, http: httpx2.AsyncClient, url: str, hand: Hand) -> None:
        self._http = http
        self._url = url
        self._hand = hand
        self._flights: dict[RequestId, _Flight] = {}
        self._session = ""
        self._begun: dict[str, tuple[JSONRPCMessage, Headers]] = {}
        self._beginning = anyio.Lock()

    async def request(self, message: JSONRPCRequest, headers: Headers) -> None:
        """Send a request and hand on all that comes back, at last an answer, unless it is cancelled."""
        modern, lasting = MCP_METHOD_HEADER in headers, message.method == STREAM
        flight = self._flights[message.id] = _Flight(id=message.id, modern=modern, lasting=lasting)
        try:
            with flight.scope:
                await self._answered(flight, message, headers)
        finally:
            flight.ended.set()
            if self._flights.get(message.id) is flight:
                del self._flights[message.id]

    async def tell(self, message: JSONRPCMessage, headers: Headers) -> None:
        """Send what is no request. It is not repeated, and nobody waits for it."""
        if isinstance(message, JSONRPCNotification):
            if message.method == "notifications/cancelled" and self._cancelled(message):
                return
            if message.method == "notifications/initialized":
                self._begun[message.method] = message, headers
        with suppress(httpx2.TransportError):
            async with self._sent("POST", headers, self._session, message):
                pass

    async def listen(self, headers: Headers) -> None:
        """Hand on what the gateway says unasked in a legacy session, until this is cancelled."""
        last = ""
        while True:
            session = self._session
            try:
                resumed = {**headers, _LAST: last} if last else headers
                async with self._sent("GET", resumed, session) as response:
                    last = "" if response.status_code == 404 else last
                    if response.is_success:
                        async for event in httpx2.EventSource(response, max_event_size=_LIMIT):
                            last = event.id or last
                            if event.data:
                                await self._hand(_parsed(event.data))
                if response.status_code == 404:
                    await self._begin_anew(session)
                elif response.status_code == 405:
                    return
            except (httpx2.TransportError, ValueError, _Lost):
                pass
            await anyio.sleep(_RETRY)

    async def settle(self) -> None:
        """Wait until every request is answered but those that last."""
        for flight in list(self._flights.values()):
            if not flight.lasting:
                await flight.ended.wait()

    async def end(self) -> None:
        """Tell the gateway that the session is over."""
        if self._session:
            with suppress(httpx2.TransportError), anyio.move_on_after(_RETRY):
                async with self._sent("DELETE", {}, self._session, tries=1):
                    pass

    async def _answered(self, flight: _Flight, message: JSONRPCRequest, headers: Headers) -> None:
        try:
            await self._ask(flight, message, headers)
        except httpx2.ConnectError:
            await self._refuse(flight, CONNECTION_CLOSED, _UNREACHED)
        except (httpx2.TransportError, TimeoutError, _Lost):
            await self._refuse(flight, CONNECTION_CLOSED, _LOST)
        except ValueError:
            await self._refuse(flight, INTERNAL_ERROR, "The gateway's answer is not JSON-RPC.")

    async def _ask(self, flight: _Flight, message: JSONRPCRequest, headers: Headers) -> None:
        session = "" if message.method == "initialize" else self._session
        self._remember(message, headers)
        async with self._sent("POST", headers, session, message) as response:
            if not (session and response.status_code == 404):
                await self._hear(flight, message, response)
                return
        await self._begin_anew(session)
        async with self._sent("POST", headers, self._session, message) as response:
            await self._hear(flight, message, response)

    async def _hear(self, flight: _Flight, message: JSONRPCRequest, response: httpx2.Response) -> None:
        if message.method == "initialize" and response.is_success:
            self._session = response.headers.get(_SESSION, "")
        kind = response.headers.get("content-type", "").lower()
        if kind.startswith("text/event-stream"):
            await self._follow(flight, response)
        elif kind.startswith("application/json"):
            said = _parsed(await response.aread())
            if isinstance(said, JSONRPCError):  # refused before its id was read
                said = JSONRPCError(jsonrpc="2.0", id=flight.id, error=said.error)
            await self._hand(said)
        else:
            said = f"The gateway answered with status {response.status_code}."
            await self._refuse(flight, INTERNAL_ERROR, said)

    async def _follow(self, flight: _Flight, response: httpx2.Response) -> None:
        """Hand on the events of a request's stream; one that breaks off is taken up where it can be."""
        session = self._session
        if await self._events(flight, response):
            return
        for _ in range(_RESUMES):
            if not flight.last or session != self._session:
                break
            await anyio.sleep(_RETRY)
            async with self._sent("GET", {_LAST: flight.last}, session) as again:
                if again.is_success and await self._events(flight, again):
                    return
        raise _Lost

    async def _events(self, flight: _Flight, response: httpx2.Response) -> bool:
        """Hand on what a stream brings; whether the answer was among it."""
        with suppress(httpx2.NetworkError, httpx2.ProtocolError):
            async for event in httpx2.EventSource(response, max_event_size=_LIMIT):
                flight.last = event.id or flight.last
                if event.data:
                    said = _parsed(event.data)
                    await self._hand(said)
                    if isinstance(said, JSONRPCResponse | JSONRPCError):
                        return True
        return False

    def _remember(self, message: JSONRPCRequest, headers: Headers) -> None:
        """Keep what a new session would have to be told: how it began, and what it asked to hear of."""
        uri = (message.params or {}).get("uri")
        match message.method:
            case "initialize":
                self._begun = {"initialize": (message, headers)}
            case "logging/setLevel":
                self._begun[message.method] = message, headers
            case "resources/subscribe":
                self._begun[f"follow {uri}"] = message, headers
            case "resources/unsubscribe":
                self._begun.pop(f"follow {uri}", None)
            case _:
                pass

    async def _begin_anew(self, forgotten: str) -> None:
        """Begin a session in the place of one the gateway does not know any more."""
        async with self._beginning:
            if self._session != forgotten or "initialize" not in self._begun:
                return
            opening, *rest = self._begun.values()
            with anyio.fail_after(_BEGIN):
                async with self._sent("POST", opening[1], "", opening[0]) as response:
                    if not response.is_success:
                        raise _Lost
                    await response.aread()
                session = response.headers.get(_SESSION, "")
                for message, headers in rest:
                    async with self._sent("POST", headers, session, message) as response:
                        await response.aread()
            self._session = session

    def _cancelled(self, message: JSONRPCNotification) -> bool:
        """End a request of the modern era, which has no other way to be cancelled. Whether it was one."""
        asked = cancelled_request_id_from_params(message.params)
        flight = None if asked is None else self._flights.get(asked)
        if flight is None:
            return not self._session
        if flight.modern:
            flight.scope.cancel()
        return flight.modern

    async def _refuse(self, flight: _Flight, code: int, said: str) -> None:
        error = ErrorData(code=code, message=said)
        await self._hand(JSONRPCError(jsonrpc="2.0", id=flight.id, error=error))

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        headers: Headers,
        session: str,
        message: JSONRPCMessage | None = None,
        *,
        tries: int = _TRIES,
    ) -> AsyncGenerator[httpx2.Response]:
        """Send one HTTP request. As long as nobody listens nothing is sent, and it is tried again."""
        told = {**_ACCEPT, **headers, **({_SESSION: session} if session else {})}
        body = None if message is None else message.model_dump_json(by_alias=True, exclude_unset=True)
        request = self._http.build_request(method, self._url, headers=told, content=body)
        response = await self._sent_once(request, tries)
        try:
            yield response
        finally:
            await response.aclose()

    async def _sent_once(self, request: httpx2.Request, tries: int) -> httpx2.Response:
        while True:
            try:
                return await self._http.send(request, stream=True)
            except httpx2.ConnectError:
                tries -= 1
                if tries <= 0:
                    raise
                await anyio.sleep(_PAUSE)


def _parsed(said: str | bytes) -> JSONRPCMessage:
    """Return a message as the gateway wrote it. Raises `ValueError`."""
    return jsonrpc_message_adapter.validate_json(said, by_name=False)
