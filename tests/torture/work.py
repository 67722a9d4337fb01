"""The agents of one engine: jobs of a few orders, each in a run of its own that is undone where one fails.

What was begun, and what its agent was told, is written down before and after, in files that outlive a life.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from tests.torture import people
from tests.torture.engine import Engine
from tests.torture.shop import NAMES, ORDERS, SHAKY, TRIALS

from interlock.core.answer import Broken, Completed, InDoubt, Refused, TurnedDown
from interlock.errors import InterlockError
from interlock.services.close_run import close_run

_AGENTS = 16
JOB = 5
"""Orders of one job."""

_TOLD = Completed | Refused | TurnedDown | InDoubt


class Work:
    """The jobs of one engine: those begun and not ended, then new ones."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._life = engine, engine.life
        life = self._life
        self._runs = {int(job): run for job, run in life.lines("begun")}
        ended = {int(job) for (job,) in life.lines("ended")}
        self._told: dict[int, dict[int, str]] = defaultdict(dict)
        for number, kind, _ in life.lines("told"):
            self._told[int(number) // JOB][int(number)] = kind
        self._owed = sorted(self._runs.keys() - ended)
        self._next = max(self._runs, default=life.number - life.engines) + life.engines
        self._files: dict[str, Any] = {}

    async def done(self) -> None:
        """Get everything done."""
        for name in ("begun", "told", "ended"):
            self._files[name] = self._life.file(name).open("a")
        await asyncio.gather(*(self._agent() for _ in range(_AGENTS)))
        for each in self._files.values():
            each.close()

    def _write(self, name: str, *words: object) -> None:
        self._files[name].write(" ".join(map(str, words)) + "\n")
        self._files[name].flush()

    async def _agent(self) -> None:
        while self._owed or not self._life.draining:
            if self._owed:
                job = self._owed.pop()
            else:
                job, self._next = self._next, self._next + self._life.engines
                workflow = TRIALS if job % 5 == 4 else ORDERS
                self._runs[job] = await _until_it_stands(lambda: self._engine.open_run(workflow))  # noqa: B023
                self._write("begun", job, self._runs[job])
            await self._job(job)
            self._write("ended", job)

    async def _job(self, job: int) -> None:
        """Ask for all orders at once; where one fails, end the run as failed while others are under way."""
        run, told = self._runs[job], self._told[job]
        failed = any(kind.endswith("-") for kind in told.values())
        asked = {
            asyncio.ensure_future(self._order(number, run))
            for number in range(job * JOB, job * JOB + JOB)
            if number not in told
        }
        while asked:
            if failed:
                await self._end(run, failed=True)
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            failed = failed or any(each.result().endswith("-") for each in done)
        await self._end(run, failed=failed)
        if not failed and random.random() < 0.08:
            await _until_it_stands(lambda: people.undo(self._engine, run))

    async def _end(self, run: str, *, failed: bool) -> None:
        engine = self._engine
        reason = "exit code 1" if failed else "exit code 0"
        await _until_it_stands(
            lambda: close_run(
                store=engine.store, memory=engine.memory, run=run, reason=reason, by="launcher", failed=failed
            )
        )

    async def _order(self, number: int, run: str) -> str:
        """Ask until there is an end; now and then twice at the same time. Return what was told."""
        tool = SHAKY.name if number // JOB % 5 == 4 else NAMES[number % len(NAMES)]
        while run in self._engine.memory.runs:
            asks = [self._ask(run, tool, number) for _ in range(1 + (random.random() < 0.05))]
            answer = (await asyncio.gather(*asks))[0]
            if isinstance(answer, _TOLD) or (isinstance(answer, Broken) and answer.action):
                good = isinstance(answer, Completed) and not answer.payload.get("isError")
                kind = type(answer).__name__ + ("" if good else "-")
                self._write("told", number, kind, getattr(answer, "action", None) or "-")
                return kind
            await asyncio.sleep(random.random() * 0.1)
        self._write("told", number, "Ended-", "-")  # the run was over when this life began
        return "Ended-"

    async def _ask(self, run: str, tool: str, number: int) -> Any:
        principal = self._engine.principal(run)
        return await self._engine.propose(tool, {"order": number}, principal=principal, wait=1)


async def _until_it_stands(work: Callable[[], Awaitable[Any]]) -> Any:
    """Do what changes nothing when it is done again, until a commit of it is known to stand."""
    while True:
        try:
            return await work()
        except InterlockError:
            await asyncio.sleep(0.1)
