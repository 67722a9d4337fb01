"""The store of a simulation: the real one, with its writer taking turns on the loop instead of a thread.

Schema, transactions, savepoints, audit chain and journal are the product's; the database is SQLite on a real
file. What a seed decides: how long a commit takes, how many units share one, whether it is lost, whether its
answer is lost (`CommitUnknown`), and whether the process dies before or after it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from tests.simulation.loop import Killed, Loop, Owner

from interlock.errors import CommitUnknown, StoreError, StoreUnavailable
from interlock.runtime import Runtime
from interlock.store.audit import Chain
from interlock.store.clock import SteadyClock
from interlock.store.database import Store
from interlock.store.journal import WINDOW
from interlock.store.lock import DirectoryLock
from interlock.store.sqlite import Sqlite
from interlock.store.writer import Unit, Writer, _Batch

T = TypeVar("T")
KEY = bytes(32)
_RETRY = 0.5


class Fate(Enum):
    """What becomes of a commit."""

    STANDS = "stands"
    LOST = "lost"
    ANSWER_LOST = "stands, its answer is lost"
    UNKNOWN = "lost, and nobody knows"
    KILLED_BEFORE = "the process dies before it"
    KILLED_AFTER = "the process dies after it"


@dataclass(eq=False, slots=True)
class Faults:
    """What goes wrong, and how often. `kill_commits` numbers the commits before or after which it dies."""

    chance: random.Random
    on: bool = True
    lost: float = 0.0
    unknown: float = 0.0
    unreadable: float = 0.0
    kills: dict[int, Fate] = field(default_factory=dict[int, Fate])
    commits: int = 0

    def of_commit(self) -> Fate:
        """Return what becomes of the next commit."""
        self.commits += 1
        drawn, which = self.chance.random(), self.chance.random()
        if self.on and self.commits in self.kills:
            return self.kills[self.commits]
        if not self.on or drawn >= self.lost + self.unknown:
            return Fate.STANDS
        if drawn < self.lost:
            return Fate.LOST
        return Fate.ANSWER_LOST if which < 0.5 else Fate.UNKNOWN

    def of_read(self) -> bool:
        """Whether the database cannot be read now."""
        drawn = self.chance.random()
        return self.on and drawn < self.unreadable


class _Fault(Exception):
    def __init__(self, meaning: StoreError) -> None:
        super().__init__(meaning.message)
        self.meaning = meaning


class FaultyFile(Sqlite):
    """SQLite on a file, with the commits of the process that has it now subject to `faults`."""

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url, patience=0.0, readers=1)
        self.faults = Faults(random.Random(0), on=False)
        self.loop: Loop | None = None
        self.told: Callable[[str], None] = lambda _: None

    def commit(self, connection: sa.Connection) -> None:
        fate = self.faults.of_commit()
        self.told(f"commit {self.faults.commits} {fate.value}")
        match fate:
            case Fate.STANDS:
                super().commit(connection)
            case Fate.LOST:
                self.command(connection, "ROLLBACK")
                raise _failing(StoreUnavailable("The simulated disk is full.", hint="Wait."))
            case Fate.ANSWER_LOST | Fate.UNKNOWN:
                self.command(connection, "COMMIT" if fate is Fate.ANSWER_LOST else "ROLLBACK")
                raise _failing(CommitUnknown("The answer to a simulated commit was lost.", hint="Look."))
            case Fate.KILLED_BEFORE | Fate.KILLED_AFTER:
                self.command(connection, "COMMIT" if fate is Fate.KILLED_AFTER else "ROLLBACK")
                assert self.loop is not None
                self.loop.killed = self.loop.owner
                raise Killed

    def meaning(self, error: DBAPIError, *, committing: bool) -> StoreError | None:
        fault = error.orig
        return fault.meaning if isinstance(fault, _Fault) else super().meaning(error, committing=committing)


def _failing(meaning: StoreError) -> DBAPIError:
    return DBAPIError("COMMIT", None, _Fault(meaning))


class _Inbox:
    """Where the writer finds what it has to do; `None` wakes it for the journal's sake."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.units: deque[Unit] = deque()
        self._wake = wake

    def put(self, unit: Unit | None) -> None:
        if unit is not None:
            self.units.append(unit)
        self._wake()

    def qsize(self) -> int:
        return len(self.units)

    def empty(self) -> bool:
        return not self.units


class TurningWriter(Writer):
    """The writer, whose turns are steps of the loop."""

    def __init__(self, *, loop: Loop, owner: Owner, chance: random.Random, **of_writer: Any) -> None:
        self._loop, self._owner, self._chance = loop, owner, chance
        self._due = False
        super().__init__(**of_writer)
        self._queue: Any = _Inbox(self._wake)

    def _run(self) -> None:
        """No thread: `_turn` does it."""

    def close(self) -> None:
        """End without a word, as a process that is killed."""
        self._closing = True
        self._disconnect()

    def _wake(self) -> None:
        if not self._due and not self._owner.dead:
            self._due = True
            with self._loop.owned(self._owner):
                self._loop.call_later(self._pause(), self._turn)

    def _pause(self) -> float:
        """Return how long it takes until the next commit is on the disk."""
        drawn = self._chance.random()
        if self.journal.failure is not None:
            return _RETRY
        if not self._queue.units and drawn < 0.9:
            return WINDOW
        return 0.0002 + drawn * 0.004 if drawn < 0.97 else drawn * 1.5

    def _turn(self) -> None:
        self._due = False
        units = self._queue.units
        size = len(units) if self._chance.random() < 0.7 else self._chance.randint(1, max(1, len(units)))
        batch = _Batch([units.popleft() for _ in range(min(size, len(units)))], self.journal.take(256))
        if batch.units or batch.entries or self._refused or self._unsure:
            self._write(batch)
        if units or len(self.journal) or self._unsure or (self._refused and self.journal.failure is not None):
            self._wake()


class _NoLock(DirectoryLock):
    def __init__(self) -> None:
        super().__init__(-1)

    def release(self) -> None:
        """One process at a time is what the simulation sees to."""


class SimulatedStore(Store):
    """The store of one simulated process. Reads take their time too, and see every finished commit."""

    def __init__(
        self, dialect: FaultyFile, *, loop: Loop, owner: Owner, runtime: Runtime, chance: random.Random
    ) -> None:
        written = SteadyClock(runtime.clock)
        self._file, self._loop, self._chance = dialect, loop, chance
        writer = TurningWriter(
            loop=loop, owner=owner, chance=chance, dialect=dialect, clock=written, ids=runtime.ids,
            asks=False, chain=Chain(key=KEY, ids=runtime.ids, dialect=dialect),
        )  # fmt: skip
        super().__init__(lock=_NoLock(), dialect=dialect, writer=writer, wall=runtime.clock, written=written)
        latest = self._read(lambda found: found.exec_driver_sql("SELECT coalesce(max(at), 0) FROM audit"))
        written.observe(latest.scalar_one())

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        await self._moment()
        if self._file.faults.of_read():
            raise StoreUnavailable("The simulated disk cannot be read.", hint="Wait.")
        value = self._read(work)
        await self._moment()
        return value

    def close_now(self) -> None:
        """Leave the database as a process does that is gone."""
        self._writer.close()
        self._readers.shutdown(wait=False)

    async def _moment(self) -> None:
        drawn = self._chance.random()
        if drawn < 0.5:
            return
        await asyncio.sleep(drawn * 0.002 if drawn < 0.98 else drawn)
