"""Functions that programs register through the SDK: a tool server that is the agent's own program.

A decided call is written on a ticket. The program whose run it is takes the ticket, says that it starts, runs
its function, and says how that ended. Until it has started nothing was sent, so a ticket that got lost on its
way is handed out again; one that was started and never answered is a call whose outcome is not known. An undo
belongs to no program's run: whoever offers the function may take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from interlock.core.model import Json
from interlock.runtime import Runtime
from interlock.upstream.executor import Bridge, Dispatch, NotSent, Outcome, Unknown

CALL = "interlock/call"
"""In a caller's `_meta`: its own name for the call, so that the program knows which of its calls this is."""
PRESENT = 10.0
"""Seconds that a program counts as there after it was last heard of."""
_BEAT = 0.5
"""Seconds after which a program that waits for calls is heard of again."""
START_WITHIN = 5.0
"""Seconds that a program has to say that it starts, before the ticket is handed out again."""
MOST_FUNCTIONS = 500
_NOBODY = "No program that offers {tool!r} took this call in time. Nothing was sent."
_SILENT = "The program that was running this function did not say how it ended."

Told = Callable[[str, str, str, Mapping[str, Json]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One decided call for a program: what to run, until when (`seconds` from now), and for which call."""

    id: str
    tool: str
    arguments: Mapping[str, Json]
    action: str
    call: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class _Open:
    ticket: Ticket
    run: str
    anybody: bool
    ended: asyncio.Future[Outcome]
    taken_by: str = ""
    taken_at: float = 0.0
    started: bool = False

    def free_for(self, run: str, now: float) -> bool:
        """Whether the program of `run` may take it now."""
        lapsed = not self.taken_by or now - self.taken_at >= START_WITHIN
        return lapsed and not self.started and (self.anybody or self.run == run)


@dataclass(slots=True, kw_only=True)
class _Server:
    """What programs offer under one server's name, and what waits to be taken."""

    definitions: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    heard: dict[str, float] = field(default_factory=dict[str, float])
    open: dict[str, _Open] = field(default_factory=dict[str, _Open])
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let every program that waits look again."""
        self.news.set()
        self.news = asyncio.Event()


class Functions:
    """The programs of this environment, by the names of the tool servers that they are."""

    def __init__(self, runtime: Runtime, tell: Told) -> None:
        self._runtime = runtime
        self._tell = tell
        self._servers: dict[str, _Server] = {}

    def configure(self, names: Collection[str]) -> None:
        """Serve exactly these servers; what waits for another is not sent."""
        for name in self._servers.keys() - set(names):
            for each in self._servers.pop(name).open.values():
                _end(each, NotSent(message=f"There is no tool server {name!r} in this environment."))
        for name in names:
            self._servers.setdefault(name, _Server())

    def __contains__(self, server: str) -> bool:
        """Whether the server is one of functions."""
        return server in self._servers

    def offer(self, server: str, run: str, definitions: Sequence[Mapping[str, Json]]) -> None:
        """Note that the program of `run` is there and offers these functions, as MCP tool definitions.

        What one program does not offer stays on the list for others: their programs may be elsewhere.
        """
        known = self._servers[server]
        known.heard[run] = self._runtime.clock.monotonic()
        fresh = {str(each["name"]): dict(each) for each in definitions}
        if any(known.definitions.get(name) != each for name, each in fresh.items()):
            known.definitions = {**known.definitions, **fresh}
            self._tell(server, "", "interlock/listed", {})

    def tools(self, server: str) -> list[dict[str, Json]] | None:
        """Return what programs offered, or None while none has."""
        return list(self._servers[server].definitions.values()) or None

    def ready(self, server: str, run: str) -> bool:
        """Whether a program that may run functions for `run` is there; any program, where none is named."""
        known, now = self._servers[server], self._runtime.clock.monotonic()
        latest = known.heard.get(run, -PRESENT) if run else max(known.heard.values(), default=-PRESENT)
        return now - latest < PRESENT

    def states(self) -> list[dict[str, Json]]:
        """Return each server's name and how many programs offer its functions now."""
        now = self._runtime.clock.monotonic()
        return [
            {
                "server": name,
                "connected": bool(there := [run for run, at in each.heard.items() if now - at < PRESENT]),
                "protocol": "sdk",
                "reason": None if there else "no program that offers its functions is running",
                "sessions": len(there),
            }
            for name, each in self._servers.items()
        ]

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None, *, anybody: bool) -> Outcome:
        """Have a program run the function, and say how it ended; `anybody` who offers it may take it."""
        known = self._servers[dispatch.server]
        call = "" if bridge is None else str(bridge.meta.get(CALL, ""))
        ticket = Ticket(
            id=self._runtime.ids.new("tkt"),
            tool=dispatch.tool,
            arguments=dispatch.arguments,
            action=dispatch.action or "",
            call=call,
            seconds=dispatch.timeout,
        )
        each = known.open[ticket.id] = _Open(
            ticket=ticket,
            run=dispatch.principal.run,
            anybody=anybody,
            ended=asyncio.get_running_loop().create_future(),
        )
        known.wake()
        try:
            async with asyncio.timeout(dispatch.timeout):
                return await each.ended
        except TimeoutError:
            return Unknown(message=_SILENT) if each.started else _not_taken(dispatch)
        finally:
            known.open.pop(ticket.id, None)

    async def take(self, server: str, run: str, *, wait: float) -> Ticket | None:
        """Return the next call for the program of `run`, waiting `wait` seconds for one at most.

        A run that is over is given none.
        """
        known, clock = self._servers[server], self._runtime.clock
        end = clock.monotonic() + wait
        while run in known.heard:
            now = known.heard[run] = clock.monotonic()
            found = next((each for each in known.open.values() if each.free_for(run, now)), None)
            if found is not None:
                found.taken_by, found.taken_at = run, now
                return found.ticket
            if now >= end:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(min(end - now, _BEAT)):
                    await known.news.wait()
        return None

    def start(self, server: str, ticket: str, run: str) -> bool:
        """Let the program of `run` run the function; False when the call is not its any more."""
        each = self._servers[server].open.get(ticket)
        if each is None or each.taken_by != run or each.started:
            return False
        each.started = True
        return True

    def finish(self, server: str, ticket: str, run: str, outcome: Outcome) -> bool:
        """Say how a call ended that was started; False when nobody waits for that any more."""
        each = self._servers[server].open.get(ticket)
        if each is None or each.taken_by != run or not each.started or each.ended.done():
            return False
        each.ended.set_result(outcome)
        return True

    def leave(self, run: str) -> None:
        """Forget the program of a run that is over; what it took and did not start is handed out again."""
        for known in self._servers.values():
            if known.heard.pop(run, None) is None:
                continue
            for each in known.open.values():
                if each.taken_by == run and not each.started:
                    each.taken_by = ""
            known.wake()


def _not_taken(dispatch: Dispatch) -> NotSent:
    return NotSent(message=_NOBODY.format(tool=f"{dispatch.server}.{dispatch.tool}"))


def _end(each: _Open, outcome: Outcome) -> None:
    if not each.ended.done():
        each.ended.set_result(outcome)
