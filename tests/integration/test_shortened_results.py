"""A large result enters the context short, and its original is there for its own run, on record (B7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
import sqlalchemy as sa
from mcp.shared.exceptions import MCPError

from interlock.core.approval import Decider
from interlock.core.document.spending import Compression
from interlock.core.document.workflow import Workflow
from interlock.core.model import RiskTier
from interlock.services.approve import Approve
from interlock.store import originals
from interlock.store.database import Store
from interlock.store.schema import audit
from mcp import Client
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop
from support.rpc import Wire

RULES = (Compression(tool="shop.echo", above=2_000, to=500), Compression(tool="*", above=2_000, to=700))
WRONG: list[dict[str, Any]] = [
    {},
    {"reference": 7},
    {"reference": "x", "offset": -1},
    {"reference": "x", "length": 0},
    {"reference": "x", "more": 1},
]
LONG = "".join(f"line {number}\n" for number in range(1_000))
Story = Callable[[Gateway], Awaitable[None]]


def play(data: Path, story: Story) -> None:
    """Play a story in a workflow that shortens what `echo` says, beside one that does not."""

    async def run() -> None:
        tools = [a_tool("shop.echo"), a_tool("shop.later"), a_tool("shop.note", RiskTier.HIGH_BLAST_RADIUS)]
        documents = tuple(
            replace(each, compression=RULES) if isinstance(each, Workflow) and each.name == "work" else each
            for each in a_manifest([workshop("shop")], tools)
        )
        async with a_gateway(documents, data, inline_wait=0, call_timeout=5) as gateway:
            await gateway.ready("shop")
            await story(gateway)

    asyncio.run(run())


def texts(result: types.CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, types.TextContent)]


def reference_in(result: types.CallToolResult) -> str:
    return (result.meta or {})["interlock/original"]


async def whole(client: Client, reference: str, **more: Any) -> str:
    """Read an original to its end, part by part."""
    read, offset = "", 0
    while offset is not None:
        asked = {"reference": reference, "offset": offset, **more}
        result = await client.call_tool("interlock_result", asked)
        read += texts(result)[0]
        offset = (result.meta or {}).get("interlock/next_offset")
    return read


async def is_refused(client: Client, reference: str) -> bool:
    refused = await client.call_tool("interlock_result", {"reference": reference})
    return refused.is_error and "There is no shortened result of that reference" in texts(refused)[0]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_large_result_is_short_and_its_original_is_read_by_reference(mode: str, tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token(), mode=mode) as client:
            assert texts(await client.call_tool("echo", {"text": "short"})) == ["short"]
            result = await client.call_tool("echo", {"text": LONG})
            short, note = texts(result)
            reference = reference_in(result)
            assert short.startswith("line 0\n")
            assert short.endswith("line 999\n")
            assert len(short) <= 500
            assert note.startswith(f"[Interlock shortened this result from {len(LONG)} to ")
            assert reference in note
            assert (result.meta or {})["example.com/kept"] == 1
            assert await whole(client, reference) == LONG
            assert await whole(client, reference, length=1_000) == LONG
            rows = json.dumps([{"id": number} for number in range(1_000)])
            kept = json.loads(texts(await client.call_tool("echo", {"text": rows}))[0])
            assert (kept[0], kept[-1]) == ({"id": 0}, {"id": 999})

    play(tmp_path, story)


def test_an_original_is_for_its_own_run_and_tools_only(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            assert "interlock_result" in {tool.name for tool in (await client.list_tools()).tools}
            reference = reference_in(await client.call_tool("echo", {"text": LONG}))
            for wrong in WRONG:
                with pytest.raises(MCPError):
                    await client.call_tool("interlock_result", wrong)
        async with gateway.client(await gateway.token()) as client:
            assert await is_refused(client, reference)
        async with gateway.client(await gateway.token("other")) as client:
            assert await is_refused(client, reference)
            assert texts(await client.call_tool("echo", {"text": LONG})) == [LONG]
            assert "interlock_result" not in {tool.name for tool in (await client.list_tools()).tools}
        earlier = set(gateway.wired.memory.runs)
        async with gateway.client(await gateway.token(scope=frozenset({"shop.note"}))) as client:
            (run,) = set(gateway.wired.memory.runs) - earlier
            held: dict[str, Any] = {"run": run, "agent": "bot", "tool": "shop.echo", "payload": {}}
            kept = await gateway.wired.store.transact(
                lambda tx: originals.keep(tx, **held, expires_at=tx.now + 10**9)
            )
            assert await is_refused(client, kept or "")

    play(tmp_path, story)


def test_the_outcome_of_a_call_that_waited_is_short_too_and_all_is_on_record(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        wired = gateway.wired
        async with gateway.client(await gateway.token()) as client:
            pending = await client.call_tool("note", {"file": str(tmp_path / "n"), "text": LONG})
            approval = (pending.structured_content or {})["approval_id"]
            people = Approve(store=wired.store, memory=wired.memory, runtime=wired.runtime)
            await people.approve(approval, Decider(name="deng", roles=frozenset({"approver"})))
            result = pending
            while "interlock/original" not in (result.meta or {}):
                result = await client.call_tool("interlock_resume", {"approval_id": approval})
            assert await whole(client, reference_in(result)) == f"noted {LONG}"
        query = sa.select(audit.c.kind, audit.c.tool, audit.c.body).where(audit.c.kind.like("result.%"))
        rows = await wired.store.read(lambda found: [tuple(row) for row in found.execute(query)])
        assert [(kind, tool) for kind, tool, _ in rows] == [
            ("result.shortened", "shop.note"),
            ("result.retrieved", "shop.note"),
        ]
        assert json.loads(rows[0][2])["before"] == len(LONG) + len("noted ")
        assert "line" not in rows[0][2] + rows[1][2]

    play(tmp_path, story)


def test_the_result_of_a_tool_servers_own_task_is_short_too_however_often_it_is_asked_for(
    tmp_path: Path,
) -> None:
    async def story(gateway: Gateway) -> None:
        async with httpx2.AsyncClient(timeout=30) as http:
            wire = Wire(http=http, url=gateway.url, token=await gateway.token())

            async def task(asked: str) -> dict[str, Any]:
                handle = await wire.ask(
                    "tools/call", {"name": "later", "arguments": {"text": asked}}, mcp_name="later"
                )
                assert handle["result"]["resultType"] == "task", handle
                return await ended(handle["result"]["taskId"])

            async def ended(name: str) -> dict[str, Any]:
                said = await wire.ask("tasks/get", {"taskId": name}, mcp_name=name)
                assert said["result"]["status"] == "completed", said
                return said["result"]

            assert (await task("short"))["result"]["content"][0]["text"] == "short"
            detail = await task(LONG)
            short = detail["result"]
            assert len(short["content"][0]["text"]) <= 700
            assert (await ended(detail["taskId"]))["result"] == short
            async with gateway.client(wire.token) as client:
                assert await whole(client, short["_meta"]["interlock/original"]) == LONG

    play(tmp_path, story)


def test_originals_are_capped_for_each_run_and_forgotten_in_time(store: Store) -> None:
    room = originals.Room(one=1_000, run=1_500)

    async def keep(size: int, *, run: str = "run_1", life: int = 10**9) -> str | None:
        return await store.transact(
            lambda tx: originals.keep(
                tx,
                run=run,
                agent="a",
                tool="t",
                payload={"content": "x" * size},
                expires_at=tx.now + life,
                room=room,
            )
        )

    async def known(reference: str | None) -> bool:
        return await store.read(lambda found: originals.find(found, reference or "") is not None)

    async def story() -> None:
        assert await keep(2_000) is None
        first, other = await keep(900), await keep(900, run="run_2")
        second = await keep(900)
        assert [await known(each) for each in (first, second, other)] == [False, True, True]
        brief = await keep(10, life=0)
        assert await store.transact(originals.forget) == 1
        assert [await known(each) for each in (brief, second)] == [False, True]

    asyncio.run(story())
