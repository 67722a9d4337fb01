"""`interlock serve` is killed with -9 while calls wait and while they run: nothing is lost, nothing repeated.

Real processes: the server, its tool server, `interlock mcp`, the command line, and SDK clients of both eras
(A3, F4, G7, invariants 1 and 2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest

from mcp import Client
from support.served import SHOP, Served, approval, served, serving, status, text, tool, until, workflow
from support.stores import PostgresForTests
from support.warm import REAL

_WAITING = {"INTERLOCK_INLINE_WAIT": "30", "INTERLOCK_SELF_APPROVE": "1"}
TASKS = "io.modelcontextprotocol/tasks"
MANIFEST = SHOP + tool("shop.note") + tool("shop.hang") + workflow("shop.note", "shop.hang")


async def call(client: Client, name: str, **arguments: Any) -> types.CallToolResult:
    return await client.call_tool(name, arguments)


def task(server: Served, token: str, method: str, named: str, **params: Any) -> dict[str, Any]:
    """Send one modern request of a client that knows tasks; return its result, or its error."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}},
    }
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        "mcp-name": named,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    answer = httpx2.post(f"{server.url}/mcp", json=body, headers=headers, timeout=30)
    kind = answer.headers["content-type"]
    if kind.startswith("text/event-stream"):
        lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        said = httpx2.Response(200, text=lines[-1]).json()
    else:
        said = answer.json()
    return said.get("result") or said


def states(server: Served) -> dict[str, str]:
    return {each["id"]: each["state"] for each in server.api("actions")["items"]}


