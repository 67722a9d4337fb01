"""Who mends in a simulation: people who have actions and whole runs undone, and see to undos that failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from tests.simulation.process import Gone, Process

from interlock.errors import InterlockError
from interlock.store.schema import actions

if TYPE_CHECKING:
    from tests.simulation.story import Story

_BY: dict[str, Any] = {"person": "deng", "reason": "a mistake"}


class Mender:
    """A person who undoes actions and runs, stops undos, and has those tried again that failed."""

    def __init__(self, story: Story, chance: random.Random) -> None:
        self._story, self._chance = story, chance

    async def work(self) -> None:
        """Mend until all is well; then what is open ends by itself."""
        while not self._story.over:
            await asyncio.sleep(1 + self._chance.random() * 4)
            drawn = self._chance.random()
            if self._story.over or self._story.plan.quiet:
                return
            if drawn < 0.3:
                await self._on("succeeded", "undid", lambda each, name: each.compensate.action(name, **_BY))
            elif drawn < 0.4 and len(self._story.runs) > 1:
                await self._undo_run(self._story.runs.pop())
            elif drawn < 0.5:
                await self._on(
                    "compensating", "stopped", lambda each, name: each.compensate.stop(name, **_BY)
                )
            elif drawn < 0.65:
                await self._again()

    async def _undo_run(self, run: str) -> None:
        if not await self._try(f"undid {run}", lambda each: each.compensate.run(run, **_BY)):
            self._story.runs.append(run)
            return
        await self._story.open_runs()

    async def _again(self) -> None:
        by_hand = self._chance.random() < 0.3
        if by_hand:
            await self._on(
                "compensation_failed", "by hand", lambda each, name: each.compensate.by_hand(name, **_BY)
            )
        else:
            await self._on(
                "compensation_failed", "again", lambda each, name: each.compensate.action(name, **_BY)
            )

    async def _on(self, state: str, what: str, act: Callable[[Process, str], Awaitable[Any]]) -> None:
        """Do something about one of the actions that are in a state, and of whose undo nothing is in doubt."""
        doubted = sa.select(actions.c.comp_of).where(
            actions.c.comp_of.is_not(None), actions.c.state == "in_doubt"
        )
        query = sa.select(actions.c.id).where(
            actions.c.state == state, actions.c.comp_of.is_(None), actions.c.id.not_in(doubted)
        )
        found = self._story.look(query.order_by(actions.c.id))
        if found:
            name = self._chance.choice(found)[0]
            await self._try(f"{what} {name}", lambda each: act(each, name))

    async def _try(self, what: str, act: Callable[[Process], Awaitable[Any]]) -> bool:
        async def done(process: Process) -> Any:
            return await act(process)

        try:
            await (await self._story.ask(done))
        except (Gone, InterlockError) as error:
            self._story.told(f"not {what}: {type(error).__name__}")
            return False
        self._story.told(what)
        return True
