"""PostgreSQL: psycopg 3, the server's clock, read-only sessions for readers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from interlock.errors import CommitUnknown, SnapshotMoved, StoreError, StoreUnavailable

_IDLE = 10_000
"""Milliseconds after which the server ends a transaction of a process that stands still: others may wait."""


class Postgres:
    """A PostgreSQL server, which several processes may use at once."""

    shared = True

    def __init__(self, url: sa.URL, *, patience: float, readers: int) -> None:
        if find_spec("psycopg") is None:
            raise StoreUnavailable(
                "The PostgreSQL driver is not installed.", hint="Install interlock[postgres]."
            )
        self._where = url.render_as_string(hide_password=True)
        url = url.set(drivername="postgresql+psycopg")
        common: dict[str, Any] = {
            "connect_timeout": max(2, int(patience)),
            "application_name": "interlock",
            "client_encoding": "utf8",
        }
        self.writer = sa.create_engine(
            url,
            poolclass=NullPool,
            connect_args={
                **common,
                "options": f"-c lock_timeout={int(patience * 1000)}"
                f" -c idle_in_transaction_session_timeout={_IDLE}",
            },
        )

        self.readers = sa.create_engine(
            url,
            pool_size=readers,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",  # a reader sees one moment, as on SQLite
            connect_args={**common, "options": "-c default_transaction_read_only=on"},
        )
        from interlock.store.postgres_text import take_any_text

        for each in (self.writer, self.readers):
            take_any_text(each)

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


_GONE = frozenset({"OperationalError", "InterfaceError", "ConnectionTimeout"})


def _lost(error: BaseException | None) -> bool:
    state = getattr(error, "sqlstate", None)
    kind = type(error).__name__
    return (state is None and kind in _GONE) or str(state).startswith(("08", "57P", "25P03"))
