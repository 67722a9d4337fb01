"""One life of an engine process: agents that get their jobs done, people who decide, a clock that jumps.

It is killed at any moment. What its agents still owe is in files that outlive it (`work`).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.outside import TIMEOUT
from tests.torture.shop import manifest

from interlock.errors import StoreUnavailable
from interlock.runtime import EventLoopScheduler, SystemClock
from interlock.upstream.executor import Bridge, Dispatch, Failed, NotSent, Outcome, Succeeded, Unknown
from support.engine import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where an engine lives. `engines` of them share the work; each job belongs to one."""

    home: Path
    database: str
    number: int
    engines: int

    def file(self, name: str) -> Path:
        """Return a file of this engine, which outlives its lives."""
        return self.home / f"{name}.{self.number}"

    def lines(self, name: str) -> list[list[str]]:
        """Return the words of each whole line of such a file."""
        path = self.file(name)
        return [each.split() for each in path.read_text().split("\n")[:-1]] if path.exists() else []

    @property
    def draining(self) -> bool:
        """Whether no new jobs are taken any more."""
        return (self.home / "drain").exists()


class JumpingClock(SystemClock):
    """A wall clock that somebody sets, while what has passed is measured as ever."""

    ahead = 0.0

    def now(self) -> int:
        return super().now() + round(self.ahead * 1_000_000)


class QuickScheduler(EventLoopScheduler):
    """Looks often, because lives are short."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


class Wire:
    """Sends calls to the world outside."""

    def __init__(self, home: Path) -> None:
        self._address = home / "outside.sock"

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Return how a call ended, as far as that is known."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._address)
        except OSError as error:
            return NotSent(message=type(error).__name__)
        try:
            said = {
                "action": dispatch.action, "key": dispatch.idempotency_key, "tool": dispatch.tool,
                "order": dispatch.arguments["order"], "sent": time.monotonic(),
            }  # fmt: skip
            writer.write(json.dumps(said).encode() + b"\n")
            line = await asyncio.wait_for(reader.readline(), dispatch.timeout)
        except (OSError, TimeoutError):
            line = b""
        finally:
            writer.close()
        if not line:
            return Unknown(message="No answer came.")
        if json.loads(line)["answer"] == "refused":
            return Failed(message="no such order", payload={"content": [], "isError": True})
        return Succeeded(payload={"content": [{"type": "text", "text": "done"}], "isError": False})


class Engine(World):
    """The engine of one life."""

    scheduler = QuickScheduler

    def __init__(self, life: Life) -> None:
        super().__init__(life.home / f"engine.{life.number}", life.database, call_timeout=TIMEOUT)
        self.life = life
        self.clock: Any = JumpingClock()
        self.clock.ahead = random.choice((0.0, 0.0, 0.0, -5.0, 3.0, -3600.0))
        self.script: Any = Wire(life.home)

    async def jump(self) -> None:
        """Set the clock now and then: back, and forward by more than a lease."""
        while True:
            await asyncio.sleep(random.random() * 0.4)
            self.clock.ahead = random.choice((0.0, -5.0, 3.0, 20.0, -3600.0))


async def prepare(life: Life) -> None:
    """Make the database, with the shop in force."""
    engine = Engine(life)
    engine.clock.ahead = 0.0
    await engine.open(manifest())
    await engine.close()


async def _opened(life: Life) -> Engine:
    """Start, and again where the database does not answer in time, as whoever supervises it would."""
    while True:
        engine = Engine(life)
        try:
            await engine.open()
        except StoreUnavailable as error:
            sys.stderr.write(f"engine {life.number} begins anew: {error.message}\n")
            if (store := getattr(engine, "store", None)) is not None:
                store.close_now()
        else:
            return engine


async def live(life: Life) -> None:
    """Work until killed, or until nothing is left to do."""
    from tests.torture.people import decide, sign
    from tests.torture.work import Work

    from support.engine import DENG, MARIA

    engine = await _opened(life)
    with life.file("lives").open("a") as file:
        file.write(f"{os.getpid()} {engine.calls.process} {time.time()}\n")
    beside = [
        asyncio.ensure_future(each)
        for each in (decide(engine, MARIA), decide(engine, DENG), sign(engine), engine.jump())
    ]
    await Work(engine).done()
    life.file("done").touch()
    while not (life.home / "end").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    for each in beside:
        each.cancel()
    await engine.close()
