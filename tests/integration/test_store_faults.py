"""Full, read-only, locked, gone: each says what to do, loses nothing, and heals without a restart."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from interlock.errors import CommitUnknown, StateConflict, StoreError, StoreInUse, StoreUnavailable
from interlock.runtime import Runtime, TimeOrderedIds
from interlock.services.verify_audit import verify_database
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.place import file_system_of, refuse_network_file_system
from interlock.store.schema import audit, timers
from interlock.testing.clock import FixedClock
from support.proxies import Proxy
from support.sources import TESTS, with_sources
from support.stores import FULL, ROOM, PostgresForTests, WriterPragma, a_settings


def put(ref: str, size: int = 0) -> Callable[[Transaction], str]:
    def work(transaction: Transaction) -> str:
        transaction.audit("timer.set", tool=ref, body={"filler": "x" * size})
        transaction.execute(sa.insert(timers).values(kind="t", ref=ref, due_at=transaction.now))
        return ref

    return work


def an_entry(number: int) -> JournalEntry:
    return JournalEntry(at=1_000 + number, kind="action.decided", body={"n": number}, tool="crm.lookup")


async def refs(store: Store) -> list[str]:
    return await store.read(lambda c: sorted(c.execute(sa.select(timers.c.ref)).scalars()))


async def kinds(store: Store) -> list[str]:
    return await store.read(
        lambda c: list(c.execute(sa.select(audit.c.kind).order_by(audit.c.seq)).scalars())
    )


async def eventually(ask: Callable[[], Any], expected: object) -> None:
    for _ in range(100):
        if await ask() == expected:
            return
        await asyncio.sleep(0.05)
    assert await ask() == expected


class Disk:
    """A SQLite store's database cannot grow for as long as `full` is set: SQLite calls the disk full."""

    def __init__(self, store: Store) -> None:
        self._pragma = WriterPragma(store)

    @property
    def full(self) -> bool:
        """Whether it is."""
        return self._full

    @full.setter
    def full(self, full: bool) -> None:
        self._full = full
        self._pragma.set(FULL if full else ROOM)


