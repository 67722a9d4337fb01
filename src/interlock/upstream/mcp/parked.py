"""Calls of legacy servers that wait for a modern caller to come back with answers.

A legacy server asks in the middle of its call; a modern caller can only be asked by being answered. So the
call stays open here under an unguessable state, for a while, for its own run and tool alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from interlock.runtime import Runtime
from interlock.upstream.executor import Bridge, Dispatch, InputNeeded, NotSent, Outcome
from interlock.upstream.mcp.connection import Connection
from interlock.upstream.mcp.ending import unanswered
from interlock.upstream.mcp.flight import Flight

_KEPT_FOR = 600.0
PREFIX = "interlock-parked:"
"""How the state of a call begins that is kept open here: no other process can go on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parked:
    """A call of a legacy server that waits for a modern caller to come back with answers."""

    flight: Flight
    connection: Connection
    tool: str
    since: float


class ParkedCalls:
    """The calls of one process that wait for answers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._parked: dict[str, _Parked] = {}

    def __contains__(self, state: object) -> bool:
        return state in self._parked

    async def go_on(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Continue a parked call with the caller's answers, if it is the same run's and tool's."""
        state = str(dispatch.request_state)
        parked = self._parked[state]
        flight = parked.flight
        if flight.run != dispatch.principal.run or parked.tool != dispatch.tool:
            return NotSent(message="This state belongs to another call.")
        del self._parked[state]
        flight.bridge = bridge
        flight.answer(dispatch.input_responses or {})
        return await self.until_asked(flight, parked.connection, dispatch)

    async def until_asked(self, flight: Flight, connection: Connection, dispatch: Dispatch) -> Outcome:
        """Wait until the call ends or the server asks something; then park it and ask the caller.

        The time for which it is parked does not count for the time that a call may take.
        """
        assert flight.task is not None
        asked = asyncio.ensure_future(flight.asked.get())
        try:
            if flight.waiting:
                return self._park(flight, connection, dispatch)
            await asyncio.wait(
                {flight.task, asked}, timeout=dispatch.timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if not flight.task.done():
                if asked.done():
                    return self._park(flight, connection, dispatch)
                flight.drop()
                connection.land(flight)
                return unanswered(dispatch.server, dispatch.timeout)
            connection.land(flight)
            return flight.task.result()
        except asyncio.CancelledError:
            flight.drop()
            connection.land(flight)
            raise
        finally:
            asked.cancel()

    def drop(self, wanted: Callable[[str, float], bool], *, people: bool = True) -> None:
        """Give up those of which `wanted(run, seconds parked)` is true; their servers are told.

        Without `people` those that wait for them are kept.
        """
        now = self._runtime.clock.monotonic()
        for state, parked in list(self._parked.items()):
            if parked.flight.people and not people:
                continue
            if wanted(parked.flight.run, now - parked.since):
                del self._parked[state]
                parked.flight.drop()
                parked.connection.land(parked.flight)

    def drop_old(self) -> None:
        """Give up what no caller came back for. People have the time that their workflow gives them."""
        self.drop(lambda _, since: since > _KEPT_FOR, people=False)

    def _park(self, flight: Flight, connection: Connection, dispatch: Dispatch) -> InputNeeded:
        state = PREFIX + self._runtime.ids.new("ask")
        if flight.people:
            flight.bridge = None  # nobody is attached while people are asked
        self._parked[state] = _Parked(
            flight=flight,
            connection=connection,
            tool=dispatch.tool,
            since=self._runtime.clock.monotonic(),
        )
        return InputNeeded(payload=flight.input_required(state))
