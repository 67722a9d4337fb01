"""The tool servers that the bundle in force declares, started by the first who needs one.

Starting them costs a process each and loading what speaks to them costs half a second, so a command that
serves the data directory only for itself does neither unless it comes to that. A process that agents call
wakes them before anybody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from interlock.core.document.tool import PEOPLE, ToolServer
from interlock.core.model import Json
from interlock.runtime import Runtime
from interlock.upstream.executor import Bridge, Dispatch, Outcome
from interlock.upstream.functions import Functions
from interlock.upstream.people import Answers, People

if TYPE_CHECKING:
    from interlock.upstream.mcp.keeper import Told
    from interlock.upstream.mcp.pool import ToolServers

FUNCTIONS = "sdk"
"""The transport of a server whose tools are functions of programs."""
OURS = "interlock:"
"""How the names of our own identities begin, such as the one under which undos run."""
_POLL = 0.02


async def _nobody_answers(_: str) -> None:
    return None


class DeclaredServers:
    """Hands everything on to the pool of tool servers, which `build` makes when it is first needed.

    `functions` are the servers that are programs themselves, through the SDK; `people` those whose tools are
    people, and `answers` finds what was answered.
    """

    def __init__(
        self, build: Callable[[], ToolServers], runtime: Runtime, *, answers: Answers = _nobody_answers
    ) -> None:
        self._build = build
        self._runtime = runtime
        self._pool: ToolServers | None = None
        self._told: list[Told] = []
        self._servers: Mapping[str, ToolServer] = {}
        self.functions = Functions(runtime, self.tell)
        self.people = People(answers)

    def wake(self) -> ToolServers:
        """Start every declared server, now and whenever the bundle changes, and return the pool."""
        if self._pool is None:
            self._pool = self._build()
            for told in self._told:
                self._pool.on_change(told)
            self._pool.configure(self._servers)
        return self._pool

    async def reach(self, patience: float) -> None:
        """Wake the servers and wait until each said what it offers or failed, `patience` seconds at most."""
        pool, clock = self.wake(), self._runtime.clock
        end = clock.monotonic() + patience
        while not all(pool.settled(each) for each in self._servers) and clock.monotonic() < end:
            await self._runtime.scheduler.sleep(_POLL)

    def on_change(self, told: Told) -> None:
        """Have `told(server, run, method, params)` called for what servers say, and for each new listing."""
        self._told.append(told)
        if self._pool is not None:
            self._pool.on_change(told)

    def configure(self, servers: Mapping[str, ToolServer]) -> None:
        """Serve exactly these servers; where they are awake: start the new, end the gone."""
        of = {name: each.transport for name, each in servers.items()}
        self.functions.configure([name for name, transport in of.items() if transport == FUNCTIONS])
        self.people.configure([name for name, transport in of.items() if transport == PEOPLE])
        self._servers = {
            name: each for name, each in servers.items() if each.transport not in (FUNCTIONS, PEOPLE)
        }
        if self._pool is not None:
            self._pool.configure(self._servers)

    def tell(self, server: str, run: str, method: str, params: Mapping[str, Json]) -> None:
        """Tell everybody who asked to be told."""
        for told in self._told:
            told(server, run, method, params)

    def tools(self, server: str) -> list[dict[str, Json]] | None:
        """Return what `server` last listed, or None when it was not reached yet."""
        if server in self.functions:
            return self.functions.tools(server)
        if server in self.people:
            return self.people.tools()
        return self._pool.tools(server) if self._pool else None

    def states(self) -> list[dict[str, Json]]:
        """Return each server's name, whether it is connected, which protocol it speaks, and why not."""
        return [*(self._pool.states() if self._pool else ()), *self.functions.states(), *self.people.states()]

    def ready(self, tool: str, run: str) -> bool:
        """Whether a call of `tool` in `run` could be sent now: a function waits for its program."""
        server = tool.partition(".")[0]
        return server not in self.functions or self.functions.ready(server, run)

    def keeps(self, state: str) -> bool:
        """Whether a call that asked for something can go on here with `state`."""
        return self.wake().keeps(state)

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry a decided call out and say how it ended."""
        if dispatch.server in self.functions:
            anybody = dispatch.principal.agent.startswith(OURS)
            return await self.functions.execute(dispatch, bridge, anybody=anybody)
        if dispatch.server in self.people:
            return await self.people.execute(dispatch)
        return await self.wake().execute(dispatch, bridge)

    async def sweep(self, is_open: Callable[[str], bool]) -> None:
        """End what nobody uses any more: sessions of closed or idle runs, parked calls nobody resumed."""
        if self._pool is not None:
            await self._pool.sweep(is_open)

    async def close(self) -> None:
        """End every connection."""
        if self._pool is not None:
            await self._pool.close()
