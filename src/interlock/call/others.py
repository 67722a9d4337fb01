"""What other engines on the same database do: looked for on disk, so that callers here are told too.

Any engine may take up any action; each move is a compare-and-set, so looking late does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from interlock.call.flight import Flights
from interlock.core.action import OPEN
from interlock.services.attend import Attend
from interlock.store import claims, run_facts, scores
from interlock.store.database import Store
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Follows the open actions of an environment that this process did not move itself."""

    store: Store
    memory: Memory
    attend: Attend
    flights: Flights

    async def follow(self) -> None:
        """Know every open action as it stands on disk. Raises `StoreError`."""
        if self.store.alone:
            return
        environment = self.memory.environment
        standing = await self.store.read(lambda found: claims.open_states(found, environment))
        known = {name: live.state for name, live in self.memory.actions.items() if live.state in OPEN}
        moved = [name for name in {*standing, *known} if standing.get(name) != known.get(name)]
        for name in moved:
            if not self.flights.aloft(name):
                live = await self.attend.look(name)
                await self.recount(live.run)

    async def recount(self, run: str) -> None:
        """Count the calls of a run that other processes have put on disk, and know its score there."""
        facts = self.memory.runs.get(run)
        line = () if facts is None else (run, *(above for above, _ in facts.above))
        counts = await self.store.read(lambda found: run_facts.calls_of(found, run))
        self.memory.recount(run, counts)
        for each in line:
            self.memory.score_run(each, await self.store.read(partial(scores.lowest, run=each)))