def run(story: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(story)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    server: PostgresForTests = request.getfixturevalue("postgres_server")
    return {"INTERLOCK_DATABASE": server.database()}


@pytest.mark.long(23)
@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
def test_a_kill_loses_no_waiting_call_and_repeats_none_that_was_sent(
    database: dict[str, str], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    data = tmp_path / "d"
    settings = {**database, **_WAITING, "INTERLOCK_INLINE_WAIT": "0", "INTERLOCK_CALL_TIMEOUT": "3"}

    def note(words: str) -> dict[str, str]:
        return {"file": str(notes), "text": words}

    async def ask(server: Served, token: str, mode: str, words: str) -> str:
        async with server.over_http(token, mode) as client:
            waiting = await call(client, "note", **note(words))
            assert status(waiting) == "pending_approval"
            other = await call(client, "note", **note(f"{words}, other"))
            assert approval(other) != approval(waiting)
            return approval(waiting)

    async def collect(server: Served, token: str, mode: str, words: str, known: str) -> None:
        async with server.over_http(token, mode) as client:
            resumed = await call(client, "interlock_resume", approval_id=known)
            assert text(resumed) == f"noted {words}"
            again = await call(client, "interlock_resume", approval_id=known)
            assert again.content == resumed.content
            anew = await call(client, "note", **note(words))
            assert status(anew) == "pending_approval"
            assert approval(anew) != known

    async def retry(server: Served, token: str, words: str) -> None:
        async with server.over_http(token, "auto") as client:
            same = await call(client, "note", **note(words))
            assert text(same) == f"noted {words}"
            assert (same.meta or {})["interlock/recorded"] is True

    async def hang(server: Served, token: str, *, first: bool) -> types.CallToolResult:
        async with server.over_http(token, "legacy") as client:
            return await call(client, "hang", file=str(notes))

    with ExitStack() as stack:
        server = stack.enter_context(served(data, MANIFEST, REAL, **settings))
        token = server.token("work")
        modern = run(ask(server, token, "auto", "modern"))
        legacy = run(ask(server, token, "legacy", "legacy"))
        third = run(ask(server, token, "auto", "third"))
        handle = task(server, token, "tools/call", "note", name="note", arguments=note("task"))
        assert handle["resultType"] == "task"
        assert handle["status"] == "working"
        dropped = task(server, token, "tools/call", "note", name="note", arguments=note("dropped"))
        hanging = run(hang(server, token, first=True))
        assert server.cli("approvals", "approve", approval(hanging)).returncode == 0
        until(lambda: notes.exists() and "hang" in notes.read_text())
        server.kill()

        server = stack.enter_context(serving(data, **settings))
        for each in (handle, dropped):
            still = task(server, token, "tasks/get", each["taskId"], taskId=each["taskId"])
            assert still["status"] == "working", still
        task(server, token, "tasks/cancel", dropped["taskId"], taskId=dropped["taskId"])
        gone = task(server, token, "tasks/get", dropped["taskId"], taskId=dropped["taskId"])
        assert gone["status"] == "cancelled"
        for known in (modern, legacy, third, handle["taskId"]):
            done = server.cli("approvals", "approve", known)
            assert done.returncode == 0, done.stderr
        until(lambda: notes.read_text().count("\n") == 5)  # nobody came back, and it is done
        run(collect(server, token, "auto", "modern", modern))
        run(collect(server, token, "legacy", "legacy", legacy))
        run(retry(server, token, "third"))
        ended = task(server, token, "tasks/get", handle["taskId"], taskId=handle["taskId"])
        assert ended["status"] == "completed"
        assert ended["result"]["content"][0]["text"] == "noted task"

        def in_doubt() -> list[str]:
            return [each for each, state in states(server).items() if state == "in_doubt"]

        doubtful = until(in_doubt)  # several engines may share PostgreSQL: there its lease must end first
        assert len(doubtful) == 1
        assert status(run(hang(server, token, first=False))) == "in_doubt"
        resolve = ("actions", "resolve", doubtful[0], "--did-not-happen", "--reason", "looked")
        until(lambda: server.cli(*resolve).returncode == 0, pause=1)  # not before it cannot land any more
        assert states(server)[doubtful[0]] == "failed"
        assert sorted(notes.read_text().split()) == ["hang", "legacy", "modern", "task", "third"]
        assert server.cli("audit", "verify").returncode == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the stories in which nobody is killed but a client waits."""
    with served(tmp_path_factory.mktemp("waits") / "d", MANIFEST, **_WAITING) as running:
        yield running


def waiting(server: Served) -> str:
    """Return the one approval that waits, as soon as there is one."""
    return until(lambda: [each["id"] for each in server.api("approvals")["items"]])[0]


@pytest.mark.parametrize("way", ["http", "stdio"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_still_waits_hears_that_it_waits_and_gets_the_outcome(
    server: Served, mode: str, way: str, tmp_path: Path
) -> None:
    steps: list[str] = []
    words = f"{way} {mode}"

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message or "")

    async def story(client: Client) -> None:
        sent: dict[str, Any] = {"file": str(tmp_path / "notes"), "text": words}
        asking = asyncio.create_task(client.call_tool("note", sent, progress_callback=on_progress))
        known = await asyncio.to_thread(waiting, server)
        async with asyncio.timeout(20):
            while not steps:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert not asking.done()
        done = await asyncio.to_thread(server.cli, "approvals", "approve", known)
        assert done.returncode == 0, done.stderr
        result = await asking
        assert text(result) == f"noted {words}"

    async def play() -> None:
        if way == "stdio":
            async with server.over_stdio(mode) as client:
                await story(client)
        else:
            async with server.over_http(server.token("work"), mode) as client:
                await story(client)

    run(play())
    assert any("Waiting for a person" in each for each in steps)
    assert (tmp_path / "notes").read_text() == f"{words}\n"


def test_a_rejection_says_that_it_is_one(server: Served, tmp_path: Path) -> None:
    async def play() -> types.CallToolResult:
        async with server.over_http(server.token("work"), "auto") as client:
            asking = asyncio.create_task(call(client, "note", file=str(tmp_path / "n"), text="rejected"))
            known = await asyncio.to_thread(waiting, server)
            await asyncio.to_thread(server.cli, "approvals", "reject", known, "--reason", "not today")
            return await asking

    result = run(play())
    assert status(result) == "rejected"
    assert "not today" in text(result)
    assert not (tmp_path / "n").exists()