def test_a_full_disk_refuses_writes_reads_go_on_and_room_heals_it(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    store = Store.open(settings, Runtime.real())
    disk = Disk(store)

    async def story() -> None:
        await store.transact(put("before"))
        disk.full = True
        with pytest.raises(StoreUnavailable, match="disk is full") as told:
            await store.transact(put("lost", size=200_000))
        assert "without a restart" in told.value.hint
        assert await refs(store) == ["before"]
        disk.full = False
        await store.transact(put("after", size=200_000))
        assert await refs(store) == ["after", "before"]
        await eventually(
            lambda: kinds(store), ["timer.set", "store.unavailable", "store.refused", "timer.set"]
        )

    asyncio.run(story())
    store.close_now()
    assert verify_database(settings).ok


def test_decisions_are_kept_up_to_the_bound_then_refused_and_all_of_it_is_on_record_later(
    tmp_path: Path,
) -> None:
    settings = a_settings(tmp_path)
    store = Store.open(settings, Runtime.real())
    disk = Disk(store)
    store._writer.journal._bound = 50

    async def story() -> None:
        await store.transact(put("before"))
        disk.full = True
        with pytest.raises(StoreUnavailable):
            await store.transact(put("lost", size=200_000))
        kept, messages = 0, set[str]()
        for number in range(60):
            entry = JournalEntry(at=number, kind="action.decided", body={"filler": "y" * 5_000})
            try:
                store._writer.journal.put_nowait(entry)
                kept += 1
            except StoreUnavailable as refused:
                messages.add(refused.message)
        assert kept == 50
        assert ["disk is full" in message for message in messages] == [True]
        store.remember_refusal(an_entry(99))
        with pytest.raises(StoreUnavailable):
            await store.journal(an_entry(100))
        disk.full = False

        async def counts() -> tuple[int, int]:
            seen = await kinds(store)
            return seen.count("action.decided"), seen.count("store.refused")

        await eventually(counts, (50, 13))
        await store.transact(put("after"))

    asyncio.run(story())
    store.close_now()
    assert verify_database(settings).ok


def test_a_locked_database_is_waited_for_then_refused_and_works_again(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    store = Store.open(settings, Runtime.real(), patience=0.2)
    shell = sqlite3.connect(settings.data / "control.db", isolation_level=None)

    async def story() -> None:
        await store.transact(put("before"))
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            await store.transact(put("lost"))
        assert await refs(store) == ["before"]
        shell.execute("COMMIT")
        await store.transact(put("after"))
        assert await refs(store) == ["after", "before"]

    asyncio.run(story())
    shell.close()
    store.close_now()


def test_the_event_loop_runs_on_while_the_database_is_locked(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    store = Store.open(settings, Runtime.real(), patience=0.5)
    shell = sqlite3.connect(settings.data / "control.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")

    async def story() -> int:
        waiting = asyncio.ensure_future(store.transact(put("lost")))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(StoreUnavailable):
            waiting.result()
        return turns

    assert asyncio.run(story()) > 10
    shell.close()
    store.close_now()


def test_a_read_only_database_is_refused_and_can_be_verified(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    store = Store.open(settings, Runtime.real())
    asyncio.run(store.transact(put("before")))
    store.close_now()
    path = settings.data / "control.db"
    read_only = a_settings(tmp_path, database=f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(StoreUnavailable, match="is read-only") as told:
        Store.open(read_only, Runtime.real())
    assert "writable" in told.value.hint
    assert verify_database(read_only).ok


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    settings.data.mkdir()
    (settings.data / "control.db").write_bytes(b"no database at all, but long enough to be read as one" * 50)
    with pytest.raises(StoreUnavailable, match="is not a database") as told:
        Store.open(settings, Runtime.real())
    assert "backup" in told.value.hint
    Store.open(a_settings(tmp_path / "other"), Runtime.real()).close_now()


def test_a_disk_quota_met_by_a_real_write_is_refused_and_the_process_goes_on(tmp_path: Path) -> None:
    program = """
import asyncio, resource, sys
from pathlib import Path
from interlock.errors import StoreError
from interlock.runtime import Runtime
from support.stores import a_settings
from interlock.store.database import Store
from interlock.services.verify_audit import verify_database

settings = a_settings(Path(sys.argv[1]))
store = Store.open(settings, Runtime.real())
big = lambda t: t.audit("t", body={"filler": "x" * 300_000})

async def main():
    await store.transact(big)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, resource.RLIM_INFINITY))
    try:
        for _ in range(5):
            await store.transact(big)
    except StoreError as error:
        print(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.transact(big)

asyncio.run(main())
store.close_now()
report = verify_database(settings)
print(report.ok, report.flaws)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
        env=with_sources(),
    )
    assert done.stdout.splitlines() == ["store_unavailable", "True ()"], done.stderr


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    store = Store.open(a_settings(tmp_path), Runtime.real())
    with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}"):
        Store.open(a_settings(tmp_path), Runtime.real())
    store.close_now()
    Store.open(a_settings(tmp_path), Runtime.real()).close_now()


def test_a_network_file_system_is_refused() -> None:
    mounts = (
        "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
        "40 22 0:35 / /srv/with\\040blank rw - nfs4 server:/x rw\n"
        "41 22 0:36 / /srv/with\\040blank/local rw shared:1 - xfs /dev/sdb rw\n"
        "42 22 0:37 / /home/me/far rw - fuse.sshfs me@far: rw\n"
    )
    with pytest.raises(StoreUnavailable, match=r"network file system \(nfs4\)") as told:
        refuse_network_file_system(Path("/srv/with blank/data"), mounts=mounts)
    assert "PostgreSQL" in told.value.hint
    with pytest.raises(StoreUnavailable, match=r"fuse\.sshfs"):
        refuse_network_file_system(Path("/home/me/far/data"), mounts=mounts)
    assert file_system_of(Path("/srv/with blank/local/data"), mounts) == "xfs"
    assert file_system_of(Path("/srv/with blanker"), mounts) == "ext4"
    refuse_network_file_system(Path("/srv/data"), mounts=mounts)
    refuse_network_file_system(Path("/srv/data"), mounts="")


def test_a_newer_database_is_refused_with_what_to_do(tmp_path: Path, database_url: str) -> None:
    settings = a_settings(tmp_path, database=database_url)

    async def written_by_a_newer_program() -> None:
        store = Store.open(settings, Runtime.real())
        await store.transact(
            lambda t: t.connection.exec_driver_sql("INSERT INTO migrations VALUES (9999, 'later', 0)")
        )
        await store.close()

    asyncio.run(written_by_a_newer_program())
    with pytest.raises(StoreUnavailable, match="newer Interlock wrote this database") as told:
        Store.open(settings, Runtime.real())
    assert "Upgrade" in told.value.hint


def test_time_never_steps_back_even_across_a_restart(tmp_path: Path) -> None:
    clock = FixedClock()
    runtime = Runtime(clock=clock, ids=TimeOrderedIds(clock), scheduler=Runtime.real().scheduler)
    seen: list[int] = []

    def note(transaction: Transaction) -> None:
        transaction.audit("t", body={})
        seen.append(transaction.now)

    start = clock.now()
    for step in (start, start + 5_000_000, start - 3_600_000_000, start + 6_000_000):
        clock.step_to(step)
        store = Store.open(a_settings(tmp_path), runtime)
        asyncio.run(store.transact(note))
        clock.advance(0.5)
        asyncio.run(store.transact(note))
        store.close_now()
    assert seen == sorted(seen)
    assert seen[5] - seen[4] == 500_000  # an hour behind, time goes on at the monotonic clock's pace
    assert seen[6] == start + 6_000_000


def test_a_failing_effect_reaches_its_own_caller_and_no_other(sqlite_store: Store) -> None:
    def bad(transaction: Transaction) -> None:
        transaction.on_commit(lambda: (_ for _ in ()).throw(ValueError("effect")))

    async def story() -> None:
        outcomes = await asyncio.gather(
            sqlite_store.transact(bad), sqlite_store.transact(put("fine")), return_exceptions=True
        )
        assert isinstance(outcomes[0], ValueError)
        assert outcomes[1] == "fine"

    asyncio.run(story())


def test_a_unit_whose_caller_gave_up_is_carried_out(sqlite_store: Store) -> None:
    async def story() -> None:
        given_up = asyncio.ensure_future(sqlite_store.transact(put("done")))
        await asyncio.sleep(0)
        given_up.cancel()
        await sqlite_store.transact(put("next"))
        assert await refs(sqlite_store) == ["done", "next"]

    asyncio.run(story())


def test_a_reader_cannot_write(store: Store) -> None:
    async def story() -> None:
        with pytest.raises((StoreError, sa.exc.DBAPIError)):  # pyright: ignore[reportAttributeAccessIssue]
            await store.read(lambda c: c.execute(sa.insert(timers).values(kind="t", ref="x", due_at=0)))
        assert await refs(store) == []

    asyncio.run(story())


def test_a_refusal_that_comes_after_the_store_is_back_is_on_record_at_once(store: Store) -> None:
    async def story() -> None:
        store.remember_refusal(an_entry(1))
        await eventually(lambda: kinds(store), ["store.unavailable", "store.refused"])
        await store.transact(put("after"))
        assert await kinds(store) == ["store.unavailable", "store.refused", "timer.set"]

    asyncio.run(story())


def test_a_journaled_unit_of_work_is_carried_out(store: Store) -> None:
    async def story() -> None:
        await store.journal(lambda transaction: transaction.audit("counted", body={}))
        await eventually(lambda: kinds(store), ["counted"])

    asyncio.run(story())


def test_what_cannot_be_encoded_or_stored_as_it_is_does_not_stop_the_log(store: Store) -> None:
    async def story() -> None:
        store.offer(JournalEntry(at=1, kind="odd", body={"value": object()}, tool="a\0b\ud800" + "c" * 900))
        store.offer(an_entry(1))
        await eventually(lambda: kinds(store), ["odd", "action.decided"])
        tool = await store.read(
            lambda c: c.execute(sa.select(audit.c.tool).where(audit.c.kind == "odd")).scalar()
        )
        assert tool is not None
        assert tool.startswith("a\ufffdb?c")
        assert len(tool) == 512

    asyncio.run(story())


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        store = Store.open(a_settings(tmp_path), Runtime.real())
        store.offer(an_entry(1))
        await store.close()
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.transact(put("x"))
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.read(lambda c: c.exec_driver_sql("SELECT 1").scalar())

    asyncio.run(story())
    assert verify_database(a_settings(tmp_path)).entries == 1


@pytest.mark.parametrize(("when", "stands"), [("before", False), ("after", True)])
def test_a_connection_lost_in_commit_is_unknown_and_the_chain_goes_on(
    tmp_path: Path, proxied: tuple[Proxy, str], when: str, stands: bool
) -> None:
    proxy, url = proxied
    settings = a_settings(tmp_path, database=url)
    store = Store.open(settings, Runtime.real())

    async def story() -> None:
        await store.transact(put("before"))
        store.offer(an_entry(1))
        proxy.cut_at_commit = when
        with pytest.raises(CommitUnknown, match="lost while committing") as told:
            await store.transact(put("unknown"))
        assert "Read" in told.value.hint
        await store.transact(put("after"))
        assert ("unknown" in await refs(store)) is stands
        assert (await kinds(store)).count("action.decided") == 1

    asyncio.run(story())
    store.close_now()
    assert verify_database(settings).ok


def test_a_database_server_that_does_not_answer_is_said_to_be_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/interlock"
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            Store.open(a_settings(tmp_path, database=url), Runtime.real(), patience=1)


def test_a_postgres_restart_is_survived_without_one_of_ours(
    tmp_path: Path, postgres_server: PostgresForTests, postgres_url: str
) -> None:
    server = postgres_server.server
    settings = a_settings(tmp_path, database=postgres_url)
    store = Store.open(settings, Runtime.real(), patience=1)

    async def story() -> None:
        await store.transact(put("before"))
        await asyncio.to_thread(server.stop)
        try:
            with pytest.raises(StoreUnavailable, match=r"cannot be reached|shutting down") as told:
                await store.transact(put("during"))
            assert "by itself" in told.value.hint
            with pytest.raises(StoreUnavailable):
                await store.read(lambda c: c.exec_driver_sql("SELECT 1").scalar())
        finally:
            server.ensure_postgres_running()
        await store.transact(put("after"))
        assert await refs(store) == ["after", "before"]
        assert "store.unavailable" in await kinds(store)

    asyncio.run(story())
    store.close_now()
    assert verify_database(settings).ok


def test_a_unit_that_conflicts_with_another_session_is_to_be_decided_anew(
    tmp_path: Path, postgres_url: str
) -> None:
    store = Store.open(a_settings(tmp_path, database=postgres_url), Runtime.real(), patience=0.5)

    async def story() -> None:
        await store.transact(put("row"))
        with psycopg.connect(postgres_url) as other:
            other.execute("UPDATE timers SET due_at = 1 WHERE ref = 'row'")
            with pytest.raises(StoreUnavailable, match="locked by another session"):
                await store.transact(lambda t: t.execute(sa.update(timers).values(due_at=2)))
        with pytest.raises(StateConflict):
            await store.transact(lambda t: (_ for _ in ()).throw(StateConflict("no")))

    asyncio.run(story())
    store.close_now()
