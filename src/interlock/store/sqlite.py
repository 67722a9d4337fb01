"""SQLite: WAL, `synchronous=FULL`, foreign keys, `BEGIN IMMEDIATE` to write, `query_only` to read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from interlock.errors import CommitUnknown, StoreError, StoreUnavailable
from interlock.store.place import keep_private, refuse_network_file_system


class Sqlite:
    """An embedded database file in the data directory."""

    shared = False

    def __init__(self, url: sa.URL, *, patience: float, readers: int) -> None:
        self.path = Path((url.database or "").removeprefix("file:"))
        self._patience = patience
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_network_file_system(self.path.parent)
        keep_private(self.path)
        self._readers = readers
        self.writer = self._engine(url, NullPool, "BEGIN IMMEDIATE")
        self.readers = self._engine(url, QueuePool, "BEGIN", "PRAGMA query_only = ON")

    def _engine(self, url: sa.URL, pool: type[sa.Pool], begin: str, *pragmas: str) -> sa.Engine:
        size: dict[str, Any] = {"pool_size": self._readers} if pool is QueuePool else {}
        arguments = {"timeout": self._patience, "check_same_thread": False, "isolation_level": None}
        engine = sa.create_engine(url, poolclass=pool, connect_args=arguments, **size)

        @event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _record: object) -> None:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != ("wal",):
                raise StoreUnavailable(
                    f"SQLite cannot use its write-ahead log at {self.path}.",
                    hint="Put the data directory on a local disk.",
                )
            for pragma in ("PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON", *pragmas):
                connection.execute(pragma)

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            if not _driver(connection).in_transaction:
                self.command(connection, begin)

        return engine

    def clock(self, connection: sa.Connection) -> int | None:  # noqa: ARG002
        """The machine's clock is the database's."""
        return None

    def insert_many(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
        """Insert whole rows in column order, as many as possible in each statement.

        Every statement gives up the interpreter lock once and has to win it back from a busy caller, so
        a statement for each row would be some ten times slower. With powers of two there are few.
        """
        driver = _driver(connection)
        done = 0
        try:
            while left := len(rows) - done:
                size = min(_ROWS_A_STATEMENT, 1 << (left.bit_length() - 1))
                statement = _insert(table.name, len(table.columns), size)
                driver.execute(statement, list(chain.from_iterable(rows[done : done + size])))
                done += size
        except sqlite3.Error as error:
            raise DBAPIError(f"INSERT INTO {table.name}", None, error) from error

    def command(self, connection: sa.Connection, text: str) -> None:
        """Run a statement as it is."""
        try:
            _driver(connection).execute(text)
        except sqlite3.Error as error:
            raise DBAPIError(text, None, error) from error

    def begin(self, connection: sa.Connection) -> None:
        """Take the write lock at once."""
        self.command(connection, "BEGIN IMMEDIATE")

    def commit(self, connection: sa.Connection) -> None:
        """Flush to the disk."""
        self.command(connection, "COMMIT")

    def lock_migrations(self, connection: sa.Connection) -> None:
        """BEGIN IMMEDIATE did."""

    def meaning(self, error: DBAPIError, *, committing: bool) -> StoreError | None:
        """Read SQLite's result code."""
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is None:
            return None
        if committing and code in _SYNC_FAILED:
            return CommitUnknown(
                f"The disk failed while {self.path} was being committed.",
                hint="Read what you wrote before you repeat it; check the disk.",
            )
        said = _SQLITE.get(code & 0xFF)
        if said is None:
            return None
        return StoreUnavailable(f"The database {self.path} {said[0]}.", hint=said[1])


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    return connection.connection.dbapi_connection  # pyright: ignore[reportReturnType]


_SYNC_FAILED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_ROWS_A_STATEMENT = 2048
_SQLITE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: (
        "cannot grow: the disk is full",
        "Free space on its disk; the store works again by itself, without a restart.",
    ),
    sqlite3.SQLITE_READONLY: (
        "is read-only",
        "Make the file and its directory writable for this user; the store then works again by itself.",
    ),
    sqlite3.SQLITE_BUSY: (
        "is locked by another program",
        "Close what has it open for writing (a database shell, a backup tool), then try again.",
    ),
    sqlite3.SQLITE_LOCKED: ("is locked", "Try again."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk failed", "Check the disk, then try again."),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "Check that its directory exists and is writable for this user.",
    ),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "Stop the server and restore the data directory from a backup."),
    sqlite3.SQLITE_NOTADB: ("is not a database", "Restore the data directory from a backup."),
    sqlite3.SQLITE_PERM: ("may not be opened", "Make it readable and writable for this user."),
    sqlite3.SQLITE_NOMEM: ("cannot be used: memory ran out", "Free memory, then try again."),
}


@cache
def _insert(table: str, columns: int, rows: int) -> str:
    """Return the statement that inserts so many whole rows at once."""
    marks = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {','.join([marks] * rows)}"
