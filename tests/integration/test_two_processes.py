"""Who owns the writer and the audit chain: two processes, kill -9, nothing acknowledged is lost.

On SQLite the second process is refused while the first lives. On PostgreSQL both write, each its own chain.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from interlock.services.verify_audit import verify_database
from interlock.settings import Settings
from interlock.store.audit import audit_key
from interlock.store.database import open_reader
from interlock.store.schema import audit, timers
from support.sources import TESTS, with_sources
from support.stores import a_settings

ROUNDS = 5


class Writing:
    """A writing process and what it said."""

    def __init__(self, settings: Settings, name: str) -> None:
        program = str(TESTS / "support" / "writer_process.py")
        self.process = subprocess.Popen(
            [sys.executable, program, str(settings.data), settings.database, name, settings.environment],
            env=with_sources(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout
        self.first = self.said.readline().strip()

    def wait_for_acks(self, number: int) -> list[str]:
        """Read until so many commits are acknowledged."""
        return [self.said.readline().split()[1] for _ in range(number)]

    def kill(self) -> list[str]:
        """Kill -9; return what was acknowledged and not read yet. A torn last line was never said."""
        self.process.kill()
        rest = self.said.read()
        self.process.wait()
        self.said.close()
        whole = rest[: rest.rfind("\n") + 1]
        return [line.split()[1] for line in whole.splitlines()]


@contextmanager
def writing(settings: Settings, name: str) -> Generator[Writing]:
    child = Writing(settings, name)
    try:
        yield child
    finally:
        if child.process.poll() is None:
            child.kill()


def written(settings: Settings) -> tuple[set[str], set[str]]:
    with open_reader(settings) as connection:
        rows = set(connection.execute(sa.select(timers.c.ref)).scalars())
        entries = set(connection.execute(sa.select(audit.c.tool).where(audit.c.kind == "written")).scalars())
    return rows, entries


def test_the_second_process_waits_its_turn_and_finds_every_acknowledged_commit(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    acknowledged: set[str] = set()
    chance = random.Random()
    for turn in range(ROUNDS):
        with writing(settings, f"p{turn}") as first:
            assert first.first == "ready"
            acknowledged.update(first.wait_for_acks(chance.randint(1, 60)))
            if turn == 0:
                with writing(settings, "second") as second:
                    owner = f"in use by process {first.process.pid}."
                    assert second.first == f"refused The data directory {settings.data} is {owner}"
            time.sleep(chance.uniform(0, 0.1))
            acknowledged.update(first.kill())
        rows, entries = written(settings)
        assert acknowledged <= rows
        assert rows == entries, "a row without its audit entry, or the other way round"
        report = verify_database(settings)
        assert report.ok, report
        assert report.chains == turn + 1


def test_two_processes_write_to_postgres_each_its_own_chain_and_one_is_killed(
    tmp_path: Path, postgres_url: str
) -> None:
    one = a_settings(tmp_path / "one", database=postgres_url, environment="staging")
    other = a_settings(tmp_path / "other", database=postgres_url, environment="dev")
    audit_key(one.data)
    audit_key(other.data)
    chance = random.Random()
    acknowledged: set[str] = set()
    with writing(one, "steady") as steady:
        assert steady.first == "ready"
        for turn in range(3):
            with writing(other, f"killed{turn}") as killed:
                assert killed.first == "ready"
                acknowledged.update(killed.wait_for_acks(chance.randint(1, 60)))
                acknowledged.update(steady.wait_for_acks(5))
                time.sleep(chance.uniform(0, 0.1))
                acknowledged.update(killed.kill())
        acknowledged.update(steady.wait_for_acks(5))
        acknowledged.update(steady.kill())
    settle = time.monotonic() + 5  # a server finishes the COMMIT of a client that is gone
    keys = [each.data / "keys" / "audit.key" for each in (one, other)]
    while not (report := verify_database(one, keys=keys)).ok and time.monotonic() < settle:
        time.sleep(0.1)
    assert report.ok, report
    assert report.chains == 4
    rows, entries = written(one)
    assert acknowledged <= rows
    assert rows == entries
    assert {flaw.code for flaw in verify_database(one).flaws} == {"key_missing"}


def test_processes_of_one_environment_write_side_by_side_on_postgres(
    tmp_path: Path, postgres_url: str
) -> None:
    one = a_settings(tmp_path / "one", database=postgres_url)
    other = a_settings(tmp_path / "other", database=postgres_url)
    with writing(one, "first") as first, writing(other, "second") as second:
        assert (first.first, second.first) == ("ready", "ready")
        acknowledged = {*first.wait_for_acks(5), *second.wait_for_acks(5), *first.kill(), *second.kill()}
    rows, _ = written(one)
    assert acknowledged <= rows


@pytest.mark.parametrize(
    "damage", ["DELETE FROM audit WHERE seq = 2", "UPDATE audit SET at = at + 1 WHERE seq = 2"]
)
def test_the_chain_of_a_killed_process_is_as_hard_to_change_as_any(tmp_path: Path, damage: str) -> None:
    settings = a_settings(tmp_path)
    with writing(settings, "killed") as child:
        child.wait_for_acks(5)
        child.kill()
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(damage)
    engine.dispose()
    assert not verify_database(settings).ok
