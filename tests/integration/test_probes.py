"""Probeable tools: a call whose answer did not come is looked up by its key, and never sent again (E1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.cli.actions import probe_said
from interlock.core.answer import Broken, Completed, InDoubt
from interlock.core.document.tool import Probe
from interlock.core.document.workflow import Grant
from interlock.core.effect import key_of
from interlock.core.model import EffectClass, RiskTier
from interlock.services.close_run import close_run
from interlock.services.probe import PROBE
from interlock.store import timers
from interlock.testing import journal
from interlock.upstream.executor import Outcome, Succeeded
from interlock.web.actions import probe_of
from support.engine import TOOLS, UNKNOWN, World, a_manifest, a_tool, eventually

LOOK_UP = a_tool("shop.find", RiskTier.READ_ONLY, EffectClass.READ, undo=None)
PAY = a_tool(
    "shop.pay",
    RiskTier.LIMITED_WRITE,
    EffectClass.PROBEABLE,
    probe=Probe(tool="shop.find", arguments={"key": "$key", "order": "$args.order"}),
)
Story = Callable[[World], Awaitable[None]]


def said(**answer: Any) -> Outcome:
    """Return the answer of a probe."""
    return Succeeded(payload={"content": [], "structuredContent": answer})


def play(data: Path, database: str, story: Story) -> None:
    """Play a story with a tool that can be probed."""

    async def told() -> None:
        grants = tuple(Grant(tool=each.name, max_calls=5) for each in (*TOOLS, PAY))
        world = await World(data, database, call_timeout=1).open(a_manifest(LOOK_UP, PAY, grants=grants))
        try:
            await story(world)
            assert await world.store.read(journal.check) == []
        finally:
            await world.close()

    asyncio.run(told())


async def in_doubt(world: World, *answers: Outcome) -> str:
    """Let a call get no answer; its probe says `answers` one after the other."""
    world.script.answers = [UNKNOWN, *answers]
    told = await world.propose("shop.pay")
    assert isinstance(told, InDoubt)
    return told.action


async def probed(world: World, times: int) -> None:
    """Let the clock go on until the probe was asked so often."""
    await eventually(lambda: world.ahead(2) or len(world.script.effects) > times)


async def it_happened(world: World) -> None:
    action = await in_doubt(world, said(happened=True, id="pay_1"))
    world.ahead(2)
    await world.until(action, "succeeded")
    paid, asked = world.script.effects
    assert (asked.tool, dict(asked.arguments)) == ("find", {"key": paid.idempotency_key, "order": 1})
    assert paid.idempotency_key == key_of(await world.action(action))
    told = await world.propose("shop.pay")
    assert isinstance(told, Completed)
    assert told.action == action
    assert told.payload["structuredContent"] == {"happened": True, "id": "pay_1"}
    assert await world.store.read(lambda found: timers.of(found, action)) == []


async def it_never_happened(world: World) -> None:
    action = await in_doubt(world, said(happened=False), said(happened=False))
    before = world.memory.runs[world.run].calls["shop.pay"]
    await probed(world, 1)
    assert (await world.action(action)).state == "in_doubt", "it may still land: that is no answer yet"
    world.ahead(60)
    await world.until(action, "failed")
    assert world.memory.runs[world.run].calls["shop.pay"] == before - 1
    told = await world.propose("shop.pay")
    assert isinstance(told, Broken)
    assert "never happened" in told.message
    assert isinstance(await world.propose("shop.pay"), Completed), "it may be asked for again"


async def nothing_is_said(world: World) -> None:
    action = await in_doubt(world, said(other=1), UNKNOWN, said(happened="yes"))
    await probed(world, 3)
    await world.until(action, "succeeded")


async def it_is_asked_after_a_crash(world: World) -> None:
    action = await in_doubt(world, said(happened=True))
    await world.crash()
    world.script.answers = [said(happened=True)]
    world.ahead(2)
    await world.reopen()
    await world.until(action, "succeeded")


async def a_person_was_faster(world: World) -> None:
    action = await in_doubt(world, said(other=1))
    await probed(world, 1)
    world.ahead(30)
    await world.resolve.action(action, happened=False, person="deng", reason="not in the ledger")
    await eventually(lambda: world.ahead(60) or True)
    await asyncio.sleep(0.1)
    assert (await world.action(action)).state == "failed"
    left = await world.store.read(lambda found: timers.of(found, action))
    assert [each.kind for each in left] in ([], [PROBE])


async def people_see_whether_it_is_asked_again(world: World) -> None:
    action = await in_doubt(world, said(other=1))

    async def shown() -> Any:
        found = await world.action(action)
        return await world.store.read(lambda connection: probe_of(connection, found))

    await probed(world, 1)
    probe = await shown()
    assert probe["due_at"] > world.clock.now()
    assert "is asked again at" in probe_said(probe)
    await close_run(
        store=world.store, memory=world.memory, run=world.run, reason="over", by="maria", person="maria"
    )
    assert "asked no more, for its run has ended: a person resolves it" in probe_said(await shown())
    world.ahead(60)
    await world.resolve.action(action, happened=True, person="deng", reason="it is in the ledger")
    assert await shown() is None


STORIES: list[Story] = [
    people_see_whether_it_is_asked_again,
    it_happened, it_never_happened, nothing_is_said, it_is_asked_after_a_crash, a_person_was_faster,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda each: each.__name__)
def test_a_probe_says_what_became_of_a_call(story: Story, tmp_path: Path) -> None:
    play(tmp_path, "", story)
