"""Two engine processes on one PostgreSQL: what one executes the other knows, and takes over when it dies."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.core.action import ActionState
from interlock.core.answer import Broken, Completed, InDoubt, Refused, Waiting
from interlock.core.document.workflow import Grant
from interlock.core.lease import GRACE
from interlock.core.model import SECOND, EffectClass, OnFailure, RiskTier
from interlock.services.close_run import close_run
from interlock.services.compensate import Compensate
from interlock.store import actions, runs
from interlock.store.transaction import Transaction
from interlock.testing import journal
from support.engine import TOOLS, World, a_manifest, a_tool
from support.other_engine import TIMEOUT, Slow
from support.sources import TESTS, with_sources
from support.stores import PostgresForTests
from support.warm import PYTHON

LEASE = TIMEOUT + GRACE / SECOND
PUT = a_tool("shop.put", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT)


def effects(data: Path) -> list[dict[str, Any]]:
    """Return what happened outside."""
    path = data / "effects"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def other(
    data: Path, world: World, tools: str = "shop.write", seconds: float = 0
) -> Generator[subprocess.Popen[str]]:
    """Let another process propose a call of each tool."""
    database = world.settings.database
    process = subprocess.Popen(
        [*PYTHON, "-m", "support.other_engine", data / "other", database, world.run, tools, str(seconds)],
        cwd=TESTS, env=with_sources(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what the other process was told."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def play(data: Path, database: str, story: Callable[[World], Awaitable[None]], manifest: Any = None) -> None:
    """Play a story in this process's engine."""

    async def told() -> None:
        world = World(data / "here", database, call_timeout=TIMEOUT)
        world.script = Slow(data / "effects", 0)  # type: ignore[assignment]
        await world.open(manifest or a_manifest())
        try:
            await story(world)
            assert await world.store.read(journal.check) == []
        finally:
            await world.close()

    asyncio.run(told())


async def began(data: Path, times: int = 1) -> str:
    """Wait until so many effects have happened; return the action of the first."""
    ends = time.monotonic() + 20
    while len(effects(data)) < times:
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)
    return str(effects(data)[0]["action"])


def test_an_identical_call_and_a_resume_are_told_what_the_other_process_executes(
    tmp_path: Path, postgres_url: str
) -> None:
    async def story(world: World) -> None:
        with other(tmp_path, world, seconds=0.8) as process:
            action = await began(tmp_path)
            same, resumed = await asyncio.gather(
                world.propose("shop.write", wait=5),
                world.calls.resume(world.principal(), action, wait=5),
            )
            assert isinstance(same, Completed)
            assert isinstance(resumed, Completed)
            assert (same.action, resumed.action) == (action, action)
            assert (await asyncio.to_thread(said, process))["action"] == action
        assert len(effects(tmp_path)) == 1

    play(tmp_path, postgres_url, story)


def test_what_a_killed_process_executed_is_taken_over_within_one_lease(
    tmp_path: Path, postgres_url: str
) -> None:
    async def story(world: World) -> None:
        with other(tmp_path, world, "shop.write,shop.put", 600) as process:
            await began(tmp_path, 2)
            process.kill()
            killed = time.monotonic()
            once, keyed = await asyncio.gather(
                *(world.propose(each, wait=0) for each in ("shop.write", "shop.put"))
            )
            assert isinstance(once, InDoubt), "no machine sends it again"
            assert isinstance(keyed, Completed), "it was sent again, under the same key"
            assert time.monotonic() - killed < LEASE + 4
        by_action = Counter(each["action"] for each in effects(tmp_path))
        assert by_action == {once.action: 1, keyed.action: 2}
        assert len({each["key"] for each in effects(tmp_path)} - {""}) == 1

    grants = tuple(Grant(tool=each.name) for each in (*TOOLS, PUT))
    play(tmp_path, postgres_url, story, a_manifest(PUT, grants=grants))


