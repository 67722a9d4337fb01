"""Traffic as it is: recorded runs of an agent, thousands of tools, agents side by side (A3, A5)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlock.core.document.tool import ToolServer
from interlock.services.verify_audit import verify_database
from support import airline
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop
from support.upstreams.catalogue import answer
from support.warm import PYTHON

CATALOGUE = str(Path(__file__).parents[1] / "support" / "upstreams" / "catalogue.py")
EXCERPT = Path(__file__).parents[1] / "data" / "tau_airline_excerpt.jsonl"


def test_recorded_runs_pass_the_gateway_as_their_manifest_reads(tmp_path: Path) -> None:
    runs = airline.read(EXCERPT, 20)
    expected = Counter(airline.expected(call) for calls in runs for call in calls)
    seen: Counter[str] = Counter()
    names = (*airline.READS, *airline.WRITES, *airline.HIGH, *airline.UNGRANTED)
    documents = tuple(
        replace(each, command=(*PYTHON, CATALOGUE, *names), stateless=True)
        if isinstance(each, ToolServer)
        else each
        for each in airline.manifest()
    )

    async def one(gateway: Gateway, calls: list[dict[str, Any]]) -> None:
        async with gateway.client(await gateway.token("service")) as client:
            for call in calls:
                result = await client.call_tool(call["tool"], call["args"])
                status = (result.structured_content or {}).get("status", "")
                if status:
                    seen[{"pending_approval": "asked", "denied": "denied"}[status]] += 1
                    continue
                text = result.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
                assert text == f"{call['tool']} {answer(call['args'])}"
                seen["read" if call["tool"] in airline.READS else "written"] += 1

    async def play() -> Any:
        async with a_gateway(documents, tmp_path, inline_wait=0) as gateway:
            await asyncio.gather(*(one(gateway, calls) for calls in runs))
            return gateway.wired.settings

    settings = asyncio.run(play())
    assert seen == expected
    assert verify_database(settings).ok


def test_two_thousand_tools_are_listed_page_by_page_and_called_at_once(tmp_path: Path) -> None:
    server = ToolServer(name="big", transport="stdio", command=(*PYTHON, CATALOGUE, "--many", "2000"))
    documents = a_manifest([server], [a_tool(f"big.tool_{each:04}") for each in range(2000)])

    async def play() -> None:
        async with a_gateway(documents, tmp_path) as gateway, gateway.client(await gateway.token()) as client:
            sizes: list[int] = []
            names: list[str] = []
            cursor: str | None = None
            while cursor is not None or not sizes:
                page = await client.list_tools(cursor=cursor)
                sizes.append(len(page.tools))
                names += [each.name for each in page.tools]
                cursor = page.next_cursor
            assert sizes == [500, 500, 500, 500, 1]
            assert names == [*(f"tool_{each:04}" for each in range(2000)), "interlock_resume"]
            took: list[float] = []
            for number in range(30):
                began = time.perf_counter()
                await client.call_tool(f"tool_{number * 60:04}", {})
                took.append(time.perf_counter() - began)
            assert sorted(took)[len(took) // 2] < 0.25

    asyncio.run(play())


def test_two_agents_side_by_side_never_see_each_others_state(tmp_path: Path) -> None:
    async def play() -> None:
        documents = a_manifest([workshop("shop")], [a_tool("shop.count")])
        async with a_gateway(documents, tmp_path) as gateway:
            tokens = [await gateway.token(), await gateway.token("other"), await gateway.token()]

            async def count(token: str) -> list[str]:
                async with gateway.client(token) as client:
                    return [
                        (await client.call_tool("count", {})).content[0].text  # pyright: ignore[reportAttributeAccessIssue]
                        for _ in range(20)
                    ]

            for counted in await asyncio.gather(*(count(each) for each in tokens)):
                assert counted == [str(each) for each in range(1, 21)]

    asyncio.run(play())
