"""Time, ids and tasks of a simulation: the wall clock can be set back and forth, ids come from a seed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from tests.simulation.loop import Loop

from interlock.core.model import SECOND
from interlock.runtime import EventLoopScheduler, Runtime

_BEGIN = 1_790_000_000
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(eq=False, slots=True)
class SimulatedClock:
    """The loop's time; the wall clock is `ahead` of it by so many seconds, also less than none."""

    loop: Loop
    ahead: float = 0.0

    def now(self) -> int:
        return round((_BEGIN + self.loop.time() + self.ahead) * SECOND)

    def monotonic(self) -> float:
        return self.loop.time()


@dataclass(eq=False, slots=True)
class SimulatedIds:
    """Ids in the layout of the real ones: a moment and 80 bits of chance."""

    clock: SimulatedClock
    chance: random.Random

    def new(self, prefix: str) -> str:
        number = (self.clock.now() // 1000) << 80 | self.chance.getrandbits(80)
        return f"{prefix}_{''.join(_LETTERS[(number >> shift) & 31] for shift in range(125, -1, -5))}"


class SimulatedScheduler(EventLoopScheduler):
    """Sleeps a little longer than it was asked to, as every scheduler does."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds + self._chance.random() * 0.004)


def simulated(clock: SimulatedClock, chance: random.Random) -> Runtime:
    """Return the runtime of one process."""
    return Runtime(clock=clock, ids=SimulatedIds(clock, chance), scheduler=SimulatedScheduler(chance))
