"""The one place where SQLite and PostgreSQL differ: connections, clock, bulk insert, and what errors mean.

SQLite: WAL, `synchronous=FULL`, foreign keys, `BEGIN IMMEDIATE` for the writer, `query_only` for readers.
PostgreSQL: psycopg 3, the server's clock, read-only sessions for readers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from interlock.errors import CommitUnknown, SnapshotMoved, StoreError, StoreInUse, StoreUnavailable
from interlock.settings import Settings
from interlock.store.place import keep_private, refuse_network_file_system

if TYPE_CHECKING:
    import psycopg

READERS = 4
_URL_HINT = "Leave INTERLOCK_DATABASE empty for SQLite, or set postgresql://user@host/name."


class Dialect(Protocol):
    """What the writer needs to know about its database."""

    writer: sa.Engine
    readers: sa.Engine
    shared: bool
    """Whether processes on several machines can use it at once."""

    def clock(self, connection: sa.Connection) -> int | None:
        """Return the database's own time in microseconds, or None where the machine's clock is right."""
        ...

    def insert_many(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
        """Insert whole rows in column order, past the statement compiler: the audit log's fast path."""
        ...

    def command(self, connection: sa.Connection, text: str) -> None:
        """Run a statement without parameters or result past the statement compiler: savepoints."""
        ...

    def begin(self, connection: sa.Connection) -> None:
        """Begin the writer's transaction, past SQLAlchemy, for which one transaction goes on for ever."""
        ...

    def commit(self, connection: sa.Connection) -> None:
        """End what `begin` began."""
        ...

    def lock_migrations(self, connection: sa.Connection) -> None:
        """Let no other process migrate until this transaction ends."""
        ...

    def meaning(self, error: DBAPIError, *, committing: bool) -> StoreError | None:
        """Return what an error says about the store; None where it is about the statement."""
        ...


def dialect_of(settings: Settings, *, patience: float, engine: bool = True) -> Dialect:
    """Return the dialect of the configured database. `patience`: seconds to wait for a lock or a connection.

    `engine`: whoever writes is the one engine of the environment. Raises `StoreUnavailable` for a URL that is
    neither, or a place where SQLite must not lie.
    """
    try:
        url = sa.make_url(settings.database_url)
    except ArgumentError:
        raise StoreUnavailable("INTERLOCK_DATABASE is not a database URL.", hint=_URL_HINT) from None
    match url.get_backend_name():
        case "sqlite":
            return Sqlite(url, patience=patience)
        case "postgresql":
            return Postgres(url, environment=settings.environment if engine else "", patience=patience)
        case other:
            raise StoreUnavailable(
                f"The database URL names {other}, which is not supported.",
                hint=_URL_HINT,
            )


class Sqlite:
    """An embedded database file in the data directory."""

    shared = False

    def __init__(self, url: sa.URL, *, patience: float) -> None:
        self.path = Path((url.database or "").removeprefix("file:"))
        self._patience = patience
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_network_file_system(self.path.parent)
        keep_private(self.path)
        self.writer = self._engine(url, NullPool, "BEGIN IMMEDIATE")
        self.readers = self._engine(url, QueuePool, "BEGIN", "PRAGMA query_only = ON")

    def _engine(self, url: sa.URL, pool: type[sa.Pool], begin: str, *pragmas: str) -> sa.Engine:
        size: dict[str, Any] = {"pool_size": READERS} if pool is QueuePool else {}
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
            for size in _ROWS_A_STATEMENT:
                while len(rows) - done >= size:
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
_ROWS_A_STATEMENT = tuple(2048 >> halved for halved in range(12))
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


