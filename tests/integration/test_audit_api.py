"""The audit log over HTTP and on the command line: who may read it, filters, exit codes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from typer.testing import CliRunner

from interlock.cli.audit import app as audit_commands
from interlock.errors import InterlockError
from interlock.services.checkpoint import checkpoint
from interlock.settings import Settings
from interlock.store import people
from interlock.store.database import Store
from interlock.store.schema import audit
from interlock.web import audit as web_audit
from interlock.web.errors import on_interlock_error
from support.identity import World, small_world
from support.stores import a_settings

__all__ = ["small_world"]


async def client(world: World, name: str, **terms: Any) -> httpx2.AsyncClient:
    made = await world.store.transact(lambda each: people.add_token(each, name, **terms))
    app = Starlette(routes=web_audit.routes, exception_handlers={InterlockError: on_interlock_error})
    app.state.wired = world.app().state.wired
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://interlock",
        headers={"Authorization": f"Bearer {made.secret}"},
    )


async def record(store: Store, count: int = 3) -> None:
    for number in range(count):
        tool = "crm.lookup" if number % 2 else "crm.note"
        await store.transact(lambda t, n=number, tool=tool: t.audit("seen", tool=tool, body={"n": n}))


def test_entries_are_listed_newest_first_and_filtered(small_world: World) -> None:
    async def story() -> None:
        await record(small_world.store)
        async with await client(small_world, "ada") as api:
            answer = await api.get("/api/v1/audit", params={"kind": "seen", "limit": "2"})
            assert [each["body"]["n"] for each in answer.json()["items"]] == [2, 1]
            answer = await api.get("/api/v1/audit", params={"kind": "seen", "tool": "crm.lookup"})
            assert [each["body"]["n"] for each in answer.json()["items"]] == [1]
            answer = await api.get("/api/v1/audit", params={"kind": "seen", "since": "2999-01-01"})
            assert answer.json()["items"] == []

    asyncio.run(story())


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "since=yesterday", "until=2026-13-01"])
def test_a_filter_that_makes_no_sense_is_said_to(small_world: World, query: str) -> None:
    async def story() -> None:
        async with await client(small_world, "ada") as api:
            answer = await api.get(f"/api/v1/audit?{query}")
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "usage"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/audit/export"),
        ("GET", "/api/v1/audit/verify"),
        ("POST", "/api/v1/audit/checkpoints"),
    ],
)
def test_only_those_who_may_read_everything_may_read_the_log(
    small_world: World, method: str, path: str
) -> None:
    async def story() -> None:
        async with await client(small_world, "maria") as api:
            assert (await api.request(method, path)).status_code == 403
        async with await client(small_world, "otto") as api:
            assert (await api.request(method, path)).is_success

    asyncio.run(story())


def test_the_server_exports_checkpoints_and_verifies_its_log(small_world: World) -> None:
    async def story() -> None:
        await record(small_world.store)
        async with await client(small_world, "ada") as api:
            taken = (await api.post("/api/v1/audit/checkpoints")).json()
            assert taken["checkpoint"]["heads"]
            assert (await api.post("/api/v1/audit/checkpoints")).json()["checkpoint"] is None
            lines = (await api.get("/api/v1/audit/export")).text.splitlines()
            assert json.loads(lines[0])["interlock_audit"] == 1
            assert [json.loads(line)["kind"] for line in lines[1:]].count("seen") == 3
            assert (await api.get("/api/v1/audit/export?format=xml")).status_code == 400
            report = (await api.get("/api/v1/audit/verify")).json()
            assert report["ok"]
            assert report["checkpoints"] == 1

    asyncio.run(story())


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_store: Store) -> Settings:
    """A log with a checkpoint, in the data directory that commands use."""
    settings = a_settings(tmp_path)
    asyncio.run(record(sqlite_store))
    asyncio.run(_checkpointed(sqlite_store, settings))
    monkeypatch.setenv("INTERLOCK_DATA", str(settings.data))
    return settings


async def _checkpointed(store: Store, settings: Settings) -> None:
    await checkpoint(store, settings)


def test_verify_needs_no_server_and_its_exit_code_is_for_scripts(log: Settings) -> None:
    good = CliRunner().invoke(audit_commands, ["verify"])
    assert (good.exit_code, "The audit log verifies" in good.stdout) == (0, True)
    engine = sa.create_engine(log.database_url)
    with engine.begin() as connection:
        connection.execute(sa.update(audit).where(audit.c.seq == 2).values(tool="other"))
    engine.dispose()
    bad = CliRunner().invoke(audit_commands, ["verify", "--json"])
    report = json.loads(bad.stdout)
    assert bad.exit_code == 1
    assert [(flaw["code"], flaw["seq"]) for flaw in report["flaws"]] == [("changed", 2)]
    told = CliRunner().invoke(audit_commands, ["verify"])
    assert told.exit_code == 1
    assert "does NOT verify" in told.stdout
    assert "entry 2 is not as written" in told.stdout
    assert "compare with the last export" in told.stdout
