"""The declared tool servers of this process, and how a decided call is carried out on them.

Whose connection a call takes is decided by server, run and declaration alone: the shared one where the
server is declared stateless, else the run's own. How a call ended is said exactly: nothing left, a definite
answer, or unknown. An agent's token never leaves this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from mcp.shared.exceptions import MCPError

from interlock.core.document.tool import ToolServer
from interlock.core.model import Json
from interlock.errors import UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.executor import Bridge, Dispatch, Failed, NotSent, Outcome, Succeeded, Unknown
from interlock.upstream.mcp.connection import Connection
from interlock.upstream.mcp.dialogue import converse, send
from interlock.upstream.mcp.ending import ending, refused, tell_loss
from interlock.upstream.mcp.flight import Flight
from interlock.upstream.mcp.keeper import Keeper, Told
from interlock.upstream.mcp.parked import PREFIX, ParkedCalls
from interlock.upstream.mcp.transport import Surroundings

MESSAGE_LIMIT = 16 * 1024 * 1024
_IDLE = 900.0
_LOST = (
    "The tool server {server!r} was asked, asked something itself, and was lost while that waited for an "
    "answer; the call may have taken effect."
)


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
        self._parked = ParkedCalls(runtime)
        self._retired: list[Keeper] = []
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
                self._retire(self._keepers.pop(name))
        for name, document in servers.items():
            if name not in self._keepers:
                self._keepers[name] = keeper = Keeper(document, self._around, self.tell)
                keeper.start()

    def tools(self, server: str) -> list[dict[str, Json]] | None:
        """Return what `server` last listed, or None when it was not reached yet."""
        keeper = self._keepers.get(server)
        listing = keeper.offer.listings.get("tools") if keeper else None
        return listing.items if listing else None

    def settled(self, server: str) -> bool:
        """Whether `server` has said what it offers, or could not: there is no first answer to wait for."""
        keeper = self._keepers.get(server)
        return keeper is None or keeper.control.failing or "tools" in keeper.offer.listings

    def states(self) -> list[dict[str, Json]]:
        """Return each server's name, whether it is connected, which protocol it speaks, and why not."""
        return [_state(keeper) for keeper in self._keepers.values()]

    def nudge(self, server: str) -> str:
        """Try a server that is down again soon, because it is asked for; return why it is, or ""."""
        keeper = self._keepers.get(server)
        if keeper is None or keeper.control.connected is not None:
            return ""
        keeper.control.nudge()
        return keeper.control.reason

    async def listing(self, server: str, kind: str) -> list[dict[str, Json]]:
        """Return all that `server` offers of `kind`. Raises `UpstreamError` when it cannot say."""
        try:
            return await self._keeper(server).listing(kind)
        except MCPError as error:
            raise refused(server, error) from error

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
            result = await send(connection, method, params, bridge, timeout)
        except MCPError as error:
            raise refused(server, error) from error
        finally:
            connection.land(flight)
        tell_loss(connection, result)
        return result

    async def subscribe(self, server: str, run: str, uri: str) -> None:
        """Have `on_change` told when a resource changes. Raises as `request` does."""
        try:
            await self._keeper(server).subscribe(run, uri)
        except MCPError as error:
            raise refused(server, error) from error

    async def unsubscribe(self, server: str, run: str, uri: str) -> None:
        """End one subscription; a server that is gone needs not be told."""
        if (keeper := self._keepers.get(server)) is not None:
            await keeper.unsubscribe(run, uri)

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry a decided call out and say how it ended."""
        if dispatch.request_state in self._parked:
            return await self._parked.go_on(dispatch, bridge)
        if not self.keeps(dispatch.request_state or ""):
            return Unknown(message=_LOST.format(server=dispatch.server))
        keeper = self._keepers.get(dispatch.server)
        if keeper is None:
            return NotSent(message=_unknown(dispatch.server))
        decided_on = keeper.offer.definition(dispatch.tool)
        outcome = await self._attempt(keeper, dispatch, bridge, decided_on)
        if isinstance(outcome, NotSent) and not _redefined(keeper, dispatch, decided_on):
            keeper.control.doubt()
            outcome = await self._attempt(keeper, dispatch, bridge, decided_on, fresh=True)
        return outcome

    def keeps(self, state: str) -> bool:
        """Whether a call that asked for something can go on here with `state`."""
        return not state.startswith(PREFIX) or state in self._parked

    async def close_run(self, run: str) -> None:
        """End every connection and parked call of a run that is over; what was sent may still answer."""
        self._parked.drop(lambda known, _: known == run)
        await asyncio.gather(*(keeper.release(run) for keeper in self._keepers.values()))

    async def sweep(self, is_open: Callable[[str], bool]) -> None:
        """End what nobody uses any more: sessions of closed or idle runs, parked calls nobody resumed."""
        now = self._runtime.clock.monotonic()
        self._parked.drop_old()
        for keeper in list(self._keepers.values()):
            for run, connection in list(keeper.runs.items()):
                idle = not connection.flights and now - connection.used_at > _IDLE
                if not is_open(run):
                    await keeper.release(run)
                elif idle and connection.alive:
                    await keeper.rest(run)

    async def close(self) -> None:
        """End every connection."""
        self._parked.drop(lambda _, __: True)
        keepers, self._keepers = [*self._keepers.values(), *self._retired], {}
        await asyncio.gather(*(keeper.close() for keeper in keepers))

    def _retire(self, keeper: Keeper) -> None:
        """Let a server that is declared no more, or otherwise, answer what it was sent."""
        self._retired.append(keeper)
        ending = self._runtime.scheduler.spawn(keeper.retire(), name=f"end of {keeper.name}")
        ending.add_done_callback(lambda _: self._retired.remove(keeper))

    def _keeper(self, server: str) -> Keeper:
        keeper = self._keepers.get(server)
        if keeper is None:
            raise UpstreamUnavailable(_unknown(server))
        return keeper

    def tell(self, server: str, run: str, method: str, params: Mapping[str, Json]) -> None:
        """Tell everybody who asked to be told."""
        for told in self._told:
            told(server, run, method, params)

    async def _attempt(
        self,
        keeper: Keeper,
        dispatch: Dispatch,
        bridge: Bridge | None,
        decided_on: Mapping[str, Json] | None,
        *,
        fresh: bool = False,
    ) -> Outcome:
        """Send the call, unless its server came back with another tool than the one it was decided on."""
        run = dispatch.principal.run
        try:
            connection = await keeper.for_run(run, fresh=fresh)
        except UpstreamUnavailable as error:
            return NotSent(message=str(error))
        if _redefined(keeper, dispatch, decided_on):
            return NotSent(
                message=f"The tool server {dispatch.server!r} came back and defines this tool otherwise. "
                "Nothing was sent: it is compared with what was registered. Call again to hear of that."
            )
        open_to_people = dispatch.people and not (connection.shared or connection.modern)
        flight = Flight(bridge=bridge, run=run, people=open_to_people)
        connection.take_off(flight)
        answers_at_once = bridge is None or bridge.can_be_asked or connection.shared or connection.modern
        parks = open_to_people or not answers_at_once
        work = converse(connection, dispatch, bridge, timeout=None if parks else dispatch.timeout)
        if not parks:
            try:
                return await self._ending(work, connection, dispatch)
            finally:
                connection.land(flight)
        task = self._runtime.scheduler.spawn(
            self._ending(work, connection, dispatch), name=f"call {dispatch.tool}"
        )
        flight.parks, flight.task = True, task
        return await self._parked.until_asked(flight, connection, dispatch)

    async def _ending(
        self, work: Awaitable[dict[str, Json]], connection: Connection, dispatch: Dispatch
    ) -> Outcome:
        outcome = await ending(work, connection, dispatch)
        if isinstance(outcome, Succeeded | Failed) and outcome.payload is not None:
            tell_loss(connection, outcome.payload)
        if isinstance(outcome, Succeeded) and outcome.payload.get("resultType") in (None, "complete"):
            keeper = self._keepers.get(dispatch.server)
            fits = keeper.offer.results.get(dispatch.tool) if keeper else None
            if fits is not None and not fits(outcome.payload.get("structuredContent")):
                return Unknown(
                    message=f"The tool server {dispatch.server!r} answered with a result that is not what "
                    "its own result schema says. The call may have taken effect."
                )
        return outcome


def _unknown(server: str) -> str:
    return f"There is no tool server {server!r} in this environment."


def _redefined(keeper: Keeper, dispatch: Dispatch, decided_on: Mapping[str, Json] | None) -> bool:
    return decided_on is not None and keeper.offer.definition(dispatch.tool) != decided_on


def _resolver(secret: Callable[[str], str | None]) -> Callable[[str], str]:
    def resolve(reference: str) -> str:
        kind, _, name = reference.removeprefix("secret://").partition("/")
        value = secret(name) if kind == "env" else None
        if value is None:
            raise UpstreamUnavailable(f"its credential {reference} is not set")
        return value

    return resolve


def _state(keeper: Keeper) -> dict[str, Json]:
    connected = keeper.control.connected
    return {
        "server": keeper.name,
        "connected": connected is not None,
        "protocol": connected.session.protocol_version if connected is not None else None,
        "reason": None if connected is not None else keeper.control.reason,
        "sessions": sum(each.alive for each in keeper.runs.values()),
    }
