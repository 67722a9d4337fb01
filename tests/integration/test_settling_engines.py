"""Two engines on one PostgreSQL make a call final and take it back at once: one of both happens (E4)."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.core.action import Action
from interlock.core.answer import Completed
from interlock.core.document.tool import Companion, Settlement
from interlock.core.document.workflow import Grant
from interlock.core.model import EffectClass, RiskTier
from interlock.core.second_step import StepKind
from interlock.errors import InterlockError
from interlock.services.compensate import Compensate
from interlock.services.propose import Propose
from interlock.services.void import Void
from interlock.store import second_steps
from interlock.testing import journal
from support.engine import DENG, World, a_manifest, a_tool
from support.settling_engine import Bank, ripe
from support.sources import TESTS, with_sources
from support.warm import PYTHON

HOLD = Settlement(
    confirm=Companion(tool="shop.capture", arguments={"hold": "$result.hold"}),
    void=Companion(tool="shop.release", arguments={"hold": "$result.hold"}),
    within=3600,
)
TOOLS = (
    a_tool("shop.hold", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, undo=None, settlement=HOLD),
    a_tool("shop.capture", RiskTier.HIGH_BLAST_RADIUS, EffectClass.ONCE, undo=None),
    a_tool("shop.release", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, undo=None),
)


def effects(data: Path, order: int) -> Counter[str]:
    """Return what happened outside to one order; what a tool knows by its key it does once."""
    found = [json.loads(line) for line in (data / "effects").read_text().splitlines()]
    ours = {(each["tool"], each["key"] or number) for number, each in enumerate(found)
            if each.get("hold") == order}  # fmt: skip
    return Counter(tool.removeprefix("shop.") for tool, _ in ours)


@asynccontextmanager
async def engines(data: Path, database: str) -> AsyncGenerator[tuple[World, World]]:
    """Open two engines; what they leave behind makes sense."""
    here, beside = (World(data / name, database, call_timeout=1) for name in ("here", "beside"))
    here.script = beside.script = Bank(data / "effects")  # type: ignore[assignment]
    await here.open(a_manifest(*TOOLS, grants=(Grant(tool="shop.hold"),)))
    await beside.open()
    try:
        yield here, beside
        assert await here.store.read(journal.check) == []
    finally:
        await beside.close()
        await here.close()


async def provisional(world: World, order: int) -> tuple[Action, Action]:
    """Let the agent set something aside; return the action and the confirmation that waits."""
    answer = await world.propose("shop.hold", {"order": order}, wait=5)
    assert isinstance(answer, Completed)
    action = await world.action(answer.action or "")
    second = await world.store.read(
        lambda found: second_steps.proposed(found, second_steps.of(found, action.id))
    )
    assert second is not None
    return action, second


async def race(*acts: Awaitable[Any]) -> None:
    """Do all at once; who comes too late is refused in so many words, and in no other way."""
    for said in await asyncio.gather(*acts, return_exceptions=True):
        assert not isinstance(said, BaseException) or isinstance(said, InterlockError), said


async def ended(data: Path, world: World, action: Action, order: int) -> str:
    """Return how it ended; what happened outside is that, and nothing else."""
    state = (await world.until(action.id, "settled", "voided")).state.value
    assert effects(data, order) == ({"capture": 1} if state == "settled" else {"release": 1})
    return state


def test_a_confirmation_in_one_engine_and_the_deadline_in_another_never_both_happen(
    tmp_path: Path, postgres_url: str
) -> None:
    async def told() -> None:
        async with engines(tmp_path, postgres_url) as (here, beside):
            for order in range(1, 7):
                action, second = await provisional(here, order)
                await race(beside.approve(second.approval), ripe(here, action.id))
                await ended(tmp_path, here, action, order)

    asyncio.run(told())


def test_of_two_people_in_two_engines_one_settles_or_the_other_voids(
    tmp_path: Path, postgres_url: str
) -> None:
    async def settle(world: World, action: Action) -> None:
        propose = Propose(store=world.store, memory=world.memory)
        second = await propose.asked(action.id, StepKind.CONFIRM, person="deng", reason="")
        await world.approve(second.approval, DENG)

    async def void(world: World, action: Action) -> None:
        await Void(store=world.store, memory=world.memory).action(action.id, person="maria", reason="no")

    async def told() -> None:
        async with engines(tmp_path, postgres_url) as (here, beside):
            for order in range(1, 7):
                action, _ = await provisional(here, order)
                one, other = (here, beside) if order % 2 else (beside, here)
                await race(settle(one, action), void(other, action))
                await ended(tmp_path, here, action, order)

    asyncio.run(told())


def test_a_run_that_is_undone_in_one_engine_takes_back_what_another_has_not_settled(
    tmp_path: Path, postgres_url: str
) -> None:
    async def told() -> None:
        async with engines(tmp_path, postgres_url) as (here, beside):
            for order in range(1, 5):
                here.run = await here.open_run()
                action, second = await provisional(here, order)
                undo = Compensate(store=here.store, memory=here.memory)
                await race(
                    beside.approve(second.approval), undo.run(here.run, person="maria", reason="wrong")
                )
                await ended(tmp_path, here, action, order)

    asyncio.run(told())


async def killed(data: Path, worlds: tuple[World, World], action: Action, approval: str, point: str) -> None:
    """Let an engine process take the step alone, and be killed in it; then two engines go on."""
    for each in worlds:
        await each.close()
    process = await asyncio.create_subprocess_exec(
        *PYTHON, "-m", "support.settling_engine", str(data / "child"), worlds[0].settings.database, action.id,
        approval, point, cwd=TESTS, env=with_sources(), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert await asyncio.wait_for(process.wait(), 30) == -9
    for each in worlds:
        await each.open()


@pytest.mark.parametrize("point", ["before", "after"])
def test_an_engine_killed_while_it_settles_leaves_a_doubt_that_a_person_ends_one_way(
    tmp_path: Path, postgres_url: str, point: str
) -> None:
    async def told() -> None:
        async with engines(tmp_path, postgres_url) as (here, beside):
            action, second = await provisional(here, 1)
            await killed(tmp_path, (here, beside), action, second.approval, point)
            await race(ripe(here, action.id), here.lease_over())
            await here.until(second.id, "in_doubt")
            assert (await here.action(action.id)).state.value == "pending_settlement", "the deadline waits"
            await beside.resolve.action(second.id, happened=point == "after", person="maria", reason="asked")
            assert await ended(tmp_path, here, action, 1) == ("settled" if point == "after" else "voided")

    asyncio.run(told())


@pytest.mark.parametrize("point", ["before", "after"])
def test_an_engine_killed_while_it_voids_is_taken_over_and_nobody_settles_any_more(
    tmp_path: Path, postgres_url: str, point: str
) -> None:
    async def told() -> None:
        async with engines(tmp_path, postgres_url) as (here, beside):
            action, second = await provisional(here, 1)
            await killed(tmp_path, (here, beside), action, "", point)
            await race(beside.approve(second.approval), here.lease_over())
            assert await ended(tmp_path, here, action, 1) == "voided"

    asyncio.run(told())
