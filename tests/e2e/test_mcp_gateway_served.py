"""`interlock serve` and `interlock mcp` as real processes, met by SDK clients over HTTP and stdio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcp import Client
from support.served import SHOP, Served, read_tool, served, status, text, tool, until, workflow

_SOON = (datetime.now(UTC) + timedelta(days=5, hours=1)).date().isoformat()
WEB = f"""---
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
"""
MANIFEST = SHOP + WEB + read_tool("shop.echo") + tool("shop.count") + workflow("shop.echo", "shop.count")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the stories of this file."""
    with served(tmp_path_factory.mktemp("served") / "d", MANIFEST, INTERLOCK_INLINE_WAIT="0") as running:
        until(lambda: running.api("tools/pins")["items"], seconds=40)
        yield running


async def _story(client: Client) -> None:
    names = [each.name for each in (await client.list_tools()).tools]
    assert names == ["echo", "count", "interlock_resume"]
    assert text(await client.call_tool("echo", {"text": "hello"})) == "hello"
    waiting = await client.call_tool("count", {})
    assert status(waiting) == "pending_approval"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_unmodified_stdio_client_is_governed(server: Served, mode: str) -> None:
    async def play() -> None:
        async with server.over_stdio(mode) as client:
            await _story(client)

    asyncio.run(play())
    until(
        lambda: [
            each for each in server.api("runs")["items"] if each["reason"] == "the client closed its end"
        ]
    )


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_unmodified_http_client_is_governed(server: Served, mode: str) -> None:
    async def play() -> None:
        async with server.over_http(server.token("work"), mode) as client:
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
