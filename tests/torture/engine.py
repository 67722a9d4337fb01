"""One life of an engine process: agents that get their orders done, people who decide, a clock that jumps.

It is killed at any moment. What its agents still owe is in two files, written before and after each order.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.outside import TIMEOUT
from tests.torture.shop import NAMES, manifest

from interlock.core.answer import Broken, Completed, InDoubt, Refused, TurnedDown
from interlock.core.approval import Decider
from interlock.errors import InterlockError
from interlock.runtime import EventLoopScheduler, SystemClock
from interlock.store import approvals, run_facts
from interlock.upstream.executor import Bridge, Dispatch, Failed, NotSent, Outcome, Succeeded, Unknown
from support.engine import DENG, MARIA, World

_AGENTS = 12
_RUNS = 40
_TOLD = Completed | Refused | TurnedDown | InDoubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Where an engine lives. `engines` of them share the work; each order belongs to one."""

    home: Path
    database: str
    number: int
    engines: int

    def file(self, name: str) -> Path:
        """Return a file of this engine, which outlives its lives."""
        return self.home / f"{name}.{self.number}"

    @property
    def draining(self) -> bool:
        """Whether no new orders are taken any more."""
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
                "order": dispatch.arguments["order"],
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


async def prepare(life: Life) -> None:
    """Make the database, with the shop in force and its runs open."""
    engine = Engine(life)
    engine.clock.ahead = 0.0
    await engine.open(manifest())
    runs = [await engine.open_run() for _ in range(_RUNS)]
    (life.home / "runs").write_text("\n".join(runs))
    await engine.close()


async def live(life: Life) -> None:
    """Work until killed, or until nothing is left to do."""
    engine = Engine(life)
    await engine.open()
    for facts in await engine.store.read(lambda found: list(run_facts.load_facts(found))):
        if facts.run not in engine.memory.runs:
            engine.memory.open_run(facts)
    beside = [
        asyncio.ensure_future(each) for each in (_decide(engine, MARIA), _decide(engine, DENG), _jump(engine))
    ]
    await _Work(engine).done()
    while not (life.home / "end").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    for each in beside:
        each.cancel()
    await engine.close()


class _Work:
    """The orders of one engine: what it began and nobody was told the end of, then new ones."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._life = engine, engine.life
        self._runs = (self._life.home / "runs").read_text().split()
        begun, told = self._numbers("begun"), self._numbers("told")
        self._owed = sorted(begun - told)
        self._next = max(begun, default=self._life.number - self._life.engines) + self._life.engines

    def _numbers(self, name: str) -> set[int]:
        path = self._life.file(name)
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return {int(each.split()[0]) for each in lines}

    async def done(self) -> None:
        """Get everything done."""
        with self._life.file("begun").open("a") as begun, self._life.file("told").open("a") as told:
            await asyncio.gather(*(self._agent(begun, told) for _ in range(_AGENTS)))

    async def _agent(self, begun: Any, told: Any) -> None:
        while True:
            if self._owed:
                number = self._owed.pop()
            elif self._life.draining:
                return
            else:
                number, self._next = self._next, self._next + self._life.engines
                begun.write(f"{number}\n")
                begun.flush()
            kind, action = await self._order(number)
            told.write(f"{number} {kind} {action or '-'}\n")
            told.flush()

    async def _order(self, number: int) -> tuple[str, str]:
        """Ask until there is an end; now and then twice at the same time."""
        tool, run = NAMES[number % len(NAMES)], self._runs[number % len(self._runs)]
        while True:
            asks = [self._ask(run, tool, number) for _ in range(1 + (random.random() < 0.05))]
            answer = (await asyncio.gather(*asks))[0]
            if isinstance(answer, _TOLD) or (isinstance(answer, Broken) and answer.action):
                good = isinstance(answer, Completed) and not answer.payload.get("isError")
                return type(answer).__name__ + ("" if good else "-"), getattr(answer, "action", None) or ""
            await asyncio.sleep(random.random() * 0.1)

    async def _ask(self, run: str, tool: str, number: int) -> Any:
        principal = self._engine.principal(run)
        return await self._engine.propose(tool, {"order": number}, principal=principal, wait=1)


async def _decide(engine: Engine, person: Decider) -> None:
    """Decide what waits, in a race with another person and with the people at the other engine."""
    while True:
        with suppress(InterlockError):
            for asked in await engine.store.read(lambda found: approvals.listed(found, limit=30)):
                with suppress(InterlockError):
                    await _act(engine, asked.id, person)
        await asyncio.sleep(random.random() * 0.05)


async def _act(engine: Engine, approval: str, person: Decider) -> None:
    drawn = random.random()
    if drawn < 0.7:
        done = await engine.people.approve(approval, person)
    elif drawn < 0.88:
        done = await engine.people.reject(approval, person, reason="no")
    else:
        fresh = {"order": random.randrange(10**6, 10**9)}
        done = await engine.people.modify(approval, person, arguments=fresh, reason="rather so")
    with engine.life.file("decided").open("a") as file:
        file.write(f"{approval} {person.name}\n")
    engine.calls.decided(done.action)


async def _jump(engine: Engine) -> None:
    """Set the clock now and then: back, and forward by more than a lease."""
    while True:
        await asyncio.sleep(random.random() * 0.4)
        engine.clock.ahead = random.choice((0.0, -5.0, 3.0, 20.0, -3600.0))
