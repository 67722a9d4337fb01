"""A second engine process on one PostgreSQL: `python -m support.other_engine DATA DATABASE RUN TOOL SECONDS`.

It calls tools, each taking its time to answer, and says what it was told. Effects go to a file, flushed
before the executor answers.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from interlock.upstream.executor import Bridge, Dispatch, Outcome
from support.engine import World, done
from support.engine_child import append, say

TIMEOUT = 1


class Slow:
    """A tool whose effect happens at once and whose answer takes its time."""

    def __init__(self, effects: Path, seconds: float) -> None:
        self.effects = effects
        self.seconds = seconds

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Let the effect happen."""
        append(self.effects, {"action": dispatch.action, "key": dispatch.idempotency_key})
        await asyncio.sleep(self.seconds)
        return done()


async def main(data: Path, database: str, run: str, tools: str, seconds: str) -> None:
    """Propose a call of each tool, and stay."""
    world = World(data, database, call_timeout=TIMEOUT)
    world.script = Slow(data.parent / "effects", float(seconds))  # type: ignore[assignment]
    await world.open()
    world.run = run
    for told in await asyncio.gather(*(world.propose(each, wait=0) for each in tools.split(","))):
        say(told)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], *sys.argv[3:]))
