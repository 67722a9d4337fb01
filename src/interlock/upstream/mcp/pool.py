"""The declared tool servers of this process, and how a decided call is carried out on them.

Whose connection a call takes is decided by server, run and declaration alone: the shared one where the
server is declared stateless, else the run's own. How a call ended is said exactly: nothing left, a definite
answer, or unknown. An agent's token never leaves this process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.document import ToolServer
from interlock.core.model import Json
from interlock.errors import InterlockError, UpstreamRefused, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.executor import (
    Bridge,
    Dispatch,
    Failed,
    InputNeeded,
    NotSent,
    Outcome,
    Succeeded,
    Unknown,
)
from interlock.upstream.mcp.connection import Connection, NotProtocol
from interlock.upstream.mcp.flight import Flight, answer_now, unsupported
from interlock.upstream.mcp.http import exchange_failed
from interlock.upstream.mcp.keeper import Keeper, Surroundings

log = logging.getLogger(__name__)

ERROR_META = "interlock/error"
"""Where the payload of a failed call keeps the tool server's own JSON-RPC error, to be passed on as it is."""

LOST_META = "interlock/session_lost"
"""Where a result says that the run's session with the tool server is a new one, and why the old one ended."""

MESSAGE_LIMIT = 16 * 1024 * 1024
_ROUNDS = 10
_PARKED_FOR = 600.0
_IDLE = 900.0
_TEXT = 500
_TRACE = frozenset({"traceparent", "tracestate", "baggage"})
_UNANSWERED = {types.REQUEST_TIMEOUT, types.CONNECTION_CLOSED}

