"""Whatever the seed: nothing is lost, nothing happens twice or unasked, and the record says what happened."""

from __future__ import annotations

import gc
import inspect
import os
import random
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.simulation import tripped
from tests.simulation.__main__ import SWEPT, summary, sweep
from tests.simulation.loop import Loop, Owner
from tests.simulation.shop import UNDOS
from tests.simulation.story import Plan, Story, tell

from interlock.core.model import BreakerState
from interlock.upstream.executor import Dispatch

ROOT = Path(__file__).parents[2]
SEEDS = 200
UNDOES_ONCE = 7
"""A seed in which an undo is carried out that outside does not know by a key."""
_BLOCK = 25


@pytest.mark.parametrize("first", range(0, SEEDS, _BLOCK))
def test_whatever_happens_in_whatever_order_what_was_promised_holds(first: int) -> None:
    told = [tell(seed) for seed in range(first, first + _BLOCK)]
    wrong = [summary(each) for each in told if each.violations]
    assert not wrong, "\n".join(wrong)
    assert sum(each.effects for each in told) > 20, "the stories have become empty"
    assert sum(each.kills for each in told) > 5
    assert sum(each.undone for each in told) > 3
    assert sum(each.openings for each in told) > 3


@pytest.mark.parametrize("seed", [2593, 2784])
def test_what_a_person_saw_before_a_process_stopped_is_not_believed_after_it(seed: int) -> None:
    told = tell(seed)
    assert not told.violations, summary(told)


@pytest.mark.parametrize("seed", [2949, 3590, 5281])
def test_an_undo_that_may_have_happened_is_not_sent_again_with_its_run(seed: int) -> None:
    told = tell(seed)
    assert not told.violations, summary(told)


def test_a_process_that_is_killed_as_it_is_up_is_followed_by_another() -> None:
    told = tell(1796)
    assert not told.violations, summary(told)


@pytest.mark.parametrize("name", SWEPT)
def test_a_process_that_is_killed_before_any_step_loses_nothing(name: str) -> None:
    assert sweep(name, every=24, first=3) > 5


def test_in_the_story_that_is_killed_everywhere_runs_are_undone_and_breakers_open() -> None:
    told = Story.of(SWEPT["eventful"]).tell()
    assert (told.undone, told.openings) > (2, 1), summary(told)


def test_a_seed_replays_exactly_in_another_process() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", "47"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == summary(tell(47))


def test_an_engine_that_forgets_is_found_out() -> None:
    story = Story.of(Plan.smooth(seed=3))
    story.outside.check = lambda dispatch: story.outside._land(dispatch)  # each call happens once too often
    told = story.tell()
    assert any("happened 2 times" in each for each in told.violations)
    assert f"python -m tests.simulation --seed {told.seed} --trace" in summary(told)


def test_an_engine_that_undoes_twice_or_forgets_a_breaker_is_found_out() -> None:
    story = Story.of(Plan.of(UNDOES_ONCE))
    check = story.outside.check

    def twice(dispatch: Dispatch) -> None:
        check(dispatch)
        if f"shop.{dispatch.tool}" in UNDOS:
            story.outside._land(dispatch)

    story.outside.check = twice
    assert any("was undone 2 times" in each for each in story.tell().violations)
    assert story.process is not None
    story.process.memory.breakers["tool", "shop.write"] = BreakerState.OPEN
    tripped.everything(story)
    assert any("memory decides by the breakers" in each for each in story.violations)


def test_what_belongs_to_a_killed_process_never_runs() -> None:
    loop, owner, ran = Loop(random.Random(1), shuffle=True), Owner("a process"), list[str]()
    with loop.owned(owner):
        loop.call_later(1, ran.append, "its own")
    end = loop.create_future()
    loop.call_later(2, end.set_result, None)
    loop.call_later(1, ran.append, "the world's")
    loop.end(owner)
    loop.run(end, most=10)
    assert ran == ["the world's"]
    assert loop.time() == 2


def test_what_a_killed_process_begins_on_its_way_out_never_runs_and_is_given_up_too() -> None:
    loop, owner, ran = Loop(random.Random(1), shuffle=True), Owner("a process"), list[str]()
    end = loop.create_future()

    async def last() -> None:
        ran.append("its last word")

    async def work() -> None:
        try:
            await end
        finally:
            loop.create_task(last())

    with loop.owned(owner):
        loop.create_task(work())
    loop.call_later(1, end.set_result, None)
    loop.call_later(0.5, loop.end, owner)
    loop.run(end, most=10)
    gc.collect()  # a coroutine that nobody closed would be complained of here, as in any later test
    assert ran == []


def test_work_that_a_killed_process_was_handed_and_had_not_begun_is_given_up_too() -> None:
    loop, owner = Loop(random.Random(1), shuffle=True), Owner("a process")

    async def work() -> None:
        raise AssertionError("it never begins")

    async def guarded(within: Coroutine[Any, Any, None]) -> None:
        await within

    within = work()
    with loop.owned(owner):
        loop.create_task(guarded(within))
    loop.end(owner)
    assert inspect.getcoroutinestate(within) == inspect.CORO_CLOSED
