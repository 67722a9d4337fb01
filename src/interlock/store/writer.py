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
from interlock.store.news import Item, publish
from interlock.store.refused import Refused
from interlock.store.transaction import Follower, Landing, Transaction, draft

log = logging.getLogger(__name__)

_UNITS = 256
_ENTRIES_BESIDE_UNITS = 256
_ENTRIES_ALONE = 4096
_ENOUGH = 2048  # entries that fill a statement: more would not be written cheaper, so they wait for none
_RETRY = 0.5
_CLOCK_STEP = 5_000_000
_FAULT = "This is a fault of Interlock: please report it with the log."


@dataclass(slots=True, eq=False)
class Unit:
    """A unit of work and whoever awaits it. `wanted` is what to put on record if it never runs."""

    work: Callable[[Transaction], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any] | None
    value: Any = None
    error: BaseException | None = None
    effects: Sequence[Callable[[], None]] = ()
    drafts: Sequence[Draft] = ()
    news: Sequence[Item] = ()
    wanted: JournalEntry | None = None

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

    def __init__(
        self,
        *,
        dialect: Dialect,
        chain: Chain,
        clock: SteadyClock,
        ids: Ids,
        asks: bool,
        environment: str = "",
    ) -> None:
        self._dialect = dialect
        self._chain = chain
        self._clock = clock
        self._ids = ids
        self.followers: list[Follower] = []
        self.landing: Landing | None = None
        self._asks = asks
        self._environment = environment
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._closing = False
        self._warned = False
        self._connection: sa.Connection | None = None
        self._unsure: tuple[_Batch, tuple[int, str]] | None = None
        self._stood: list[Unit] = []
        self._refused = Refused()
        self.journal = Journal(wake=lambda: self._queue.put(None), refuse=self.refuse)
        self._thread = threading.Thread(target=self._run, name="interlock-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How many units wait, about."""
        return self._queue.qsize()

    def submit(self, unit: Unit) -> None:
        """Queue a unit. It will run, whether or not anybody still awaits it."""
        if self._closing:
            raise StoreUnavailable("The store is closed.", hint="Open it again.")
        self._queue.put(unit)

    def refuse(self, entry: JournalEntry) -> None:
        """Put on record, once that is possible, that something was refused for want of a store."""
        self._refused.add(_draft(entry))
        if self.journal.failure is None:
            self._queue.put(None)

    def close(self) -> None:
        """Write everything that is queued, then end the thread. Blocks until it has."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            batch = self._gather()
            if batch.units or batch.entries or self._refused or self._unsure:
                written = self._write(batch)
                if self._closing and not written and self._queue.empty():
                    log.error("closed with %d audit entries that could not be written", len(self.journal))
                    break
            elif self._closing:
                break
        self._disconnect()

    def _gather(self) -> _Batch:
        """Wait for work; return all that is there, up to the size of one commit."""
        units: list[Unit] = []
        try:
            first = self._queue.get(timeout=self._patience())
            if first is None and len(self.journal):  # an entry woke us: a unit, or the window's end, is next
                first = self._queue.get(timeout=self._patience())
            while True:
                if first is not None:
                    units.append(first)
                if len(units) >= _UNITS:
                    break
                first = self._queue.get_nowait()
        except queue.Empty:
            pass
        return _Batch(units, self.journal.take(_ENTRIES_BESIDE_UNITS if units else _ENTRIES_ALONE))

    def _patience(self) -> float | None:
        """How long to wait for units before what else there is gets written; None for as long as it takes."""
        if self._closing:
            return 0
        if self.journal.failure is not None:
            return _RETRY
        waiting = len(self.journal)
        if waiting >= _ENOUGH:
            return 0
        return WINDOW if waiting else None

    def _write(self, batch: _Batch) -> bool:
        try:
            self._commit(batch)
        except StoreError as error:
            self._failed(batch, error)
        except Exception as error:
            log.exception("the writer failed")
            self._failed(batch, StoreUnavailable(f"The writer failed: {type(error).__name__}.", hint=_FAULT))
        else:
            self.journal.failure = None
        self.journal.release()
        stood, self._stood = self._stood, []
        _deliver([*stood, *batch.units])
        return self.journal.failure is None

    def _failed(self, batch: _Batch, error: StoreError) -> None:
        pending = self._chain.pending()
        self._chain.forget()
        self._disconnect()
        wanted = [each for unit in batch.units for each in _refused(unit)]
        unsure = [
            Unit(unit.work, unit.loop, None, effects=unit.effects) for unit in batch.units if unit.effects
        ]
        for unit in batch.units:
            unit.error, unit.effects = error, ()
        self.journal.failure = StoreUnavailable(error.message, hint=error.hint)
        if isinstance(error, CommitUnknown) and pending is not None:
            self._unsure = _Batch(unsure, batch.entries), pending
        else:
            self.journal.put_back(batch.entries)
            self._refused.failed(error.message, wanted, units=len(batch.units), now=self._clock.latest)

    def _commit(self, batch: _Batch) -> None:
        committing = False
        try:
            connection = self._connected()
            self._dialect.begin(connection)
            now = self._clock.now(self._dialect.clock(connection) if self._asks else None)
            self._watch_clock()
            self._settle_unsure(connection, batch)
            owed = self._refused.entries()
            drafts = [*owed, *map(_draft, batch.entries)]
            alone = len(batch.units) == 1 and not drafts
            for unit in batch.units:
                self._run_unit(connection, unit, now, alone=alone)
                drafts += unit.drafts
            self._chain.append(connection, drafts, now=now)
            if self._dialect.shared and (news := [each for unit in batch.units for each in unit.news]):
                publish(connection, news, now)
            committing = True
            self._dialect.commit(connection)
        except DBAPIError as error:
            meaning = self._dialect.meaning(error, committing=committing)
            refused = StoreUnavailable(f"The database refused: {type(error.orig).__name__}.", hint=_FAULT)
            raise meaning or refused from error
        self._chain.committed()
        if owed:
            self._refused.recorded(len(owed))

    def _watch_clock(self) -> None:
        """Say once that the clock was set back; time goes on from the latest moment on record."""
        stepped = self._clock.behind > _CLOCK_STEP
        if stepped and not self._warned:
            log.warning(
                "the clock is %d s behind the latest moment on record: was it set back?",
                self._clock.behind // 1_000_000,
            )
        self._warned = stepped

    def _settle_unsure(self, connection: sa.Connection, batch: _Batch) -> None:
        """Learn whether the commit whose answer was lost stands: then memory follows it now, before the rest.

        If not, its entries are written now.
        """
        if self._unsure is not None:
            unsure, head = self._unsure
            if self._chain.stands(connection, head):
                self._stood += unsure.units
            else:
                batch.entries[:0] = unsure.entries
            self._unsure = None

    def _run_unit(self, connection: sa.Connection, unit: Unit, now: int, *, alone: bool) -> None:
        """Run one unit, in a savepoint unless it is `alone`. Raises only what concerns the whole store."""
        transaction = Transaction(
            connection,
            now=now,
            ids=self._ids,
            followers=self.followers,
            landing=self.landing,
            environment=self._environment,
        )
        if not alone:
            self._dialect.command(connection, "SAVEPOINT unit")
        try:
            unit.value = unit.work(transaction)
            unit.drafts = transaction.drafts
            if not alone:
                self._dialect.command(connection, "RELEASE SAVEPOINT unit")
        except Exception as error:
            if isinstance(error, DBAPIError):
                meaning = self._dialect.meaning(error, committing=False)
                if isinstance(meaning, StoreUnavailable):
                    unit.drafts = transaction.drafts
                    raise
                error = meaning or error
            self._undo_unit(connection, alone=alone)
            unit.error, unit.drafts = _raisable(error), ()
            return
        unit.effects, unit.news = transaction.effects, transaction.news

    def _undo_unit(self, connection: sa.Connection, *, alone: bool) -> None:
        if alone:
            self._dialect.command(connection, "ROLLBACK")
            self._dialect.begin(connection)
            return
        self._dialect.command(connection, "ROLLBACK TO SAVEPOINT unit")
        self._dialect.command(connection, "RELEASE SAVEPOINT unit")

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._dialect.writer.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closes the driver's own; there is nothing to roll back by hand
            connection.close()


def _refused(unit: Unit) -> Sequence[Draft]:
    """Return what a unit wanted to record: what it got to say, else what its caller said for it."""
    return unit.drafts or (() if unit.wanted is None else (_draft(unit.wanted),))


def _draft(entry: JournalEntry) -> Draft:
    said = msgspec.structs.astuple(entry)  # in the order of a draft
    try:
        return draft(said[0], said[1:8], said[8])
    except (TypeError, ValueError, OverflowError):
        log.exception("the body of a journaled %s entry is not JSON; it is left out", entry.kind)
        return draft(said[0], said[1:8], {"left_out": "the body could not be encoded"})


def _raisable(error: Exception) -> Exception:
    """A future cannot carry StopIteration."""
    return RuntimeError("a unit of work raised StopIteration") if isinstance(error, StopIteration) else error


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