def test_identical_calls_that_meet_in_the_database_are_one_action(tmp_path: Path, postgres_url: str) -> None:
    async def story(world: World) -> None:
        beside = World(tmp_path / "beside", postgres_url, call_timeout=TIMEOUT)
        world.script.seconds = 0.2  # type: ignore[attr-defined]
        beside.script = world.script
        await beside.open()
        beside.run = world.run
        try:
            for order in range(3):
                for key in ("", f"step-{order}"):
                    both = await asyncio.gather(
                        *(
                            each.calls.propose(
                                replace(each.proposal("shop.write", {"order": order}), idempotency_key=key),
                                wait=5,
                            )
                            for each in (world, beside)
                        )
                    )
                    assert len({getattr(each, "action", None) for each in both}) == 1, both
        finally:
            await beside.close()
        assert len(effects(tmp_path)) == 6

    play(tmp_path, postgres_url, story)


def test_what_another_process_asked_for_is_executed_here_when_it_is_approved(
    tmp_path: Path, postgres_url: str
) -> None:
    async def story(world: World) -> None:
        with other(tmp_path, world, "shop.refund") as process:
            asked = await asyncio.to_thread(said, process)
        same = await world.propose("shop.refund", wait=0)
        assert isinstance(same, Waiting)
        assert (same.approval, same.action) == (asked["approval"], asked["action"])
        await world.approve(same.approval)
        told = await world.propose("shop.refund", wait=5)
        assert isinstance(told, Completed)
        assert told.action == asked["action"]
        assert len(effects(tmp_path)) == 1

    play(tmp_path, postgres_url, story)


def test_a_limit_of_calls_holds_for_all_processes_together(tmp_path: Path, postgres_url: str) -> None:
    limited = tuple(Grant(tool=each.name, max_calls=1) for each in TOOLS)

    async def story(world: World) -> None:
        with other(tmp_path, world) as process:
            assert (await asyncio.to_thread(said, process))["answer"] == "Completed"
        refused = await world.propose("shop.write", {"order": 2}, wait=0)
        assert isinstance(refused, Refused)
        assert refused.decision.reason.code == "max_calls"

    play(tmp_path, postgres_url, story, a_manifest(grants=limited))


def test_a_restart_of_postgresql_loses_nothing(
    tmp_path: Path, postgres_server: PostgresForTests, postgres_url: str
) -> None:
    async def story(world: World) -> None:
        assert isinstance(await world.propose("shop.write", {"order": 1}, wait=0), Completed)
        waits = await world.propose("shop.refund", {"order": 2}, wait=0)
        assert isinstance(waits, Waiting)
        await asyncio.to_thread(postgres_server.server.stop)
        try:
            assert isinstance(await world.propose("shop.write", {"order": 3}, wait=0), Broken)
        finally:
            postgres_server.server.ensure_postgres_running()
        ends = time.monotonic() + 20
        while isinstance(told := await world.propose("shop.write", {"order": 4}, wait=0), Broken):
            assert time.monotonic() < ends, told
            await asyncio.sleep(0.1)
        await world.approve(waits.approval)
        told = await world.propose("shop.refund", {"order": 2}, wait=5)
        assert isinstance(told, Completed)
        assert told.action == waits.action
        assert len(effects(tmp_path)) == 3

    play(tmp_path, postgres_url, story)


@pytest.mark.parametrize("asked", ["its launcher", "a person"])
def test_a_run_is_undone_though_another_engine_moves_an_action_of_it_meanwhile(
    tmp_path: Path, postgres_url: str, asked: str
) -> None:
    async def story(world: World) -> None:
        there = await World(tmp_path / "there", postgres_url, call_timeout=TIMEOUT).open()
        await world.propose("shop.later", {"order": 1}, wait=0)
        (later,) = await world.every()
        moving = threading.Event()

        def move(transaction: Transaction) -> None:
            actions.move(transaction, later, ActionState.APPROVED, by="the clock")
            moving.set()
            time.sleep(0.3)  # until the end of the run waits for this commit

        moved = asyncio.ensure_future(there.store.transact(move))
        await asyncio.to_thread(moving.wait)
        if asked == "a person":
            await Compensate(store=world.store, memory=world.memory).run(
                world.run, person="deng", reason="a mistake"
            )
        else:
            await close_run(
                store=world.store, memory=world.memory, run=world.run, reason="1", by="it", failed=True
            )
        await moved
        assert (await world.store.read(lambda found: runs.get(found, world.run))).aborting == world.run
        await there.close()

    play(tmp_path, postgres_url, story, a_manifest(on_failure=OnFailure.UNDO))
