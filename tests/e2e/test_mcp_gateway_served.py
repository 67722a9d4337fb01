"""`interlock serve` and `interlock mcp` as real processes, met by SDK clients over HTTP and stdio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from mcp import Client
from support.gateway import WORKSHOP
from support.served import Served, served, until

_SOON = (datetime.now(UTC) + timedelta(days=5, hours=1)).date().isoformat()
_MAP = "blast_radius: {widest_scope: none, impact: none, reversible: always}"
MANIFEST = f"""
apiVersion: interlock/v1
kind: Person
metadata: {{name: maria}}
spec: {{email: maria@example.com, roles: [admin, agent_owner, approver]}}
---
apiVersion: interlock/v1
kind: Agent
metadata: {{name: bot}}
spec: {{owner: maria, purpose: test}}
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: shop}}
spec: {{transport: stdio, command: [{sys.executable}, {WORKSHOP}], source: internal}}
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: web}}
spec:
  transport: http
  url: http://127.0.0.1:9/mcp
  source: internal
  credentials:
    headers: {{Authorization: "secret://env/WEB_KEY"}}
    owner: maria
    expires: {_SOON}
---
apiVersion: interlock/v1
kind: Tool
metadata: {{name: shop.echo}}
spec: {{tier: read_only, effect: read, {_MAP}}}
---
apiVersion: interlock/v1
kind: Tool
metadata: {{name: shop.count}}
spec: {{tier: high_blast_radius, effect: once, {_MAP}}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: work}}
spec: {{agent: bot, owner: maria, tools: [{{tool: shop.echo}}, {{tool: shop.count}}]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the stories of this file."""
    with served(tmp_path_factory.mktemp("served") / "d", MANIFEST, INTERLOCK_INLINE_WAIT="0") as running:
        until(lambda: "as registered" in running.cli("tools", "pins").stdout, seconds=40)
        yield running


async def _story(client: Client) -> None:
    names = [each.name for each in (await client.list_tools()).tools]
    assert names == ["echo", "count", "interlock_resume"]
    result: Any = await client.call_tool("echo", {"text": "hello"})
    assert result.content[0].text == "hello"
    waiting = await client.call_tool("count", {})
    assert (waiting.structured_content or {})["status"] == "pending_approval"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_unmodified_stdio_client_is_governed(server: Served, mode: str) -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "interlock.cli", "mcp", "--workflow", "work"],
        env=server.environment,
    )

    async def play() -> None:
        async with Client(command, mode=mode, cache=None) as client:
            await _story(client)

    asyncio.run(play())
    until(lambda: "the client closed its end" in server.cli("runs", "list", "--json").stdout)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_unmodified_http_client_is_governed(server: Served, mode: str) -> None:
    token = server.token("work")

    async def play() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, cache=None) as client:
                await _story(client)

    asyncio.run(play())


def test_accepting_what_did_not_change_is_refused(server: Served) -> None:
    said = server.cli("tools", "accept", "shop.echo", "--reason", "just because")
    assert said.returncode == 2
    assert "has not changed" in said.stderr


def test_the_tools_are_listed_with_their_pins(server: Served, tmp_path: Path) -> None:
    said = server.cli("tools", "list").stdout
    assert "shop.echo" in said
    assert "pinned" in said


def test_credentials_that_end_soon_are_warned_about(server: Served) -> None:
    said = " ".join(server.cli("tools", "list").stderr.split())
    assert "The credentials of the tool server web expire in" in said
    assert "Its owner is maria." in said
