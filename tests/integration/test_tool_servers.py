"""The pool: how a call ends is said exactly, and no state is shared between runs."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.core.document.tool import Credentials, ToolServer
from interlock.core.model import Principal
from interlock.runtime import Runtime
from interlock.upstream.executor import Dispatch, Failed, NotSent, Outcome, Succeeded, Unknown
from interlock.upstream.mcp.pool import ToolServers
from support.gateway import workshop

ERAS = [[], ["--legacy"]]


def a_principal(run: str) -> Principal:
    return Principal(
        agent="bot",
        owner="maria",
        workflow="work",
        workflow_version=1,
        run=run,
        environment="dev",
        token_id="t",
        key_id="k",
        epoch=0,
        expires_at=0,
    )


class Pool:
    """A pool with one server, and calls of it."""

    def __init__(self, servers: ToolServers) -> None:
        self.servers = servers

    async def call(self, tool: str, *, run: str = "r1", timeout: float = 10, **arguments: Any) -> Outcome:
        dispatch = Dispatch(
            action=None,
            server="shop",
            tool=tool,
            arguments=arguments,
            principal=a_principal(run),
            timeout=timeout,
        )
        return await self.servers.execute(dispatch, None)

    async def text(self, tool: str, **more: Any) -> str:
        outcome = await self.call(tool, **more)
        assert isinstance(outcome, Succeeded), outcome
        return outcome.payload["content"][0]["text"]

    async def until(self, tool: str, said: str) -> None:
        """Call a tool until it says what is waited for."""
        async with asyncio.timeout(30):
            while await self.text(tool) != said:  # noqa: ASYNC110 - the tool server has no event for us
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_pool(server: ToolServer, **secrets: str) -> AsyncGenerator[Pool]:
    servers = ToolServers(
        runtime=Runtime.real(),
        secret=secrets.get,
        environment={"PATH": os.environ["PATH"]},
        refusal=lambda each: "its credentials have expired" if each.credentials.expires else None,
    )
    servers.configure({server.name: server})
    try:
        yield Pool(servers)
    finally:
        await servers.close()


@pytest.mark.parametrize("era", ERAS, ids=["modern", "legacy"])
def test_each_way_a_call_ends_is_told_apart(era: list[str]) -> None:
    async def story() -> None:
        async with a_pool(workshop("shop", *era)) as pool:
            assert await pool.text("echo", text="hello") == "hello"
            failed = await pool.call("fail")
            assert isinstance(failed, Failed)
            assert failed.payload is not None
            assert failed.payload["isError"] is True
            slow = await pool.call("slow", timeout=0.3)
            assert isinstance(slow, Unknown)
            assert "did not answer within 0.3 s" in slow.message
            assert await pool.text("echo", text="still there") == "still there"
            await pool.servers.listing("shop", "prompts")
            liar = await pool.call("liar")
            assert isinstance(liar, Unknown)
            assert "its own result schema" in liar.message
            died = await pool.call("die")
            assert isinstance(died, Unknown)
            assert "its process ended" in died.message
            assert await pool.text("count") == "1"

    asyncio.run(story())


def test_a_flood_ends_the_connection_and_is_said() -> None:
    async def story() -> None:
        async with a_pool(workshop("shop")) as pool:
            flood = await pool.call("flood")
            assert isinstance(flood, Unknown)
            assert "more than 16777216 bytes" in flood.message
            assert await pool.text("echo", text="again") == "again"

    asyncio.run(story())


def test_runs_do_not_share_the_state_of_a_server() -> None:
    async def story() -> None:
        async with a_pool(workshop("shop")) as pool:
            assert [await pool.text("count", run="r1") for _ in range(2)] == ["1", "2"]
            assert await pool.text("count", run="r2") == "1"
            await pool.servers.close_run("r1")
            assert await pool.text("count", run="r1") == "1"

    asyncio.run(story())


def test_a_call_that_was_sent_may_answer_though_its_run_is_over() -> None:
    async def story() -> None:
        async with a_pool(workshop("shop")) as pool:
            assert await pool.text("count", run="r1") == "1"
            sent = asyncio.ensure_future(pool.call("slow", run="r1", seconds=1))
            await pool.until("slowed", "1")
            await pool.servers.close_run("r1")
            assert isinstance(await sent, Succeeded)
            assert await pool.text("count", run="r1") == "1"

    asyncio.run(story())


def test_a_call_that_was_sent_may_answer_though_its_server_is_declared_anew() -> None:
    async def story() -> None:
        async with a_pool(workshop("shop")) as pool:
            sent = asyncio.ensure_future(pool.call("slow", run="r1", seconds=1))
            await pool.until("slowed", "1")
            pool.servers.configure({"shop": workshop("shop", "--legacy")})
            assert await pool.text("count", run="r1") == "1"
            assert isinstance(await sent, Succeeded)

    asyncio.run(story())


def children() -> set[int]:
    """Return the processes that this one has started and not seen end."""
    known = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return {int(each) for each in known}


@pytest.mark.parametrize(
    "moment", ["starting", "opening", "releasing", "resting", "changing", "calling", "lost"]
)
def test_a_pool_that_is_closed_leaves_no_process_behind_whatever_it_was_doing(moment: str) -> None:
    before = children()

    async def story() -> Sequence[asyncio.Future[Any]]:
        silent = (sys.executable, "-c", "import time; time.sleep(600)")
        server = workshop("shop", python=(sys.executable,))
        server = replace(server, command=silent) if moment == "silent" else server
        async with a_pool(server) as pool:
            if moment in ("starting", "silent"):
                return []
            if moment == "opening":
                return [asyncio.ensure_future(pool.call("echo", run=run)) for run in ("r1", "r2", "r3")]
            assert await pool.text("count", run="r1") == "1"
            match moment:
                case "releasing":
                    ending = [asyncio.ensure_future(pool.servers.close_run("r1"))]
                case "resting":
                    ending = [asyncio.ensure_future(pool.servers.sweep(lambda _: False))]
                case "changing":
                    pool.servers.configure({})
                    ending = []
                case "lost":  # its process runs on and has still to be ended
                    assert isinstance(await pool.call("flood", run="r1"), Unknown)
                    assert await pool.text("count", run="r1") == "1"
                    ending = []
                case _:
                    ending = [asyncio.ensure_future(pool.call("slow", run="r1"))]
            await asyncio.sleep(0)
            return ending

    async def told() -> None:
        left = await story()
        assert children() <= before
        await asyncio.gather(*left)

    asyncio.run(told())
    gc.collect()  # a pipe that was left open would say so here


def test_a_server_declared_stateless_is_shared() -> None:
    async def story() -> None:
        async with a_pool(workshop("shop", stateless=True)) as pool:
            assert await pool.text("count", run="r1") == "1"
            assert await pool.text("count", run="r2") == "2"

    asyncio.run(story())


def test_what_cannot_be_started_was_not_sent() -> None:
    async def story() -> None:
        missing = ToolServer(name="shop", transport="stdio", command=("/no/such/program",))
        async with a_pool(missing) as pool:
            outcome = await pool.call("echo")
            assert isinstance(outcome, NotSent)
            assert "cannot be started" in outcome.message

    asyncio.run(story())


def test_an_unreachable_server_was_not_sent_to() -> None:
    async def story() -> None:
        nobody = ToolServer(name="shop", transport="http", url="http://127.0.0.1:9/mcp", stateless=True)
        async with a_pool(nobody) as pool:
            outcome = await pool.call("echo")
            assert isinstance(outcome, NotSent)
            assert isinstance(await pool.call("echo"), NotSent)

    asyncio.run(story())


def test_a_child_inherits_nothing_but_what_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_TOKEN", "secret")
    server = replace(
        workshop("shop"),
        credentials=Credentials(env={"SHOP_KEY": "secret://env/REAL_KEY", "PLAIN": "yes"}),
    )

    async def story() -> None:
        async with a_pool(server, REAL_KEY="value") as pool:
            seen = await pool.text("environment")
            assert "SHOP_KEY" in seen
            assert "PLAIN" in seen
            assert "INTERLOCK" not in seen
            assert "REAL_KEY" not in seen

    asyncio.run(story())


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        (Credentials(env={"KEY": "secret://env/MISSING"}), "secret://env/MISSING is not set"),
        (Credentials(expires=1), "have expired"),
    ],
    ids=["missing", "expired"],
)
def test_a_server_without_good_credentials_is_not_used(credentials: Credentials, says: str) -> None:
    async def story() -> None:
        async with a_pool(replace(workshop("shop"), credentials=credentials)) as pool:
            outcome = await pool.call("echo")
            assert isinstance(outcome, NotSent)
            assert says in outcome.message

    asyncio.run(story())


def test_a_cancelled_call_is_cancelled_upstream() -> None:
    async def story() -> None:
        async with a_pool(workshop("shop")) as pool:
            await pool.text("echo", text="warm")
            call = asyncio.create_task(pool.call("slow"))
            await pool.until("slowed", "1")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await pool.until("cancelled", "1")

    asyncio.run(story())


def test_what_is_not_protocol_is_unknown_and_says_so(tmp_path: Any) -> None:
    script = tmp_path / "liar.py"
    script.write_text(_RAW)
    server = ToolServer(name="shop", transport="stdio", command=(sys.executable, str(script)))

    async def story() -> None:
        async with a_pool(server) as pool:
            outcome = await pool.call("anything")
            assert isinstance(outcome, Unknown)
            assert "the protocol does not allow" in outcome.message

    asyncio.run(story())


_RAW = """
import json, sys
for line in sys.stdin:
    ask = json.loads(line)
    if "id" not in ask:
        continue
    method = ask["method"]
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "raw", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": []}
    elif method == "tools/call":
        result = {"content": "not a list"}
    else:
        error = {"code": -32601, "message": "no"}
        print(json.dumps({"jsonrpc": "2.0", "id": ask["id"], "error": error}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": ask["id"], "result": result}), flush=True)
"""
