"""A process that governs calls and may be killed: `python -m support.engine_child DATA DATABASE STEP`.

Effects go to a file of their own, written and flushed before the executor answers: the independent record.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from interlock.core.answer import Answer, Completed, InDoubt, TurnedDown, Waiting
from interlock.errors import InterlockError
from interlock.store import approvals
from interlock.store.memory import LiveAction
from interlock.upstream.executor import Bridge, Dispatch, Outcome
from support.engine import DENG, MARIA, World, a_manifest, done

ORDERS, PER_LIFE = 48, 8


def append(path: Path, what: dict[str, Any]) -> None:
    """Add one line to a file and have it on disk."""
    with path.open("a") as file:
        file.write(json.dumps(what) + "\n")
        file.flush()
        os.fsync(file.fileno())


def die() -> None:
    """End at once, as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


class Outside:
    """The world outside: a file. `point` says where the process dies."""

    def __init__(self, data: Path, point: str) -> None:
        self.path = data / "effects"
        self.point = point

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Let the effect happen."""
        if self.point == "before-effect":
            die()
        append(self.path, {"action": dispatch.action, "order": dispatch.arguments["order"]})
        if self.point == "after-effect":
            die()
        return done()


async def main(data: Path, database: str, step: str) -> None:
    """Take one step of a story."""
    world = World(data, database, call_timeout=1)
    world.script = Outside(data, step)  # type: ignore[assignment]
    marker = data / "run"
    await world.open(None if marker.exists() else a_manifest())
    if not marker.exists():
        marker.write_text(world.run)
    world.run = marker.read_text()

    def watch(live: LiveAction) -> None:
        if step == "after-outcome" and live.state == "succeeded":
            die()

    world.memory.watchers.append(watch)
    match step:
        case "retry":
            await asyncio.sleep(0.2)
            say(await world.propose())
        case "work":
            await work(world, data, ORDERS)
            say(await world.propose("shop.write", {"order": -1}, wait=5))
        case "life":
            await work(world, data, PER_LIFE)
            await asyncio.sleep(60)
        case _:
            asked = await world.propose()
            say(asked)
            assert isinstance(asked, Waiting)
            if step == "reject":
                await world.people.reject(asked.approval, MARIA, reason="no")
                die()
            elif step != "waiting":
                await world.approve(asked.approval)
            await asyncio.sleep(60)
    await world.close()


async def work(world: World, data: Path, limit: int) -> None:
    """Be an agent that must get its orders done, and two people who decide; stop when `limit` are told."""
    told = data / "told"
    known = {json.loads(line)["order"] for line in told.read_text().splitlines()} if told.exists() else set()

    async def order(number: int) -> None:
        tool = "shop.refund" if number % 2 else "shop.write"
        while True:
            answer = await world.propose(tool, {"order": number}, wait=2)
            if isinstance(answer, Completed | TurnedDown | InDoubt):
                append(told, {"order": number, "answer": type(answer).__name__})
                return

    people = asyncio.ensure_future(decide(world))
    await asyncio.gather(*(order(each) for each in [n for n in range(ORDERS) if n not in known][:limit]))
    people.cancel()


async def decide(world: World) -> None:
    """Two people race to decide what waits: one in four is rejected."""
    while True:
        for asked in await world.store.read(lambda found: approvals.listed(found, state="pending")):
            acts = [
                world.people.reject(asked.id, person, reason="no")
                if random.random() < 0.25
                else world.people.approve(asked.id, person)
                for person in (MARIA, DENG)
            ]
            both = await asyncio.gather(*acts, return_exceptions=True)
            assert sum(isinstance(each, InterlockError) for each in both) >= 1, "two decisions were taken"
            await asyncio.sleep(random.random() * 0.02)
        await asyncio.sleep(0.01)


def say(answer: Answer) -> None:
    """Tell the parent what the caller was told."""
    what: dict[str, Any] = {"answer": type(answer).__name__, "action": getattr(answer, "action", None)}
    if isinstance(answer, Waiting):
        what["approval"] = answer.approval
    if isinstance(answer, Completed):
        what["recorded"] = answer.recorded
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
