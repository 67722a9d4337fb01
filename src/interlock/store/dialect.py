"""Where SQLite and PostgreSQL differ: connections, clock, bulk insert, and what errors mean.

`sqlite.py` and `postgres.py` say how; a process loads the one that it uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from interlock.errors import StoreError, StoreUnavailable
from interlock.settings import Settings

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


def dialect_of(settings: Settings, *, patience: float) -> Dialect:
    """Return the dialect of the configured database. `patience`: seconds to wait for a lock or a connection.

    Raises `StoreUnavailable` for a URL that is neither, or a place where SQLite must not lie.
    """
    try:
        url = sa.make_url(settings.database_url)
    except ArgumentError:
        raise StoreUnavailable("INTERLOCK_DATABASE is not a database URL.", hint=_URL_HINT) from None
    match url.get_backend_name():
        case "sqlite":
            from interlock.store.sqlite import Sqlite

            return Sqlite(url, patience=patience, readers=READERS)
        case "postgresql":
            from interlock.store.postgres import Postgres

            return Postgres(url, patience=patience, readers=READERS)
        case other:
            raise StoreUnavailable(
                f"The database URL names {other}, which is not supported.",
                hint=_URL_HINT,
            )
