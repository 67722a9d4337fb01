"""The numbered SQL and the tables of the program are the same thing, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from interlock.core.approval import Act, Decider, Kind
from interlock.core.objection import objection
from interlock.store import approvals, deliveries
from interlock.store.migrate import known_migrations, migrate
from interlock.store.schema import metadata
from support.stores import PostgresForTests


@pytest.fixture(params=["sqlite", "postgres"])
def two_databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """Two empty databases of a kind."""
    if request.param == "sqlite":
        urls = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two")]
    else:
        server: PostgresForTests = request.getfixturevalue("postgres_server")
        urls = [server.database(template="template0") for _ in range(2)]
    engines = [sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:")) for url in urls]
    yield engines[0], engines[1]
    for engine in engines:
        engine.dispose()


def described(engine: sa.Engine) -> dict[str, Any]:
    """Everything about every table that a query could notice."""
    seen = sa.inspect(engine)
    return {
        table: {
            "columns": {
                each["name"]: (str(each["type"]), each["nullable"], _default(each["default"]))
                for each in seen.get_columns(table)
            },
            "order": [each["name"] for each in seen.get_columns(table)],
            "key": seen.get_pk_constraint(table)["constrained_columns"],
            "foreign": sorted(
                (each["constrained_columns"], each["referred_table"], each["referred_columns"])
                for each in seen.get_foreign_keys(table)
            ),
            "unique": sorted(each["column_names"] for each in seen.get_unique_constraints(table)),
            "indexes": sorted(
                (str(each["name"]), each["column_names"], bool(each["unique"]))
                for each in seen.get_indexes(table)
            ),
        }
        for table in seen.get_table_names()
        if table != "migrations"
    }


def _default(text: str | None) -> str | None:
    return None if text is None else text.replace("::text", "").replace("false", "0")


def test_the_migrations_make_the_schema(two_databases: tuple[sa.Engine, sa.Engine]) -> None:
    migrated, created = two_databases
    with migrated.begin() as connection:
        assert migrate(connection, now=1) == [each.name for each in known_migrations(migrated.dialect.name)]
    metadata.create_all(created)
    assert described(migrated) == described(created)


def test_migrating_again_does_nothing_and_phases_can_be_told_apart(
    two_databases: tuple[sa.Engine, sa.Engine],
) -> None:
    engine = two_databases[0]
    with engine.begin() as connection:
        assert migrate(connection, now=1, phases=["post"]) == []
        assert migrate(connection, now=1, phases=["pre"]) != []
        assert migrate(connection, now=1) == []


def test_migrations_are_numbered_without_a_gap() -> None:
    for dialect in ("sqlite", "postgresql"):
        numbers = [each.number for each in known_migrations(dialect)]
        assert numbers == list(range(1, len(numbers) + 1))


def migrate_before(connection: sa.Connection, name: str) -> None:
    """Bring a database to the schema that was there before a migration."""
    connection.exec_driver_sql("CREATE TABLE migrations (number BIGINT, name TEXT, at BIGINT)")
    for each in known_migrations(connection.dialect.name):
        if f"{each.phase}_{each.name}" == name:
            return
        for statement in each.statements:
            connection.exec_driver_sql(statement)
        values = {"number": each.number, "name": each.name}
        connection.execute(sa.text("INSERT INTO migrations VALUES (:number, :name, 1)"), values)
    raise AssertionError(f"there is no migration {name}")


_OLD_ACTION = (
    "INSERT INTO actions (id, run, agent, workflow, workflow_version, tool, arguments, digest, state, "
    "effect, tier, verdict, decision, created_at, updated_at, principal) VALUES ('act_1', 'run_1', 'bot', "
    "'orders', 1, 'shop.refund', '{}', 'd', 'waiting_approval', 'once', 'high_blast_radius', "
    "'require_approval', '{}', 1, 1, '{}')"
)
_OLD_APPROVAL = (
    "INSERT INTO approvals (id, action, state, digest, requested_at, expires_at, approvers) "
    "VALUES ('apr_1', 'act_1', 'pending', 'd', 1, 99, '[\"maria\", \"deng\"]')"
)


def test_a_request_of_before_the_stages_is_still_decided_by_whom_it_named(
    two_databases: tuple[sa.Engine, sa.Engine],
) -> None:
    with two_databases[0].begin() as connection:
        migrate_before(connection, "pre_approval_stages")
        connection.execute(sa.text(_OLD_ACTION))
        connection.execute(sa.text(_OLD_APPROVAL))
        migrate(connection, now=2)
        old = approvals.get(connection, "apr_1")
    assert (old.approvers, old.stages, old.needs, old.kind) == (("maria", "deng"), (), 1, Kind.APPROVE)
    for name, may in (("deng", True), ("kim", False)):
        against = objection(old, Act.APPROVE, Decider(name=name), reason="", now=50)
        assert (against is None) == may


_OLD_NOTICE = (
    "INSERT INTO runbooks VALUES ('dev', 'r', 'maria', '{}', '[]', 'none', 1)",
    "INSERT INTO failure_modes VALUES ('dev', 'r', 'budget-soft', 's', 'f', 'e')",
    "INSERT INTO alerts VALUES ('alt_1', 'dev', 'budget.soft', 'r', 'budget-soft', 'ticket', false)",
    "INSERT INTO alert_events VALUES "
    "('evt_1', 'alt_1', 'dev', 'budget.soft', 'workflow:orders', 'day:1', 'ticket', '72', '{}', 1, NULL)",
    "INSERT INTO deliveries VALUES "
    "('dlv_1', 'evt_1', 'dev', 'lee', 'webhook', 'https://a', '', 'queued', 2, 3, 4, 5, NULL, 'HTTP 500')",
    "INSERT INTO delivery_attempts VALUES ('dlv_1', 1, 3, 7, 'failed', 'HTTP 500')",
)


def test_what_was_still_to_be_told_before_outcomes_were_is_told_after(
    two_databases: tuple[sa.Engine, sa.Engine],
) -> None:
    with two_databases[0].connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        migrate_before(connection, "pre_outcomes")
        for statement in _OLD_NOTICE:
            connection.exec_driver_sql(statement)
        migrate(connection, now=2)
        connection.commit()
        (due,) = deliveries.listed(connection, "dev", state="queued")
        assert (due.id, due.event, due.attempts, due.due_at, due.problem) == (
            "dlv_1",
            "evt_1",
            2,
            4,
            "HTTP 500",
        )
        assert [each.detail for each in deliveries.attempts_of(connection, ["dlv_1"])["dlv_1"]] == [
            "HTTP 500"
        ]
        with pytest.raises(IntegrityError):
            connection.exec_driver_sql("DELETE FROM deliveries")
