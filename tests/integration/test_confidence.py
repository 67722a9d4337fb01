"""A write of a run that was scored low, or of a tool that is new, waits for a person; reads do not (F1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from interlock.core.answer import Completed, Waiting
from interlock.core.document.workflow import Autonomy
from interlock.core.model import AutonomyTier, Verdict
from interlock.services.score import score_run
from interlock.store import run_facts
from interlock.store.scores import Score
from support.engine import a_manifest
from support.tracked import Tracked

FLOOR = Autonomy(confidence_floor=7_000)
NEW = Autonomy(familiar_after=2)
Story = Callable[[Tracked], Coroutine[Any, Any, None]]


@pytest.fixture
def told(tmp_path: Path, database_url: str) -> Callable[..., None]:
    """Run a story in a world, on both databases."""

    def run(story: Story, **manifest: Any) -> None:
        async def whole() -> None:
            world = Tracked(tmp_path, database_url)
            await world.open(a_manifest(**manifest))
            try:
                await story(world)
            finally:
                await world.close()

        asyncio.run(whole())

    return run


async def scored(world: Tracked, value: int, key: str) -> None:
    given = Score(
        run=world.run, key=key, name="quality", value=value, source="judge", evaluator="j", by="maria", at=0
    )
    await score_run(store=world.store, memory=world.memory, score=given)


def test_a_write_waits_for_a_person_while_its_run_has_no_score_or_a_low_one(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        unknown = await world.propose("shop.write", {"order": 1}, wait=0)
        assert isinstance(unknown, Waiting)
        assert isinstance(await world.propose("shop.read", {"x": 1}, wait=5), Completed)
        await scored(world, 9_000, "first")
        assert isinstance(await world.propose("shop.write", {"order": 2}, wait=5), Completed)
        await scored(world, 4_200, "second")
        low = await world.propose("shop.write", {"order": 3}, wait=0)
        assert isinstance(low, Waiting)
        reasons = {each["code"] for each in (await world.every())[-1].decision["reasons"]}
        assert "low_confidence" in reasons
        await world.approve(low.approval)
        await world.until(low.action, "succeeded")
        (facts,) = await world.store.read(lambda found: run_facts.look(found, [world.run], "dev"))
        assert facts.score == 4_200, "another process, and this one after a restart, knows it too"
        assert [each.score for each in await world.store.read(run_facts.load_facts)] == [4_200]

    told(story, autonomy=FLOOR)


def test_a_score_that_this_process_has_not_heard_of_is_found_by_the_claim_itself(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        await scored(world, 4_200, "elsewhere")
        world.memory.score_run(world.run, 9_000)  # as if its news had not come yet
        await world.propose("shop.write", {"order": 1}, wait=0)
        assert not world.script.effects

    told(story, autonomy=FLOOR)


def test_a_tool_is_asked_for_until_its_trials_were_clean_and_a_new_version_asks_anew(
    told: Callable[..., None],
) -> None:
    async def story(world: Tracked) -> None:
        for _ in range(2):
            (waiting,) = await world.works(wait=0)
            assert waiting.verdict is Verdict.REQUIRE_APPROVAL
            await world.approve(waiting.approval)
            await world.until(waiting.id, "succeeded")
        assert not world.memory.trials, "nobody had the time to object yet"
        await world.ripen()
        assert world.memory.trials == {("orders", "shop.write"): 2}
        (known,) = await world.works()
        assert known.verdict is Verdict.ALLOW_WITH_REVIEW
        await world.tracked.load()
        assert world.memory.trials == {("orders", "shop.write"): 2}
        await world.demote("orders", "shop.write", by="kim", reason="odd", severe=True)
        assert world.memory.trials == {("orders", "shop.write"): 0}
        await world.put(AutonomyTier.ASYNC_REVIEW)
        (again,) = await world.works(wait=0)
        assert again.verdict is Verdict.REQUIRE_APPROVAL, "a demotion begins anew"

    told(story, autonomy=NEW)


def test_who_declares_nothing_keeps_no_count(told: Callable[..., None]) -> None:
    async def story(world: Tracked) -> None:
        (action,) = await world.works()
        assert action.verdict is Verdict.ALLOW_WITH_REVIEW
        assert world.memory.trials == {}
        assert "confidence" not in action.decision["read"]

    told(story)
