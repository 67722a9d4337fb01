"""Leases and repeats: what was held up sends nothing, what is known ends a doubt, repeats come to an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core import effect
from interlock.core.answer import Answer, Broken, Completed, InDoubt
from interlock.core.document.rule import Policy, Rule
from interlock.core.document.workflow import BreakerLimits, Grant
from interlock.core.model import EffectClass, RiskTier, Verdict
from interlock.store.memory import LiveAction
from interlock.store.schema import actions as rows
from interlock.testing import journal
from support.engine import TOOLS, UNKNOWN, UNSENT, World, a_manifest, a_tool, asks, eventually

PUT = a_tool("shop.put", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, dedupe=3600)
Story = Callable[[World], Awaitable[None]]


def manifest(*more: Any) -> Any:
    """Return a shop with a tool that knows its calls by their keys, for an hour."""
    granted = tuple(Grant(tool=each.name) for each in (*TOOLS, PUT))
    return a_manifest(PUT, *more, grants=granted, breaker=BreakerLimits(tool_failures=20))


def play(data: Path, database: str, story: Story) -> None:
    """Play a story; every history in it is sound afterwards."""

    async def told() -> None:
        world = await World(data / "one", database).open(manifest())
        try:
            await story(world)
            assert await world.store.read(journal.check) == []
        finally:
            await world.close()

    asyncio.run(told())


async def until(world: World, call: asyncio.Task[Answer]) -> Answer:
    """Let time pass until a call is answered."""
    await eventually(lambda: world.ahead(1) or call.done())
    return call.result()


async def held_up_before_it_was_sent(world: World) -> None:
    """The process stands still between intent and call."""

    def stand_still(live: LiveAction) -> None:
        if live.state == "executing":
            world.ahead(100)

    world.memory.watchers.append(stand_still)
    told = await world.propose("shop.write")
    assert isinstance(told, Broken)
    assert "nothing was sent" in told.message
    assert world.script.effects == []
    assert world.memory.runs[world.run].calls["shop.write"] == 0


async def held_up_a_little(world: World) -> None:
    """The call has less time then, and ends before its lease does."""
    timeout = float(world.settings.call_timeout)
    world.memory.watchers.append(lambda live: world.ahead(timeout / 4) if live.state == "executing" else None)
    assert isinstance(await world.propose("shop.write"), Completed)
    [sent] = world.script.effects
    assert timeout / 2 < sent.timeout <= timeout + 5 - timeout / 4


async def sent_again_under_one_key(world: World) -> None:
    world.script.answers = [UNKNOWN, UNSENT, UNKNOWN]
    told = await until(world, asyncio.ensure_future(world.propose("shop.put", wait=60)))
    assert isinstance(told, Completed)
    action = await world.action(str(told.action))
    assert action.attempt == 4
    assert len(world.script.effects) == 3
    assert len({each.idempotency_key for each in world.script.effects}) == 1


async def sent_again_only_so_often(world: World) -> None:
    world.script.answers = [UNKNOWN] * 9
    told = await until(world, asyncio.ensure_future(world.propose("shop.put", wait=60)))
    assert isinstance(told, InDoubt)
    assert len(world.script.effects) == effect.TRIES


async def not_after_the_tool_forgot_its_key(world: World) -> None:
    world.script.answers = [UNKNOWN]
    call = asyncio.ensure_future(world.propose("shop.put", wait=60))
    await eventually(lambda: world.script.effects)
    world.ahead(3601)
    told = await call
    assert isinstance(told, InDoubt)
    assert len(world.script.effects) == 1


async def not_when_it_is_refused_by_now(world: World) -> None:
    world.script.answers = [UNKNOWN]
    call = asyncio.ensure_future(world.propose("shop.put", wait=60))
    await eventually(lambda: world.script.effects)
    never = Policy(name="never", rules=(Rule(id="no", tool="shop.put", when={}, then=Verdict.DENY),))
    await world.apply(manifest(never))
    told = await until(world, call)
    assert isinstance(told, InDoubt)
    assert "may not be sent again" in told.message
    assert len(world.script.effects) == 1


async def asked_for_input_when_it_was_sent_again(world: World) -> None:
    world.script.answers = [UNKNOWN, asks()]
    told = await until(world, asyncio.ensure_future(world.propose("shop.put", wait=60)))
    assert isinstance(told, Completed), "the question is no answer to the first attempt; it is sent once more"


async def what_was_sent_is_not_cancelled(world: World) -> None:
    world.script.answers = [UNKNOWN]
    call = asyncio.ensure_future(world.propose("shop.put", wait=60))
    await eventually(lambda: world.script.effects)
    action = (await world.every())[0]
    await world.until(action.id, "retry")
    with pytest.raises(Exception, match="cannot be cancelled"):
        await world.cancel.action(action.id, person="deng", reason="stop")
    assert isinstance(await until(world, call), Completed)


STORIES: list[Story] = [
    held_up_before_it_was_sent, held_up_a_little, sent_again_under_one_key, sent_again_only_so_often,
    not_after_the_tool_forgot_its_key, not_when_it_is_refused_by_now, asked_for_input_when_it_was_sent_again,
    what_was_sent_is_not_cancelled,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda each: each.__name__)
def test_what_is_sent_and_sent_again(story: Story, tmp_path: Path) -> None:
    play(tmp_path, "", story)


def test_an_outcome_that_comes_after_the_lease_ended_still_ends_the_doubt(
    tmp_path: Path, postgres_url: str
) -> None:
    async def story(world: World) -> None:
        world.script.gate = asyncio.Event()
        call = asyncio.ensure_future(world.propose("shop.write", wait=60))
        await eventually(lambda: world.script.effects)
        beside = await World(tmp_path / "beside", postgres_url).open()
        try:
            cut = sa.update(rows).values(lease_until=1)
            await beside.store.transact(lambda transaction: transaction.execute(cut) and None)
            action = (await world.every())[0].id
            await beside.until(action, "in_doubt")
            world.script.gate.set()
            told = await call
            assert isinstance(told, Completed)
            assert told.action == action
            assert (await beside.until(action, "succeeded")).attempt == 1
            same = await beside.calls.propose(
                replace(beside.proposal("shop.write", principal=world.principal())), wait=0
            )
            assert isinstance(same, Completed | InDoubt)
        finally:
            await beside.close()

    play(tmp_path, postgres_url, story)
