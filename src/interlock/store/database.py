"""The store: one writer thread that group-commits, a few readers, one lock, one audit chain.

Async code hands over a synchronous unit of work and awaits its commit; the event loop never waits for
the database. SQLite and PostgreSQL have the same shape; what differs is in `dialect`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from interlock.errors import StoreError, StoreUnavailable
from interlock.runtime import Clock, Runtime, SystemClock
from interlock.settings import Settings
from interlock.store.audit import Chain, audit_key
from interlock.store.clock import SteadyClock
from interlock.store.dialect import READERS, Dialect, dialect_of
from interlock.store.journal import JournalEntry
from interlock.store.listening import listen
from interlock.store.lock import DirectoryLock
from interlock.store.migrate import migrate
from interlock.store.place import settle_in
from interlock.store.transaction import Follower, Landing, Transaction
from interlock.store.writer import Unit, Writer

__all__ = ["JournalEntry", "Store", "Transaction"]

T = TypeVar("T")
_BACKLOG = 1_000


class Store:
    """The state of one environment. Made by `open`; one per data directory."""

    def __init__(
        self, *, lock: DirectoryLock, dialect: Dialect, writer: Writer, wall: Clock, written: SteadyClock
    ) -> None:
        self._wall = wall
        self._written = written
        self._lock = lock
        self._dialect = dialect
        self._writer = writer
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="interlock-reader")

    @classmethod
    def open(cls, settings: Settings, runtime: Runtime, *, patience: float = 5.0) -> Store:
        """Take the data directory's lock, open and migrate the database, start the writer.

        `patience`: seconds to wait for a database lock or a connection. Several processes may serve one
        environment on PostgreSQL, each with a data directory of its own. Raises `StoreInUse` when another
        process has the directory, `StoreUnavailable` when the database cannot be used, `UsageError` when the
        directory is of another environment; each says what to do.
        """
        lock = DirectoryLock.take(settings.data)
        try:
            settle_in(settings.data, settings.environment)
            dialect = dialect_of(settings, patience=patience)
            key = audit_key(settings.data)
            clock = SteadyClock(runtime.clock)
            asks = dialect.shared and isinstance(runtime.clock, SystemClock)
            _prepare(dialect, clock, asks=asks)
            writer = Writer(
                dialect=dialect,
                chain=Chain(key=key, ids=runtime.ids, dialect=dialect),
                clock=clock,
                ids=runtime.ids,
                asks=asks,
                environment=settings.environment,
            )
        except BaseException:
            lock.release()
            raise
        return cls(lock=lock, dialect=dialect, writer=writer, wall=runtime.clock, written=clock)

    def now(self) -> int:
        """Return the time by which what is on disk is judged: never before what was written last."""
        return max(self._wall.now(), self._written.latest)

    @property
    def alone(self) -> bool:
        """Whether no other process can be writing to this database."""
        return not self._dialect.shared

    async def transact(self, work: Callable[[Transaction], T], *, wanted: JournalEntry | None = None) -> T:
        """Run `work` on the writer's thread and return its value once it is committed.

        `wanted` names what is refused if the store cannot be written before `work` got to record anything;
        it is on record, as `store.refused`, once the store can be written again.

        Whatever `work` raises rolls back this unit alone and is raised here. A unit that was handed over
        runs even if its awaiter is cancelled. Raises `StoreUnavailable` when nothing was written,
        `CommitUnknown` when that is not known.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.submit(Unit(work, loop, future, wanted=wanted))
        return await future

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` with a read-only connection and return its value. It sees every finished commit.

        Raises `StoreUnavailable` when the database cannot be read.
        """
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)
        except RuntimeError:
            raise StoreUnavailable("The store is closed.", hint="Open it again.") from None
        return await reading

    async def journal(self, record: Callable[[Transaction], None] | JournalEntry) -> None:
        """Queue a record; it is on disk within `journal.WINDOW` seconds. Waits while the queue is full.

        Raises `StoreUnavailable` when it is full and the store cannot be written: then deny.
        """
        if isinstance(record, JournalEntry):
            await self._writer.journal.put(record)
        elif self._writer.backlog >= _BACKLOG:
            await self.transact(record)
        else:
            self._writer.submit(Unit(record, asyncio.get_running_loop(), None))

    def offer(self, entry: JournalEntry) -> bool:
        """Queue an entry if there is room, without waiting; say whether there was: the hot path."""
        return self._writer.journal.offer(entry)

    def note(self, entry: JournalEntry) -> None:
        """Queue an entry about what is refused anyway. Never raises: what does not fit is counted."""
        try:
            self._writer.journal.put_nowait(entry)
        except StoreUnavailable:
            if self._writer.journal.failure is None:  # else the journal has noted it already
                self._writer.refuse(entry)

    def remember_refusal(self, entry: JournalEntry) -> None:
        """Put on record, as soon as the store can be written again, that something was refused meanwhile.

        For a caller that got `StoreUnavailable` and denied. Bounded: beyond a thousand they are counted.
        """
        self._writer.refuse(entry)

    def follow(self, follower: Follower) -> None:
        """From now on call `follower` in the commit of every move of an action."""
        self._writer.followers.append(follower)

    def land(self, landing: Landing) -> None:
        """From now on ask `landing` where an action goes that is about to move."""
        self._writer.landing = landing

    async def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` for every commit that has news, for ever. Raises `StoreUnavailable`."""
        await listen(self._dialect.readers, heard)

    async def close(self) -> None:
        """Write what is queued, close the database, give the lock back."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Close, blocking: for callers without an event loop. Twice does no harm."""
        self._writer.close()
        self._readers.shutdown()
        self._dialect.readers.dispose()
        self._dialect.writer.dispose()
        self._lock.release()

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._dialect.readers.connect() as connection, connection.begin():
                return work(connection)
        except DBAPIError as error:
            raise _said(self._dialect, error) from error


@contextmanager
def open_reader(settings: Settings, *, patience: float = 5.0) -> Generator[sa.Connection]:
    """Yield a read-only connection without owning the data directory: beside a server, or without one.

    Raises `StoreUnavailable` when the database cannot be read.
    """
    dialect = dialect_of(settings, patience=patience)
    try:
        with dialect.readers.connect() as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise _said(dialect, error) from error
    finally:
        dialect.readers.dispose()


def _prepare(dialect: Dialect, clock: SteadyClock, *, asks: bool) -> None:
    """Bring the schema up to date and learn what time it is: by the database where that `asks` it.

    Else from the latest moment on record; where several write, it may be of one whose clock is wrong.
    """
    try:
        with dialect.writer.connect() as connection, connection.begin():
            dialect.lock_migrations(connection)
            migrate(connection, now=clock.now(dialect.clock(connection) if asks else None))
            connection.exec_driver_sql("DELETE FROM timers WHERE 1 = 0")  # a read-only database says so here
            if not asks:
                clock.observe(
                    connection.exec_driver_sql("SELECT coalesce(max(at), 0) FROM audit").scalar_one()
                )
    except DBAPIError as error:
        raise _said(dialect, error) from error


def _said(dialect: Dialect, error: DBAPIError) -> StoreError | DBAPIError:
    return dialect.meaning(error, committing=False) or error
