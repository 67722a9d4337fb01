"""Time, chance and tasks, handed in from the start, so that the whole engine can run in a simulation.

Nothing else in the package reads a clock, makes an id or starts a task. `Runtime.real()` is the world;
tests hand in a clock that stands still.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]
_FIVE_BITS = (_CROCKFORD * 8).encode()
"""The letter of a random byte, of which five bits count."""

_DRAWN, _AT_ONCE = 16, 256


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> int:
        """Return the wall time in microseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step back, for measuring how long something took."""
        ...


class Ids(Protocol):
    """Where ids come from."""

    def new(self, prefix: str) -> str:
        """Return a new unique id, such as `act_01jd…`: sortable by time, unguessable in its tail."""
        ...


class Scheduler(Protocol):
    """Who runs what happens later or beside."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start `work` beside the caller; it is kept until done and its error is never lost."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class TimeOrderedIds:
    """Ids of 26 Crockford letters: 48 bits of milliseconds, 80 random bits (the layout of a ULID).

    Random letters are fetched for many ids at once: each fetch gives up the interpreter lock, and winning it
    back from a busy thread costs as much as a whole decision.
    """

    clock: Clock
    _random: list[str] = field(default_factory=list[str], repr=False, compare=False)
    _second: list[tuple[int, str]] = field(default_factory=lambda: [(-1, "")], repr=False, compare=False)

    def new(self, prefix: str) -> str:
        second, rest = divmod(self.clock.now() // 1000, 1024)
        known, letters = self._second[0]
        if known != second:
            letters = "".join([_PAIRS[(second >> shift) & 1023] for shift in (30, 20, 10, 0)])
            self._second[0] = second, letters
        return f"{prefix}_{letters}{_PAIRS[rest]}{self._drawn()}"

    def _drawn(self) -> str:
        """Return sixteen random letters that nobody was given before, whichever thread asks."""
        while True:
            try:
                return self._random.pop()
            except IndexError:
                fresh = secrets.token_bytes(_DRAWN * _AT_ONCE).translate(_FIVE_BITS).decode()
                self._random.extend(fresh[at : at + _DRAWN] for at in range(0, len(fresh), _DRAWN))


class EventLoopScheduler:
    """Tasks of the running asyncio loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The clock, the source of ids and the scheduler that one process uses."""

    clock: Clock
    ids: Ids
    scheduler: Scheduler

    @classmethod
    def real(cls) -> Runtime:
        """Return the runtime of the real world."""
        clock = SystemClock()
        return cls(clock=clock, ids=TimeOrderedIds(clock), scheduler=EventLoopScheduler())


def settle_collector() -> None:
    """Spare what is loaded from garbage collection, and look for cycles among the young less often.

    A server keeps its code and policy for life and makes few cycles; looking through both at every few
    hundred objects cost a tenth of a decision. Call it once, when everything is loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
