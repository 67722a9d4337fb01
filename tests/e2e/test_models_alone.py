"""A process that serves no tools does not carry what speaks MCP, until a tool server is declared (B1)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.llm_gateway import memory

from support.served import SHOP, Served, apply, read_tool, serving, text, workflow
from support.warm import REAL

CARRIED = 10 << 20


def test_the_first_tool_server_brings_the_gateway_for_tools(tmp_path: Path) -> None:
    with serving(tmp_path / "d", REAL) as server:
        before = memory(server.process.pid)
        apply(server.data, SHOP + read_tool("shop.echo") + workflow("shop.echo"))
        assert asyncio.run(echo(server)) == "hello"
        assert memory(server.process.pid) - before > CARRIED


async def echo(server: Served) -> str:
    async with server.over_http(server.token("work")) as client:
        return text(await client.call_tool("shop.echo", {"text": "hello"}))
