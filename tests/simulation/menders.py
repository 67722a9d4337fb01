"""Who mends in a simulation: people who have actions and whole runs undone, and see to undos that failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from tests.simulation.process import Gone, Process
from tests.simulation.shop import SIGNERS

from interlock.core.breaker import BreakerKind
from interlock.core.model import BreakerState
from interlock.errors import InterlockError
from interlock.store.schema import actions, breakers

if TYPE_CHECKING:
    from tests.simulation.story import Story

_BREAKERS = (
    (BreakerKind.TOOL, "shop.refund"),
    (BreakerKind.TOOL, "shop.credit"),
    (BreakerKind.TOOL, "shop.drop"),
    (BreakerKind.AGENT, "bot"),
)
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
        """Do something about one of the actions in a state, of whose undo nothing is in doubt."""
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
        return await _try(self._story, what, act)


class Signer:
    """People who sign breakers off, who started the run among them, and who open one now and then."""

    def __init__(self, story: Story, chance: random.Random) -> None:
        self._story, self._chance = story, chance

    async def work(self) -> None:
        """Sign until the story is told."""
        while True:
            await asyncio.sleep(0.4 + self._chance.random() * (1 if self._story.over else 3))
            drawn, over = self._chance.random(), self._story.over
            if drawn < 0.15 and not (over or self._story.plan.quiet):
                await self._trip()
            else:
                await self._sign()

    async def _trip(self) -> None:
        kind, name = self._chance.choice(_BREAKERS)
        await _try(self._story, f"opened {name}", lambda each: each.trip(kind, name))

    async def _sign(self) -> None:
        query = sa.select(breakers.c.kind, breakers.c.name).where(breakers.c.state != "closed")
        found = self._story.look(query.order_by(breakers.c.kind, breakers.c.name))
        if not found:
            return
        kind, name = self._chance.choice(found)
        person = self._chance.choice(SIGNERS)
        half = self._chance.random() < 0.3 and not self._story.over
        to = BreakerState.HALF_OPEN if half else BreakerState.CLOSED
        await _try(
            self._story,
            f"{person.name} signed {kind}:{name} to {to.value}",
            lambda each: each.sign_off(BreakerKind(kind), name, to, by=person, reason="mended"),
        )


async def _try(story: Story, what: str, act: Callable[[Process], Awaitable[Any]]) -> bool:
    """Have something done by the process; return whether it was."""

    async def done(process: Process) -> Any:
        return await act(process)

    try:
        await (await story.ask(done))
    except (Gone, InterlockError) as error:
        story.told(f"not {what}: {type(error).__name__}")
        return False
    story.told(what)
    return True