class Postgres:
    """A PostgreSQL server. With an `environment`, its writer is the one engine of it."""

    shared = True

    def __init__(self, url: sa.URL, *, environment: str, patience: float) -> None:
        if find_spec("psycopg") is None:
            raise StoreUnavailable(
                "The PostgreSQL driver is not installed.", hint="Install interlock[postgres]."
            )
        self._where = url.render_as_string(hide_password=True)
        url = url.set(drivername="postgresql+psycopg")
        common: dict[str, Any] = {"connect_timeout": max(2, int(patience)), "application_name": "interlock"}
        self.writer = sa.create_engine(
            url,
            poolclass=NullPool,
            connect_args={**common, "options": f"-c lock_timeout={int(patience * 1000)}"},
        )

        @event.listens_for(self.writer, "connect")
        def _own(connection: psycopg.Connection, _record: object) -> None:
            if environment:
                self._own(connection, environment)

        self.readers = sa.create_engine(
            url,
            pool_size=READERS,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",  # a reader sees one moment, as on SQLite
            connect_args={**common, "options": "-c default_transaction_read_only=on"},
        )

    def _own(self, connection: psycopg.Connection, environment: str) -> None:
        """Be the one writer of this environment for as long as the connection lasts.

        What another process is executing would look like what a dead one left behind. Waits for a lock
        whose holder has just died. Raises `StoreInUse`.
        """
        import psycopg

        try:
            connection.execute("SELECT pg_advisory_lock(7412, hashtext(%s))", (environment,))
            connection.commit()
        except psycopg.errors.LockNotAvailable as error:
            raise StoreInUse(
                f"Another Interlock serves the environment {environment!r} on {self._where}.",
                hint="Stop it, or give this one a database or an environment of its own.",
            ) from error

    def clock(self, connection: sa.Connection) -> int | None:
        """Ask the server, so that all processes share one clock."""
        return connection.exec_driver_sql(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        ).scalar_one()

    def insert_many(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:
        """Insert whole rows in column order."""
        marks = ",".join(["%s"] * len(table.columns))
        import psycopg

        try:
            cursor: Any = connection.connection.cursor()
            cursor.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
        except psycopg.Error as error:
            raise DBAPIError(
                f"INSERT INTO {table.name}", None, error, connection_invalidated=_lost(error)
            ) from error

    def command(self, connection: sa.Connection, text: str) -> None:
        """Run a statement as it is."""
        import psycopg

        try:
            connection.connection.cursor().execute(text)
        except psycopg.Error as error:
            raise DBAPIError(text, None, error, connection_invalidated=_lost(error)) from error

    def begin(self, connection: sa.Connection) -> None:
        """The first statement does."""

    def commit(self, connection: sa.Connection) -> None:
        """Commit."""
        import psycopg

        driver: Any = connection.connection.dbapi_connection
        try:
            driver.commit()
        except psycopg.Error as error:
            raise DBAPIError("COMMIT", None, error, connection_invalidated=_lost(error)) from error

    def lock_migrations(self, connection: sa.Connection) -> None:
        """Take an advisory lock that the transaction's end gives back."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7411)")

    def meaning(self, error: DBAPIError, *, committing: bool) -> StoreError | None:
        """Read the SQLSTATE and whether the connection still stands."""
        state = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or _lost(error.orig):
            if committing:
                return CommitUnknown(
                    f"The connection to {self._where} was lost while committing.",
                    hint="Read what you wrote before you repeat it.",
                )
            return StoreUnavailable(
                f"The database {self._where} cannot be reached.",
                hint="Check that the server runs and is reachable; Interlock connects again by itself.",
            )
        if state in {"40001", "40P01"}:
            return SnapshotMoved("Another transaction changed the same rows.", hint="Decide anew.")
        said = _POSTGRES.get(state) or _POSTGRES.get(state[:2])
        if said is None:
            return None
        return StoreUnavailable(f"The database {self._where} {said[0]}.", hint=said[1])


_POSTGRES: dict[str, tuple[str, str]] = {
    "25006": ("is read-only", "Point Interlock at the primary server, or end its read-only mode."),
    "55P03": ("is locked by another session", "End the session that holds the lock, then try again."),
    "53": (
        "has run out of space, memory or connections",
        "Free what is short; the store works again by itself, without a restart.",
    ),
    "57": ("is shutting down or starting", "Wait; Interlock connects again by itself."),
    "58": ("has a failing disk", "Check the server's disk."),
    "28": ("refuses this user", "Check the user and password in INTERLOCK_DATABASE."),
    "42501": ("does not let this user do that", "Grant the user its rights on the schema."),
}


def _lost(error: BaseException | None) -> bool:
    state = getattr(error, "sqlstate", None)
    kind = type(error).__name__
    return (state is None and kind in {"OperationalError", "InterfaceError"}) or str(state).startswith(
        ("08", "57P")
    )
