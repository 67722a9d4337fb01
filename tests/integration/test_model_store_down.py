"""A store that is full, locked or gone: 503 in the caller's format before anything is sent, then right books.

What a relaxed budget covers already goes on as long as its decisions find room in the journal; what is to be
written down first is refused at once (B8, A3, invariants 1 and 4).
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import make_url

from interlock.core.kill import KillLevel
from interlock.testing import ModelServer, Received, Reply
from support.model_endings import RELAXED, STRICT, documents
from support.model_gateway import CLAUDE, GPT, ModelGateway, a_model_gateway
from support.stores import PostgresForTests, WriterPragma

pytestmark = pytest.mark.anyio
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
USED = 12 * 2_000 + 7 * 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A way to make a gateway's store unusable, and usable again."""

    begin: Callable[[ModelGateway], None]
    end: Callable[[ModelGateway], None]
    database: str = ""


@pytest.fixture(params=["full", "locked", "gone"])
def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trouble]:
    if request.param == "full":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        yield Trouble(
            begin=lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard)),
            end=lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    elif request.param == "locked":
        with sqlite3.connect(tmp_path / "control.db", isolation_level=None) as shell:

            def lock(running: ModelGateway) -> None:
                WriterPragma(running.wired.store).set("PRAGMA busy_timeout = 50")
                shell.execute("BEGIN IMMEDIATE")

            yield Trouble(begin=lock, end=lambda _: shell.execute("ROLLBACK") and None)
        shell.close()
    else:
        server: PostgresForTests = request.getfixturevalue("postgres_server")
        url = server.database()
        name = make_url(url).database

        def shut(running: ModelGateway) -> None:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

        def open_again(running: ModelGateway) -> None:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        yield Trouble(begin=shut, end=open_again, database=url)


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    def said(request: Received) -> Reply:
        return Reply(wait=0.6 if request.headers.get("x-slow") else 0)

    with ModelServer(said) as server:
        yield server


def refused(answer: httpx2.Response) -> None:
    """Check that a call was refused for the store's sake, in the format of its path."""
    assert answer.status_code == 503, answer.text
    assert "x-should-retry" not in answer.headers, "an SDK may try again"
    body = answer.json()
    assert "not sent" in body["error"]["message"]
    if answer.request.url.path == MESSAGES:
        assert (body["type"], body["error"]["type"]) == ("error", "api_error")
    else:
        assert (body["error"]["type"], body["error"]["code"]) == ("server_error", "store_unavailable")


async def test_a_call_that_cannot_be_written_down_is_not_sent_and_the_books_are_right_afterwards(
    upstream: ModelServer, tmp_path: Path, trouble: Trouble
) -> None:
    async with a_model_gateway(documents(upstream.url), tmp_path, database=trouble.database) as running:
        tokens = {name: await running.token(name) for name in (RELAXED, STRICT)}
        new = await running.token(RELAXED)
        for token in tokens.values():
            assert (await running.ask(token)).status_code == 200
        await running.settled()
        slow = [asyncio.create_task(hesitant(running, token)) for token in tokens.values()]
        while len(upstream.received) < 4:  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.01)
        trouble.begin(running)
        for token in (tokens[STRICT], new):
            refused(await running.ask(token))
            refused(await running.ask(token, MESSAGES, model=CLAUDE, max_tokens=50))
        assert (await running.ask(tokens[RELAXED])).status_code == 200
        assert [(await each).status_code for each in slow] == [200, 200]
        running.wired.store._writer.journal._bound = 0
        for path, model in ((CHAT, GPT), (MESSAGES, CLAUDE)):
            refused(await running.ask(tokens[RELAXED], path, model=model))
        assert len(upstream.received) == 5
        assert running.held == 0
        running.wired.store._writer.journal._bound = 20_000
        trouble.end(running)
        await healed(running, tokens[STRICT])
        spent = await running.spent()
        rows = {name: await running.rows(running.run(token)) for name, token in tokens.items()}
        assert await running.rows(running.run(new)) == []
    assert {name: len(found) for name, found in rows.items()} == {RELAXED: 3, STRICT: 3}
    assert all(row.cost == USED for found in rows.values() for row in found)
    assert {amount for id_, amount in spent.items() if new not in id_} <= {0, 3 * USED}
    assert len(upstream.received) == 6


async def hesitant(running: ModelGateway, token: str) -> httpx2.Response:
    """Make a call that its provider takes its time for."""
    body = {"model": GPT, "messages": [{"role": "user", "content": "hi"}]}
    return await running.http.post(
        CHAT, json=body, headers={"authorization": f"Bearer {token}", "x-slow": "1"}
    )


async def healed(running: ModelGateway, token: str) -> None:
    """Return when a strict call goes through again."""
    async with asyncio.timeout(15):
        while (answer := await running.ask(token)).status_code == 503:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)
    assert answer.status_code == 200


async def test_who_is_gone_or_killed_before_the_decision_is_on_record_reaches_no_provider(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with a_model_gateway(documents(upstream.url), tmp_path) as running:
        tokens = [await running.token() for _ in range(3)]
        journal = running.wired.store._writer.journal
        journal._bound = 0
        asking = [asyncio.create_task(running.ask(token)) for token in tokens]
        async with asyncio.timeout(10):
            while len(journal._waiting) < len(tokens):  # noqa: ASYNC110 - nothing tells a test
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asking[0].cancel()
        run = running.run(tokens[1])
        running.wired.memory.put_kill("kil_1", f"run:{run}", KillLevel.STOP)
        await asyncio.sleep(0.1)
        journal._bound = 20_000
        journal.release()
        killed, fine = await asyncio.gather(*asking[1:])
        assert (killed.status_code, fine.status_code) == (402, 200)
        assert killed.json()["error"]["code"] == "run_halted"
        assert await running.spent()
        assert [len(await running.rows(running.run(token))) for token in tokens] == [0, 0, 1]
    assert len(upstream.received) == 1
