"""Bad input and bad days through the whole gateway: a clear answer, on record, and nothing lost.

Real sockets, real tool servers, real databases that are full, locked or read-only while calls are in flight.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import sqlalchemy as sa

from interlock.core.document.kind import AnyDocument
from interlock.core.document.tool import Companion, Tool
from interlock.core.model import EffectClass, RiskTier
from interlock.services.verify_audit import verify_database
from interlock.store.schema import actions, audit
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop
from support.rpc import Wire, said
from support.stores import PostgresForTests, WriterPragma

Story = Callable[[Gateway, Wire], Awaitable[None]]


def a_write(name: str) -> Tool:
    """A tool that writes without asking anybody."""
    read = a_tool(name)
    return Tool(
        name=name,
        tier=RiskTier.LIMITED_WRITE,
        effect=EffectClass.ONCE,
        blast_radius=read.blast_radius,
        undo=Companion(tool="shop.echo", arguments={}),
    )


DOCUMENTS: tuple[AnyDocument, ...] = a_manifest(
    [workshop("shop")],
    [
        a_tool("shop.echo"),
        *(a_write(f"shop.{name}") for name in ("count", "slow", "die", "flood", "lie", "liar")),
    ],
)


def play(data: Path, story: Story, **settings: Any) -> None:
    async def run() -> None:
        known = {"inline_wait": 0, "call_timeout": 5, "max_body": 100_000, **settings}
        async with (
            a_gateway(DOCUMENTS, data, **known) as gateway,
            httpx2.AsyncClient(timeout=60, verify=False) as http,
        ):
            await story(gateway, Wire(http=http, url=gateway.url, token=await gateway.token()))

    asyncio.run(run())


async def record(gateway: Gateway) -> list[Any]:
    """Return the audit log, oldest first."""
    query = sa.select(audit).order_by(audit.c.at, audit.c.seq)
    return await gateway.wired.store.read(lambda connection: list(connection.execute(query).all()))


async def comes_true(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return what `ask` returns as soon as it is true."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if found := await ask():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come true in time")


MALFORMED = {
    "not json": b"{not json",
    "nothing": b"",
    "not an object": b"[]",
    "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]',
    "no version": b'{"id":1,"method":"tools/list"}',
    "another version": b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}',
    "no method": b'{"jsonrpc":"2.0","id":1}',
    "a method that is no text": b'{"jsonrpc":"2.0","id":1,"method":7}',
    "an id that is no id": b'{"jsonrpc":"2.0","id":{"a":1},"method":"tools/list"}',
    "params that are no object": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"x"}',
    "a key twice": b'{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}',
    "a method twice": b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}',
    "not utf-8": b'{"jsonrpc":"2.0","id":1,"method":"tools/\xff"}',
    "deep": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b'{"a":' * 90 + b"1" + b"}" * 91,
    "very deep": b"[" * 90_000,
    "a long number": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":' + b"9" * 9_000 + b"}}",
    "a number beyond all": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":1e999}}',
    "a lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}',
    "too large": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":"' + b"x" * 200_000 + b'"}}',
}


def test_what_is_no_request_gets_an_error_that_says_why_and_is_on_record(tmp_path: Path) -> None:
    async def story(gateway: Gateway, wire: Wire) -> None:
        for name, body in MALFORMED.items():
            answer = await wire.post(body, mcp_method="tools/call", mcp_name="count")
            assert 400 <= answer.status_code < 500, name
            assert len(answer.json()["error"]["message"]) > 20, (name, answer.text)
            assert b"Traceback" not in answer.content, name

        async def all_on_record() -> bool:
            kinds = [each.kind for each in await record(gateway)]
            return kinds.count("request.refused") == len(MALFORMED)

        await comes_true(all_on_record)
        assert said(await wire.call("count")) == "1"

    play(tmp_path / "d", story)


def test_ten_megabytes_of_arguments_are_refused_before_they_are_read(tmp_path: Path) -> None:
    async def story(gateway: Gateway, wire: Wire) -> None:
        answer = await wire.call_raw("count", json.dumps({"filler": "x" * 10_000_000}))
        assert answer.status_code == 413
        assert "larger than 4194304 bytes. Send less at once." in answer.json()["error"]["message"]

        async def chunks() -> AsyncGenerator[bytes]:
            for _ in range(200):
                yield b"x" * 50_000

        streamed = await wire.http.post(
            wire.url, content=chunks(), headers={"authorization": f"Bearer {wire.token}"}
        )
        assert streamed.status_code == 413

        async def on_record() -> bool:
            bodies = [each.body for each in await record(gateway) if each.kind == "request.refused"]
            return [json.loads(each)["code"] for each in bodies] == ["too_large", "too_large"]

        await comes_true(on_record)
        assert said(await wire.call("count")) == "1"

    play(tmp_path / "d", story, max_body=4 * 1024 * 1024)


def test_an_unknown_tool_is_refused_and_named_on_record_within_bounds(tmp_path: Path) -> None:
    names = ["nope", "shop.nope", "shop__nope", "../../etc/passwd", "a\nb\x1b[2J", "n" * 60_000, "", "écho"]

    async def story(gateway: Gateway, wire: Wire) -> None:
        for name in names:
            body = {"name": name, "arguments": {"secret": "hunter2"}}
            headers = {} if not name.isascii() or "\n" in name or not name else {"mcp_name": name[:4_000]}
            answer = (await wire.ask("tools/call", body, **headers)) if len(name) < 4_000 else None
            if answer is None:
                async with gateway.client(wire.token, mode="legacy") as client:
                    result = await client.call_tool(name, {"secret": "hunter2"})
                    assert result.is_error
            elif "result" in answer:
                assert answer["result"]["isError"], name
                assert "Denied" in said(answer["result"]), name
            else:
                assert len(answer["error"]["message"]) > 10, name

        async def on_record() -> list[Any]:
            found = [each for each in await record(gateway) if each.kind == "call.denied"]
            return found if len(found) >= 4 else []

        denied = await comes_true(on_record)
        assert {"nope", "shop.nope"} <= {each.tool for each in denied}
        assert all(len(each.tool) <= 300 for each in denied)
        assert "hunter2" not in str(await record(gateway))

    play(tmp_path / "d", story, max_body=1_000_000)


def test_a_bad_token_is_refused_with_the_way_to_a_good_one_and_on_record(tmp_path: Path) -> None:
    async def foreign() -> str:
        async with a_gateway(DOCUMENTS, tmp_path / "other", environment="staging") as staging:
            return await staging.token()

    stranger = asyncio.run(foreign())

    async def story(gateway: Gateway, wire: Wire) -> None:
        head, claims, signature = wire.token.split(".")
        tokens = [
            stranger,
            f"{head}.{claims}.{'A' * len(signature)}",
            f"{head}.{claims}.",
            "no token",
            "ilk_personal",
        ]
        tokens += [f"{head}.{stranger.split('.')[1]}.{signature}"]
        for token in tokens:
            answer = await Wire(http=wire.http, url=wire.url, token=token).call_raw("count", "{}")
            assert answer.status_code == 401, token[:20]
            assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
            assert "run token" in answer.json()["error"]["message"]
            assert token not in answer.text

        async def on_record() -> bool:
            kinds = [each.kind for each in await record(gateway)]
            return kinds.count("token.refused") == len(tokens)

        await comes_true(on_record)
        whole = str(await record(gateway))
        assert not [each for each in tokens[:4] if each in whole and len(each) > 3]
        assert said(await wire.call("count")) == "1"

    play(tmp_path / "d", story)


def test_a_tool_server_that_misbehaves_leaves_a_doubt_or_an_error_and_is_never_called_again(
    tmp_path: Path,
) -> None:
    async def story(gateway: Gateway, wire: Wire) -> None:
        for tool, seconds in {"slow": 60, "die": 0, "flood": 0}.items():
            result = await wire.call(tool, seconds=seconds)
            assert result["isError"], tool
            assert "Do not call it again" in said(result), tool

            async def back() -> bool:
                return said(await wire.call("echo", text="back")) == "back"

            await comes_true(back)
        for tool in ("lie", "liar"):
            answer = (await wire.call_raw(tool, "{}")).json()
            told = answer["error"]["message"] if "error" in answer else said(answer["result"])
            assert len(told) > 20, answer
        rows = await gateway.wired.store.read(lambda c: c.execute(sa.select(actions)).all())
        states = {(each.tool, json.loads(each.arguments).get("seconds")): each.state for each in rows}
        assert {states["shop.slow", 60], states["shop.die", 0], states["shop.flood", 0]} == {"in_doubt"}
        assert {states["shop.lie", None], states["shop.liar", None]} <= {"failed", "in_doubt"}
        kinds = [each.kind for each in await record(gateway)]
        assert kinds.count("action.in_doubt") >= 3
        assert said(await wire.call("echo", text="still here")) == "still here"

    play(tmp_path / "d", story, call_timeout=4)  # a busy machine answers the honest calls within that


class Trouble:
    """Ways in which a real database refuses writes, from outside of Interlock."""

    def __init__(self, gateway: Gateway, postgres: PostgresForTests | None, url: str) -> None:
        self.settings = gateway.wired.settings
        self.store = gateway.wired.store
        self.postgres = postgres
        self.url = url

    @contextmanager
    def full(self) -> Generator[None]:
        with self._pragma("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1073741823"):
            yield

    @contextmanager
    def read_only(self) -> Generator[None]:
        if self.postgres is None:
            with self._pragma("PRAGMA query_only = ON", "PRAGMA query_only = OFF"):
                yield
            return
        name = sa.make_url(self.url).database
        self._everybody_anew(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        yield
        self._everybody_anew(f"ALTER DATABASE {name} SET default_transaction_read_only = off")

    @contextmanager
    def locked(self) -> Generator[None]:
        if self.postgres is None:
            shell = sqlite3.connect(self.settings.data / "control.db", isolation_level=None)
            shell.execute("BEGIN IMMEDIATE")
            yield
            shell.execute("COMMIT")
            shell.close()
            return
        with psycopg.connect(self.url) as shell:
            shell.execute("LOCK TABLE action_moves, actions IN EXCLUSIVE MODE")
            yield

    @contextmanager
    def _pragma(self, begin: str, end: str) -> Generator[None]:
        pragma = WriterPragma(self.store)
        pragma.set(begin)
        yield
        pragma.set(end)

    def _everybody_anew(self, statement: str) -> None:
        assert self.postgres is not None
        self.postgres.execute(statement)
        name = sa.make_url(self.url).database
        self.postgres.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )


FAULTS = [
    ("sqlite", "full"),
    ("sqlite", "read_only"),
    ("sqlite", "locked"),
    ("postgres", "read_only"),
    ("postgres", "locked"),
]


@pytest.mark.parametrize(("database", "fault"), FAULTS)
def test_a_database_that_refuses_writes_in_mid_flight_loses_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, database: str, fault: str
) -> None:
    postgres: PostgresForTests | None = None
    url = ""
    if database == "postgres":
        postgres = request.getfixturevalue("postgres_server")
        url = request.getfixturevalue("postgres_url")

    async def story(gateway: Gateway, wire: Wire) -> None:
        store, run = gateway.wired.store, gateway.wired.memory
        assert said(await wire.call("count")) == "1"
        flight = asyncio.create_task(wire.call("slow", seconds=1, words="x" * 50_000))

        async def executing() -> bool:
            query = sa.select(actions.c.id).where(actions.c.state == "executing")
            return bool(await store.read(lambda connection: connection.execute(query).all()))

        await comes_true(executing)
        with getattr(Trouble(gateway, postgres, url), fault)():
            refused = await wire.call("count", n="x" * 50_000)
            assert refused["isError"]
            assert "was not sent, because it cannot be recorded now" in said(refused)
            assert said(await wire.call("echo", text="reads go on")) == "reads go on"
            assert "Denied" in said(await wire.call("nope"))
            assert (await wire.post(b"{")).status_code == 400
            landed = await flight
            assert "outcome cannot be recorded yet" in said(landed)

        async def settled() -> bool:
            query = sa.select(actions.c.state).where(actions.c.tool == "shop.slow")
            return (await store.read(lambda connection: connection.execute(query).scalars().all())) == [
                "succeeded"
            ]

        await comes_true(settled)
        assert said(await wire.call("count", n=2)) == "2"
        assert sum(next(iter(run.runs.values())).calls.values()) == 4

        async def on_record() -> list[Any]:
            entries = await record(gateway)
            return entries if any(each.kind == "store.refused" for each in entries) else []

        entries = await comes_true(on_record)
        refusals = [
            (each.tool, json.loads(each.body)["of"]) for each in entries if each.kind == "store.refused"
        ]
        assert ("shop.count", "action.executing") in refusals
        kinds = {each.kind for each in entries}
        assert {"store.unavailable", "call.denied", "call.allowed", "request.refused"} <= kinds

    async def run() -> None:
        known: dict[str, Any] = {"inline_wait": 0, "call_timeout": 5, "database": url}
        async with a_gateway(DOCUMENTS, tmp_path / "d", patience=0.3, **known) as gateway:
            settings.append(gateway.wired.settings)
            async with httpx2.AsyncClient(timeout=60, verify=False) as http:
                await story(gateway, Wire(http=http, url=gateway.url, token=await gateway.token()))

    settings: list[Any] = []
    asyncio.run(run())
    assert verify_database(settings[0]).ok
