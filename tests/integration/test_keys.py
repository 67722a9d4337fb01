"""A caller's own key: the same call is the same action for ever, another call under it is refused (E1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.answer import Answer, Broken, Completed, Refused, TurnedDown, Waiting
from interlock.core.effect import key_of
from interlock.core.model import Gate
from interlock.store.schema import audit
from interlock.testing import journal
from support.engine import MARIA, UNSENT, World, a_manifest
from support.proxies import Proxy

Story = Callable[[World], Awaitable[None]]


async def under(
    world: World, key: str, tool: str = "shop.write", arguments: dict[str, Any] | None = None
) -> Answer:
    """Propose a call under a key."""
    return await world.calls.propose(replace(world.proposal(tool, arguments), idempotency_key=key), wait=0)


def play(data: Path, database: str, story: Story) -> None:
    """Play a story in a world of its own; every history in it is sound afterwards."""

    async def told() -> None:
        world = await World(data, database).open(a_manifest(keyed=True))
        try:
            await story(world)
            assert await world.store.read(journal.check) == []
        finally:
            await world.close()

    asyncio.run(told())


async def same_after_a_restart(world: World) -> None:
    first = await under(world, "step-1")
    assert isinstance(first, Completed)
    again = await under(world, "step-1")
    assert isinstance(again, Completed)
    assert (again.action, again.recorded, again.payload) == (first.action, True, first.payload)
    await world.crash()
    await world.reopen()
    later = await under(world, "step-1")
    assert isinstance(later, Completed)
    assert (later.action, later.recorded) == (first.action, True)
    assert len(world.script.effects) == 1


async def other_arguments(world: World) -> None:
    first = await under(world, "step-1")
    before = [replace(each, collected=True) for each in await world.every()]
    for tool, arguments in (("shop.write", {"order": 2}), ("shop.refund", {"order": 1})):
        refused = await under(world, "step-1", tool, arguments)
        assert isinstance(refused, Refused)
        reason = refused.decision.reason
        assert (reason.code, reason.gate, refused.action) == ("key_reused", Gate.SCHEMA, None)
    assert isinstance(first, Completed)
    assert [replace(each, collected=True) for each in await world.every()] == before
    assert len(world.script.effects) == 1
    denied = sa.select(sa.func.count()).where(audit.c.kind == "call.denied")
    for _ in range(100):
        if await world.store.read(lambda found: found.execute(denied).scalar_one()) == 2:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a refusal is not on record")


async def other_keys(world: World) -> None:
    answers = [await under(world, key) for key in ("step-1", "step-2", "")]
    assert len({each.action for each in answers if isinstance(each, Completed)}) == 3
    again = await under(world, "step-2")
    assert isinstance(again, Completed)
    assert again.action == getattr(answers[1], "action", None)


async def at_once(world: World) -> None:
    answers = await asyncio.gather(*(under(world, "step-1") for _ in range(8)))
    assert {getattr(each, "action", None) for each in answers} == {(await world.every())[0].id}
    assert len(world.script.effects) == 1


async def waits_and_is_turned_down(world: World) -> None:
    first = await under(world, "step-1", "shop.refund")
    assert isinstance(first, Waiting)
    assert (await under(world, "step-1", "shop.refund")) == first
    await world.people.reject(first.approval, MARIA, reason="no")
    for _ in range(2):
        told = await under(world, "step-1", "shop.refund")
        assert isinstance(told, TurnedDown)
        assert told.action == first.action


async def never_sent(world: World) -> None:
    world.script.answers = [UNSENT]
    assert isinstance(await under(world, "step-1"), Broken)
    assert isinstance(await under(world, "step-1"), Completed)
    assert len(world.script.effects) == 1


async def changed_by_a_person(world: World) -> None:
    first = await under(world, "step-1", "shop.refund")
    assert isinstance(first, Waiting)
    decided = await world.people.modify(first.approval, MARIA, arguments={"order": 2}, reason="wrong one")
    world.calls.decided(decided.action)
    await world.until(decided.action, "succeeded")
    told = await under(world, "step-1", "shop.refund")
    assert isinstance(told, Completed)
    assert (told.action, told.revised) == (decided.action, {"order": 2})


async def told_to_the_tool(world: World) -> None:
    first = await under(world, "step-1", "shop.refund")
    assert isinstance(first, Waiting)
    await world.approve(first.approval)
    action = await world.until(first.action, "succeeded")
    await under(world, "step-2")
    assert [each.idempotency_key for each in world.script.effects] == [key_of(action), ""]


STORIES: list[Story] = [
    same_after_a_restart, other_arguments, other_keys, at_once, waits_and_is_turned_down, never_sent,
    changed_by_a_person, told_to_the_tool,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda each: each.__name__)
def test_a_key_stands_for_one_call(story: Story, tmp_path: Path) -> None:
    play(tmp_path, "", story)


@pytest.mark.parametrize("story", STORIES[:2], ids=lambda each: each.__name__)
def test_it_does_so_on_postgresql(story: Story, tmp_path: Path, postgres_url: str) -> None:
    play(tmp_path, postgres_url, story)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_key_finds_out_what_became_of_a_commit_whose_answer_was_lost(
    tmp_path: Path, proxied: tuple[Proxy, str], when: str
) -> None:
    proxy, url = proxied

    async def story(world: World) -> None:
        proxy.of, proxy.cut_at_commit = b"action_moves", when
        assert isinstance(await under(world, "step-1"), Broken)
        assert proxy.cut_at_commit == ""
        told: Answer = Broken(message="")
        for _ in range(500):
            told = await under(world, "step-1")
            if isinstance(told, Completed):
                break
            await asyncio.sleep(0.02)
        assert isinstance(told, Completed)
        again = await under(world, "step-1")
        assert isinstance(again, Completed)
        assert again.action == told.action
        assert [each.action for each in world.script.effects] == [told.action]
        ended = {each.state.value for each in await world.every() if each.id != told.action}
        assert ended <= {"failed"}, "what the lost commit wrote was never sent"

    play(tmp_path, url, story)