Told = Callable[[str, str, str, Mapping[str, Json]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parked:
    """A call of a legacy server that waits for a modern caller to come back with answers."""

    flight: Flight
    connection: Connection
    tool: str
    since: float


class ServerError(UpstreamRefused):
    """The tool server's own JSON-RPC error, kept so that it can be passed on as it is."""

    def __init__(self, error: MCPError, message: str) -> None:
        super().__init__(message)
        self.error = error


class ToolServers:
    """Every declared tool server, pooled. The `Executor` of this process."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        secret: Callable[[str], str | None],
        environment: Mapping[str, str],
        refusal: Callable[[ToolServer], str | None] = lambda _: None,
        limit: int = MESSAGE_LIMIT,
    ) -> None:
        self._runtime = runtime
        self._keepers: dict[str, Keeper] = {}
        self._parked: dict[str, _Parked] = {}
        self._told: list[Told] = []
        self._around = Surroundings(
            runtime=runtime,
            secret=_resolver(secret),
            refusal=refusal,
            environment=environment,
            limit=limit,
        )

    def on_change(self, told: Told) -> None:
        """Have `told(server, run, method, params)` called for what servers say, and for each new listing."""
        self._told.append(told)

    def configure(self, servers: Mapping[str, ToolServer]) -> None:
        """Serve exactly these servers: start the new, end the gone, restart the changed."""
        for name, keeper in list(self._keepers.items()):
            if servers.get(name) != keeper.document:
                del self._keepers[name]
                self._runtime.scheduler.spawn(keeper.close(), name=f"close {name}")
        for name, document in servers.items():
            if name not in self._keepers:
                self._keepers[name] = keeper = Keeper(document, self._around, self.tell)
                keeper.start()

    def tools(self, server: str) -> list[dict[str, Json]] | None:
        """Return what `server` last listed, or None when it was not reached yet."""
        keeper = self._keepers.get(server)
        listing = keeper.listings.get("tools") if keeper else None
        return listing.items if listing else None

    def settled(self, server: str) -> bool:
        """Whether `server` has said what it offers, or could not: there is no first answer to wait for."""
        keeper = self._keepers.get(server)
        return keeper is None or keeper.failing or "tools" in keeper.listings

    def states(self) -> list[dict[str, Json]]:
        """Return each server's name, whether it is connected, which protocol it speaks, and why not."""
        return [_state(keeper) for keeper in self._keepers.values()]

    async def listing(self, server: str, kind: str) -> list[dict[str, Json]]:
        """Return all that `server` offers of `kind`. Raises `UpstreamError` when it cannot say."""
        try:
            return await self._keeper(server).listing(kind)
        except MCPError as error:
            raise _refused(server, error) from error

    async def request(
        self,
        server: str,
        run: str,
        method: str,
        params: Mapping[str, Json],
        *,
        bridge: Bridge | None,
        timeout: float,
    ) -> dict[str, Json]:
        """Send a request that is not a tool call and return its result as plain JSON.

        Raises `UpstreamRefused` for the server's own error, `UpstreamUnavailable` when it cannot be used,
        `NotProtocol` when its answer is none.
        """
        connection = await self._keeper(server).for_run(run)
        flight = Flight(bridge=bridge, run=run)
        connection.take_off(flight)
        try:
            result = await _send(connection, method, params, bridge, timeout)
        except MCPError as error:
            raise _refused(server, error) from error
        finally:
            connection.land(flight)
        _tell_loss(connection, result)
        return result

    async def subscribe(self, server: str, run: str, uri: str) -> None:
        """Have `on_change` told when a resource changes. Raises as `request` does."""
        try:
            await self._keeper(server).subscribe(run, uri)
        except MCPError as error:
            raise _refused(server, error) from error

    async def unsubscribe(self, server: str, run: str, uri: str) -> None:
        """End one subscription; a server that is gone needs not be told."""
        if (keeper := self._keepers.get(server)) is not None:
            await keeper.unsubscribe(run, uri)

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry a decided call out and say how it ended."""
        parked = self._parked.pop(dispatch.request_state, None) if dispatch.request_state else None
        if parked is not None:
            return await self._go_on(parked, dispatch, bridge)
        outcome = await self._attempt(dispatch, bridge, fresh=False)
        if isinstance(outcome, NotSent):
            outcome = await self._attempt(dispatch, bridge, fresh=True)
        return outcome

    async def close_run(self, run: str) -> None:
        """End every connection and parked call of a run that is over; what was sent may still answer."""
        for state, parked in list(self._parked.items()):
            if parked.flight.run == run:
                self._unpark(state)
        await asyncio.gather(*(keeper.release(run) for keeper in self._keepers.values()))

    async def sweep(self, is_open: Callable[[str], bool]) -> None:
        """End what nobody uses any more: sessions of closed or idle runs, parked calls nobody resumed."""
        now = self._runtime.clock.monotonic()
        for state, parked in list(self._parked.items()):
            if now - parked.since > _PARKED_FOR:
                self._unpark(state)
        for keeper in list(self._keepers.values()):
            for run, connection in list(keeper.runs.items()):
                idle = not connection.flights and now - connection.used_at > _IDLE
                if not is_open(run):
                    await keeper.release(run)
                elif idle and connection.alive:
                    await keeper.rest(run)

    async def close(self) -> None:
        """End every connection."""
        for state in list(self._parked):
            self._unpark(state)
        keepers, self._keepers = list(self._keepers.values()), {}
        await asyncio.gather(*(keeper.close() for keeper in keepers))

    def _keeper(self, server: str) -> Keeper:
        keeper = self._keepers.get(server)
        if keeper is None:
            raise UpstreamUnavailable(f"There is no tool server {server!r} in this environment.")
        return keeper

    def tell(self, server: str, run: str, method: str, params: Mapping[str, Json]) -> None:
        """Tell everybody who asked to be told."""
        for told in self._told:
            told(server, run, method, params)

    def _unpark(self, state: str) -> None:
        parked = self._parked.pop(state)
        parked.flight.drop()
        parked.connection.land(parked.flight)

    async def _attempt(self, dispatch: Dispatch, bridge: Bridge | None, *, fresh: bool) -> Outcome:
        run = dispatch.principal.run
        try:
            connection = await self._keeper(dispatch.server).for_run(run, fresh=fresh)
        except UpstreamUnavailable as error:
            return NotSent(message=str(error))
        flight = Flight(bridge=bridge, run=run)
        connection.take_off(flight)
        work = _drive(connection, dispatch, bridge)
        if bridge is None or bridge.can_be_asked or connection.shared or connection.modern:
            try:
                return await self._ending(work, connection, dispatch)
            finally:
                connection.land(flight)
        task = self._runtime.scheduler.spawn(
            self._ending(work, connection, dispatch), name=f"call {dispatch.tool}"
        )
        flight.parks, flight.task = True, task
        return await self._until_asked(flight, connection, dispatch)

    async def _ending(self, work: Any, connection: Connection, dispatch: Dispatch) -> Outcome:
        outcome = await _ending(work, connection, dispatch)
        if isinstance(outcome, Succeeded | Failed) and outcome.payload is not None:
            _tell_loss(connection, outcome.payload)
        if isinstance(outcome, Succeeded) and outcome.payload.get("resultType") in (None, "complete"):
            keeper = self._keepers.get(dispatch.server)
            fits = keeper.results.get(dispatch.tool) if keeper else None
            if fits is not None and not fits(outcome.payload.get("structuredContent")):
                return Unknown(
                    message=f"The tool server {dispatch.server!r} answered with a result that is not what "
                    "its own result schema says. The call may have taken effect."
                )
        return outcome

    async def _go_on(self, parked: _Parked, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Continue a parked call with the caller's answers, if it is the same run's and tool's."""
        flight = parked.flight
        if flight.run != dispatch.principal.run or parked.tool != dispatch.tool:
            self._parked[str(dispatch.request_state)] = parked
            return NotSent(message="This state belongs to another call.")
        flight.bridge = bridge
        flight.answer(dispatch.input_responses or {})
        return await self._until_asked(flight, parked.connection, dispatch)

    async def _until_asked(self, flight: Flight, connection: Connection, dispatch: Dispatch) -> Outcome:
        """Wait until the call ends or the server asks something; then park it and ask the caller."""
        assert flight.task is not None
        asked = asyncio.ensure_future(flight.asked.get())
        try:
            if flight.waiting:
                return self._park(flight, connection, dispatch)
            await asyncio.wait({flight.task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not flight.task.done():
                return self._park(flight, connection, dispatch)
            connection.land(flight)
            return flight.task.result()
        except asyncio.CancelledError:
            flight.drop()
            connection.land(flight)
            raise
        finally:
            asked.cancel()

    def _park(self, flight: Flight, connection: Connection, dispatch: Dispatch) -> InputNeeded:
        state = self._runtime.ids.new("ask")
        self._parked[state] = _Parked(
            flight=flight,
            connection=connection,
            tool=dispatch.tool,
            since=self._runtime.clock.monotonic(),
        )
        return InputNeeded(payload=flight.input_required(state))


async def _drive(connection: Connection, dispatch: Dispatch, bridge: Bridge | None) -> dict[str, Json]:
    """Send the call; while a modern server asks and the caller can be asked, ask and send again."""
    params: dict[str, Json] = {"name": dispatch.tool, "arguments": dict(dispatch.arguments)}
    if bridge is not None and dispatch.approved:
        params["_meta"] = {key: value for key, value in bridge.meta.items() if key in _TRACE}
    if dispatch.request_state:
        params["requestState"] = dispatch.request_state
    if dispatch.input_responses is not None:
        params["inputResponses"] = dict(dispatch.input_responses)
    for _ in range(_ROUNDS):
        result = await _send(connection, "tools/call", params, bridge, dispatch.timeout)
        if result.get("resultType") != "input_required":
            return result
        requests = cast("Mapping[str, Any]", result.get("inputRequests") or {})
        if (method := unsupported(bridge, requests)) is not None:
            raise UpstreamRefused(
                f"The tool asks for {method}, which the caller or its workflow does not offer."
            )
        if bridge is None or not bridge.can_be_asked:
            return result
        params["inputResponses"] = {
            key: await answer_now(bridge, each["method"], each.get("params") or {})
            for key, each in requests.items()
        }
        params.pop("requestState", None)
        if "requestState" in result:
            params["requestState"] = result["requestState"]
    raise UpstreamRefused(f"The tool asked for input more than {_ROUNDS} times.")


def _tell_loss(connection: Connection, result: dict[str, Json]) -> None:
    """Say once, in the first result of a new session, that what the server kept for the old one is gone."""
    reason, connection.lost = connection.lost, ""
    if reason:
        said = {"server": connection.server, "reason": reason}
        result["_meta"] = {**(result.get("_meta") or {}), LOST_META: said}


async def _send(
    connection: Connection,
    method: str,
    params: Mapping[str, Json],
    bridge: Bridge | None,
    timeout: float,
) -> dict[str, Json]:
    if bridge is None:
        return await connection.request(method, params, timeout=timeout)
    return await connection.request(
        method,
        {"_meta": bridge.meta, **params},
        timeout=timeout,
        capabilities=bridge.capabilities,
        log_level=bridge.log_level,
        on_progress=bridge.progress if bridge.wants_progress else None,
    )


async def _ending(work: Any, connection: Connection, dispatch: Dispatch) -> Outcome:
    """Turn the way a call ended into the outcome it is."""
    server = dispatch.server
    try:
        result = await work
    except UpstreamUnavailable as error:
        return NotSent(message=str(error))
    except NotProtocol as error:
        return Unknown(message=f"{error.message} It may have taken effect.")
    except InterlockError as error:
        return Failed(message=error.message)
    except MCPError as error:
        return _broken_off(server, error, dispatch.timeout, connection.reason)
    if result.get("resultType") == "input_required":
        return InputNeeded(payload=result)
    meta = result.get("_meta")
    if isinstance(meta, dict):
        for ours in (types.SERVER_INFO_META_KEY, ERROR_META, LOST_META):
            cast("dict[str, Json]", meta).pop(ours, None)
    if result.get("isError") is True:
        return Failed(message=f"The tool server {server!r} reports an error.", payload=result)
    return Succeeded(payload=result)


def _broken_off(server: str, error: MCPError, timeout: float, reason: str = "") -> Outcome:
    failed = exchange_failed(error.error.data, error.error.message)
    if failed is not None and not failed.sent:
        return NotSent(message=f"The tool server {server!r} {failed.message}; nothing was sent.")
    if failed is not None:
        return Unknown(
            message=f"The tool server {server!r} {failed.message}; the call may have taken effect."
        )
    if error.error.code == types.REQUEST_TIMEOUT:
        return Unknown(
            message=f"The tool server {server!r} did not answer within {timeout:g} s. It was asked to "
            "cancel; the call may have taken effect."
        )
    if error.error.code in _UNANSWERED:
        return Unknown(
            message=f"The tool server {server!r} was lost during the call ({reason or 'it closed'}); the "
            "call may have taken effect."
        )
    message = f"The tool server {server!r} refused the call: {error.error.message[:_TEXT]}"
    own = {"code": error.error.code, "message": error.error.message[:_TEXT], "data": error.error.data}
    return Failed(
        message=message,
        payload={
            "content": [{"type": "text", "text": message}],
            "isError": True,
            "_meta": {ERROR_META: own},
        },
    )


def _refused(server: str, error: MCPError) -> InterlockError:
    outcome = _broken_off(server, error, 0)
    if isinstance(outcome, NotSent):
        return UpstreamUnavailable(outcome.message)
    if isinstance(outcome, Unknown):
        return UpstreamUnavailable(f"The tool server {server!r} did not answer.")
    return ServerError(error, outcome.message if isinstance(outcome, Failed) else "")


def _resolver(secret: Callable[[str], str | None]) -> Callable[[str], str]:
    def resolve(reference: str) -> str:
        kind, _, name = reference.removeprefix("secret://").partition("/")
        value = secret(name) if kind == "env" else None
        if value is None:
            raise UpstreamUnavailable(f"its credential {reference} is not set")
        return value

    return resolve


def _state(keeper: Keeper) -> dict[str, Json]:
    control = keeper.control
    connected = control is not None and control.alive
    return {
        "server": keeper.name,
        "connected": connected,
        "protocol": control.session.protocol_version if control is not None and connected else None,
        "reason": None if connected else keeper.reason,
        "sessions": sum(each.alive for each in keeper.runs.values()),
    }
