"""Send a decided call, unless it was stopped meanwhile; a stop cuts it while it is under way (B5).

What was cut had been sent: whether it happened is not known, and a write is settled as in doubt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from interlock.core.kill import refuses, standing
from interlock.store.flights import Flight
from interlock.store.memory import Memory
from interlock.upstream.executor import Bridge, Dispatch, Executor, NotSent, Outcome, Unknown

_STOPPED = "It was stopped before it was sent; nothing happened."
_CUT = "It was stopped while it was under way: it had been sent, and whether it happened is not known."


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """An executor that a kill can reach, around the one that does the work."""

    executor: Executor
    memory: Memory

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Carry `dispatch` out and say how it ended."""
        tool = f"{dispatch.server}.{dispatch.tool}"
        caller = dispatch.principal
        subjects = self.memory.subjects(caller, tool)
        levels = standing(self.memory.kill, subjects).values() if self.memory.kill else ()
        if any(refuses(level, reads=dispatch.action is None) for level in levels):
            return NotSent(message=_STOPPED)
        patience = asyncio.timeout(None)

        def cut() -> None:
            if not patience.expired():
                patience.reschedule(0)

        flight = Flight(
            subjects=subjects, what=f"tool {tool}", cut=cut, run=caller.run, action=dispatch.action or ""
        )
        try:
            async with patience:
                with self.memory.flights.under_way(flight):
                    return await self.executor.execute(dispatch, bridge)
        except TimeoutError:
            if not patience.expired():
                raise
            return Unknown(message=_CUT)
