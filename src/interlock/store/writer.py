"""The one writer: a thread that commits units of work in groups, each in a savepoint of its own.

Whatever has gathered while the last commit was on its way to the disk goes into the next one, so one
flush serves many callers. A unit that fails rolls back alone. Nobody is told "done" before the commit,
and the audit chain, which has one writer by its nature, is written here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from interlock.errors import CommitUnknown, StoreError, StoreUnavailable
from interlock.runtime import Ids
from interlock.store.audit import Chain, Draft
from interlock.store.clock import SteadyClock
from interlock.store.dialect import Dialect
from interlock.store.journal import WINDOW, Journal, JournalEntry
from interlock.store.transaction import Transaction, draft

log = logging.getLogger(__name__)

_UNITS = 256
_ENTRIES_BESIDE_UNITS = 256
_ENTRIES_ALONE = 4096
_RETRY = 0.5


@dataclass(slots=True, eq=False)
class Unit:
    """A unit of work and whoever awaits it."""

    work: Callable[[Transaction], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any] | None
    value: Any = None
    error: BaseException | None = None
    effects: Sequence[Callable[[], None]] = ()

    def deliver(self) -> None:
        """Run the effects, then wake the awaiter. On the unit's own loop."""
        for effect in self.effects:
            try:
                effect()
            except Exception as error:  # noqa: BLE001 - the commit stands; the caller must still hear of it
                self.error = error
        if self.future is None:
            if self.error is not None:
                context = {"message": "a journaled unit of work failed", "exception": self.error}
                self.loop.call_exception_handler(context)
        elif not self.future.done():
            if self.error is None:
                self.future.set_result(self.value)
            else:
                self.future.set_exception(self.error)


@dataclass(slots=True)
class _Batch:
    units: list[Unit] = field(default_factory=list[Unit])
    entries: list[JournalEntry] = field(default_factory=list[JournalEntry])


class Writer:
    """The writer thread of one store."""

    def __init__(self, *, dialect: Dialect, chain: Chain, clock: SteadyClock, ids: Ids, asks: bool) -> None:
        self._dialect = dialect
        self._chain = chain
        self._clock = clock
        self._ids = ids
        self._asks = asks
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._closing = False
        self._connection: sa.Connection | None = None
        self.journal = Journal(wake=lambda: self._queue.put(None))
        self._thread = threading.Thread(target=self._run, name="interlock-writer", daemon=True)
        self._thread.start()

    def submit(self, unit: Unit) -> None:
        """Queue a unit. It will run, whether or not anybody still awaits it."""
        if self._closing:
            raise StoreUnavailable("The store is closed.", hint="Open it again.")
        self._queue.put(unit)

    def close(self) -> None:
        """Write everything that is queued, then end the thread. Blocks until it has."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch = self._gather()
            if batch.units or batch.entries:
                self._write(batch)
            elif self._closing:
                break
        self._disconnect()

    def _gather(self) -> _Batch:
        """Wait for work; return all that is there, up to the size of one commit."""
        units: list[Unit] = []
        waits = None if not len(self.journal) else (_RETRY if self.journal.failure else WINDOW)
        try:
            first = self._queue.get(timeout=0 if self._closing else waits)
            while True:
                if first is not None:
                    units.append(first)
                if len(units) >= _UNITS:
                    break
                first = self._queue.get_nowait()
        except queue.Empty:
            pass
        return _Batch(units, self.journal.take(_ENTRIES_BESIDE_UNITS if units else _ENTRIES_ALONE))

    def _write(self, batch: _Batch) -> None:
        try:
            self._commit(batch)
        except StoreError as error:
            self._failed(batch, error)
        except Exception as error:
            log.exception("the writer failed")
            self._failed(batch, StoreError(f"The writer failed: {type(error).__name__}."))
        else:
            self.journal.failure = None
        self.journal.release()
        _deliver(batch.units)

    def _failed(self, batch: _Batch, error: StoreError) -> None:
        self._chain.forget()
        self._disconnect()
        for unit in batch.units:
            unit.error, unit.effects = error, ()
        if isinstance(error, StoreUnavailable):
            self.journal.failure = error
        if not isinstance(error, CommitUnknown):
            self.journal.put_back(batch.entries)

    def _commit(self, batch: _Batch) -> None:
        committing = False
        try:
            connection = self._connected()
            transaction = connection.begin()
            now = self._clock.now(self._dialect.clock(connection) if self._asks else None)
            drafts = [_draft(entry) for entry in batch.entries]
            for unit in batch.units:
                drafts += self._run_unit(connection, unit, now)
            self._chain.append(connection, drafts, now=now)
            committing = True
            transaction.commit()
        except DBAPIError as error:
            meaning = self._dialect.meaning(error, committing=committing)
            raise meaning or StoreError(f"The database refused: {type(error.orig).__name__}.") from error
        self._chain.committed()

    def _run_unit(self, connection: sa.Connection, unit: Unit, now: int) -> Sequence[Draft]:
        """Run one unit in a savepoint. Raises only what concerns the whole store."""
        transaction = Transaction(connection, now=now, ids=self._ids)
        savepoint = connection.begin_nested()
        try:
            unit.value = unit.work(transaction)
            savepoint.commit()
        except Exception as error:
            if isinstance(error, DBAPIError):
                meaning = self._dialect.meaning(error, committing=False)
                if isinstance(meaning, StoreUnavailable):
                    raise
                error = meaning or error
            savepoint.rollback()
            unit.error = error
            return ()
        unit.effects = transaction.effects
        return transaction.drafts

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._dialect.writer.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except DBAPIError:
                connection.invalidate()


def _draft(entry: JournalEntry) -> Draft:
    at, kind, body, *fields = msgspec.structs.astuple(entry)
    return draft(at, (kind, *fields), body)


def _deliver(units: Sequence[Unit]) -> None:
    loops = dict.fromkeys(unit.loop for unit in units)
    for loop in loops:
        mine = [unit for unit in units if unit.loop is loop]
        try:
            loop.call_soon_threadsafe(_deliver_here, mine)
        except RuntimeError:  # the loop has been closed; nobody awaits
            log.warning("%d committed units of work had nobody to tell", len(mine))


def _deliver_here(units: Sequence[Unit]) -> None:
    for unit in units:
        unit.deliver()
