"""The audit log verifies in the database and from an export, and whoever tampers with it is found out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from interlock.errors import StoreUnavailable, UsageError
from interlock.runtime import Runtime
from interlock.services.checkpoint import checkpoint
from interlock.services.export_audit import export_audit
from interlock.services.verify_audit import Report, verify_database, verify_export
from interlock.settings import Settings
from interlock.store.audit import Filter
from interlock.store.database import Store, Transaction
from interlock.store.schema import audit
from support.stores import a_settings


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return a_settings(tmp_path, database=database_url)


def entry(number: int) -> Callable[[Transaction], None]:
    def work(transaction: Transaction) -> None:
        transaction.audit(
            "t.entry", run=f"run_{number % 2}", tool="t\u00f6ol\x00", body={"n": number, "t": 'ü\n"'}
        )

    return work


async def fill(store: Store, count: int = 10) -> None:
    for number in range(count):
        await store.transact(entry(number))


async def exported(store: Store, settings: Settings, form: str = "jsonl", which: Filter = Filter()) -> bytes:
    pieces = export_audit(store, settings, which=which, form=form, now=0)
    return b"".join([piece async for piece in pieces])


def story(settings: Settings, tell: Callable[[Store], object]) -> None:
    store = Store.open(settings, Runtime.real())
    try:
        asyncio.run(tell(store))  # pyright: ignore[reportArgumentType]
    finally:
        store.close_now()


def tamper(settings: Settings, statement: sa.Executable) -> None:
    url = sa.make_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(statement)
    engine.dispose()


def codes(report: Report) -> set[str]:
    return {flaw.code for flaw in report.flaws}


def test_a_log_over_several_openings_verifies_beside_the_running_store(settings: Settings) -> None:
    story(settings, fill)

    async def second(store: Store) -> None:
        await fill(store)
        report = await asyncio.to_thread(verify_database, settings)
        assert report.ok, report
        assert (report.entries, report.chains, report.since_checkpoint) == (20, 2, 20)

    story(settings, second)


def test_each_way_to_tamper_with_the_database_is_named(settings: Settings) -> None:
    async def checked(store: Store) -> None:
        await fill(store)
        assert await checkpoint(store, settings) is not None

    story(settings, checked)
    good = verify_database(settings)
    assert good.ok, good
    assert (good.checkpoints, good.since_checkpoint) == (1, 1)
    tamper(settings, sa.update(audit).where(audit.c.seq == 3).values(tool="other"))
    report = verify_database(settings)
    assert [(flaw.code, flaw.seq) for flaw in report.flaws] == [("changed", 3)]
    assert report.advice
    tamper(settings, sa.delete(audit).where(audit.c.seq == 5))
    assert codes(verify_database(settings)) == {"changed", "deleted"}
    tamper(settings, sa.delete(audit).where(audit.c.seq >= 5))
    assert codes(verify_database(settings)) == {"changed", "truncated"}


def test_a_log_and_its_heads_cut_back_together_are_found_by_the_checkpoint_elsewhere(
    settings: Settings,
) -> None:
    async def checked(store: Store) -> None:
        await fill(store)
        await checkpoint(store, settings)

    story(settings, checked)
    tamper(settings, sa.delete(audit).where(audit.c.seq > 4))
    tamper(settings, sa.text("DELETE FROM checkpoints"))
    tamper(
        settings,
        sa.text("UPDATE chains SET head_seq = 4, head_mac = (SELECT mac FROM audit WHERE seq = 4)"),
    )
    report = verify_database(settings)
    assert [(flaw.code, flaw.seq) for flaw in report.flaws] == [("truncated", 5)]
    for file in settings.checkpoint_directory.glob("*.jws"):
        file.unlink()
    assert verify_database(settings).ok  # nobody is left who saw more: keep checkpoints elsewhere


def test_a_missing_or_forged_checkpoint_is_found(settings: Settings) -> None:
    async def checked(store: Store) -> None:
        await fill(store)
        await checkpoint(store, settings)
        assert await checkpoint(store, settings) is None

    story(settings, checked)
    (file,) = settings.checkpoint_directory.glob("*.jws")
    token = file.read_text()
    header, payload, signature = token.split(".")
    file.write_text(".".join((header, payload, signature[::-1])))
    assert codes(verify_database(settings)) == {"checkpoint_invalid", "checkpoint_missing"}
    file.write_text(token)
    assert verify_database(settings).ok
    file.unlink()
    tamper(settings, sa.text("DELETE FROM checkpoints"))
    assert codes(verify_database(settings)) == {"checkpoint_missing"}


@pytest.mark.parametrize("form", ["jsonl", "cloudevents"])
def test_an_export_verifies_by_itself_and_a_changed_one_does_not(
    settings: Settings, tmp_path: Path, form: str
) -> None:
    async def export(store: Store) -> None:
        await fill(store, 1_200)
        await checkpoint(store, settings)
        (tmp_path / "export").write_bytes(await exported(store, settings, form))

    story(settings, export)
    file, keys = tmp_path / "export", [settings.data / "keys" / "audit.key"]
    jwks = settings.checkpoint_directory / "jwks.json"
    report = verify_export(file, keys=keys, directory=settings.checkpoint_directory)
    assert report.ok, report
    assert (report.entries, report.checkpoints) == (1_201, 1)
    assert verify_export(file, keys=keys, jwks=jwks).entries == 1_201
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:500], lines[500].replace("t.entry", "t.other"), *lines[501:]]))
    assert codes(verify_export(file, keys=keys, directory=settings.checkpoint_directory)) == {"changed"}
    file.write_text("".join([*lines[:500], *lines[501:]]))
    assert codes(verify_export(file, keys=keys, directory=settings.checkpoint_directory)) == {"deleted"}
    file.write_text("".join(lines[:500]))
    cut_off = verify_export(file, keys=keys, directory=settings.checkpoint_directory)
    assert codes(cut_off) == {"truncated"}
    file.write_text("".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert "reordered" in codes(verify_export(file, keys=keys, directory=settings.checkpoint_directory))
    file.write_text("{}\n")
    with pytest.raises(UsageError, match="line 1 is not a line of an audit export"):
        verify_export(file, keys=keys)


def test_a_wrong_key_is_not_mistaken_for_a_forged_log(settings: Settings, tmp_path: Path) -> None:
    story(settings, fill)
    other = tmp_path / "other.key"
    other.write_text("ab" * 32)
    other.chmod(0o600)
    report = verify_database(settings, keys=[other])
    assert codes(report) == {"key_missing"}
    assert "--key" in report.advice


def test_a_key_that_others_can_read_is_refused(settings: Settings) -> None:
    story(settings, fill)
    key = settings.data / "keys" / "audit.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    with pytest.raises(StoreUnavailable, match="Others can read the audit key"):
        Store.open(settings, Runtime.real())


def test_a_filtered_export_holds_what_was_asked_for_and_says_that_it_is_a_part(
    settings: Settings, tmp_path: Path
) -> None:
    async def export(store: Store) -> None:
        await fill(store)
        part = await exported(store, settings, which=Filter(run="run_1"))
        (tmp_path / "part").write_bytes(part)

    story(settings, export)
    lines = [json.loads(line) for line in (tmp_path / "part").read_text().splitlines()]
    assert [json.loads(line["body"])["n"] for line in lines[1:]] == [1, 3, 5, 7, 9]
    with pytest.raises(UsageError, match=r"is a part of the log .filtered by run"):
        verify_export(tmp_path / "part", keys=[settings.data / "keys" / "audit.key"])


def test_a_cloudevent_has_the_required_attributes(settings: Settings) -> None:
    async def export(store: Store) -> None:
        await fill(store, 1)
        event = json.loads(await exported(store, settings, "cloudevents"))
        assert event["specversion"] == "1.0"
        assert event["type"] == "dev.interlock.audit.t.entry"
        assert event["source"] == "urn:interlock:dev:audit"
        assert event["id"] == f"{event['data']['chain']}/1"
        assert event["subject"] == "run_0"
        assert event["time"].endswith("+00:00")
        with pytest.raises(UsageError, match="no export format"):
            await exported(store, settings, "xml")

    story(settings, export)


def test_a_checkpoint_that_could_not_be_written_elsewhere_is_written_later(settings: Settings) -> None:
    async def tell(store: Store) -> None:
        await fill(store)
        settings.checkpoint_directory.write_text("in the way")
        with pytest.raises(StoreUnavailable, match="checkpoint directory"):
            await checkpoint(store, settings)
        settings.checkpoint_directory.unlink()
        assert await checkpoint(store, settings) is None
        assert len(list(settings.checkpoint_directory.glob("*.jws"))) == 1
        assert (await asyncio.to_thread(verify_database, settings)).ok

    story(settings, tell)
