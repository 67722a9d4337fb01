"""An agent, and the tool servers that it calls, ask people; `kill -9` while they wait (F2, F4).

Real processes: the server, a tool server of each protocol era, an SDK client; people answer over the API.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types

from mcp import Client
from support.gateway import WORKSHOP
from support.served import SHOP, Served, approval, served, serving, status, text, tool, until, workflow
from support.warm import PYTHON, REAL

SETTINGS = {"INTERLOCK_INLINE_WAIT": "0", "INTERLOCK_SELF_APPROVE": "1"}
UNDO = ", undo: {tool: shop.echo, arguments: {}}"
ASKING = (
    SHOP
    + f"""---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: old}}
spec: {{transport: stdio, command: [{", ".join(PYTHON)}, {WORKSHOP}, --name, old, --legacy]}}
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: people}}
spec: {{transport: people}}
"""
    + tool("shop.ask", "limited_write", more=UNDO)
    + tool("old.ask", "limited_write", more=UNDO)
    + tool("shop.echo", "limited_write", "idempotent", more=UNDO)
    + workflow(
        "shop.ask", "old.ask", "people.value", more=", elicitation: people, approvals: {approvers: [maria]}"
    )
)
NUMBER = {"type": "integer", "minimum": 1}


def answer(server: Served, name: str, value: Any) -> httpx2.Response:
    """Answer a question as the administrator."""
    headers = {"Authorization": f"Bearer {server.person()}"}
    path = f"{server.url}/api/v1/approvals/{name}/answer"
    return httpx2.post(path, json={"answer": value}, headers=headers, timeout=30, verify=False)


def waiting(server: Served, tool: str) -> list[str]:
    """Return the questions that wait in a call of a tool."""
    return [each["id"] for each in server.api("approvals")["items"] if each["call"]["tool"] == tool]


async def ended(client: Client, name: str, **arguments: Any) -> types.CallToolResult:
    """Make the identical call until it is over."""
    for _ in range(600):
        told = await client.call_tool(name, arguments)
        if status(told) != "pending_approval":
            return told
        await asyncio.sleep(0.05)
    raise AssertionError("it never ended")


def by_name(server: Served, run: str) -> dict[str, dict[str, Any]]:
    """Return the newest call of each tool."""
    return {each["tool"]: each for each in reversed(server.api(f"actions?run={run}")["items"])}


async def ask(server: Served, token: str) -> None:
    """Have each question put and answered once while the agent waits, then put both of the servers' again."""
    async with server.over_http(token) as client:
        names = {each.name for each in (await client.list_tools()).tools}
        assert {"value", "shop__ask", "old__ask"} <= names
        pending = await client.call_tool("value", {"question": "How many?", "schema": NUMBER})
        assert (await asyncio.to_thread(answer, server, approval(pending), 0)).status_code == 400
        assert (await asyncio.to_thread(answer, server, approval(pending), 3)).is_success
        told = await client.call_tool("interlock_resume", {"approval_id": approval(pending)})
        for _ in range(600):
            if status(told) != "pending_approval":
                break
            await asyncio.sleep(0.05)
            told = await client.call_tool("interlock_resume", {"approval_id": approval(pending)})
        assert told.structured_content == {"answer": 3}
        for name, asked in (("shop__ask", "shop.ask"), ("old__ask", "old.ask")):
            assert status(await client.call_tool(name, {})) == "pending_approval"
            (found,) = await asyncio.to_thread(waiting, server, asked)
            assert (await asyncio.to_thread(answer, server, found, {"name": "Ann"})).is_success
            assert text(await ended(client, name)) == "accept: Ann"
            assert status(await client.call_tool(name, {})) == "pending_approval"


def test_people_answer_an_agent_and_its_tool_servers_and_a_kill_loses_no_question(tmp_path: Path) -> None:
    with served(tmp_path / "data", ASKING, REAL, **SETTINGS) as server:
        until(lambda: len(server.api("tools/pins")["items"]) >= 4)
        asyncio.run(ask(server, server.token("work")))
        (run,) = [each["id"] for each in server.api("runs")["items"]]
        shown = server.cli("approvals", "show", waiting(server, "old.ask")[0]).stdout
        assert "in the words of the tool server" in shown
        server.kill()
    with serving(tmp_path / "data", **SETTINGS) as server:
        for asked in ("shop.ask", "old.ask"):
            (found,) = waiting(server, asked)
            assert answer(server, found, {"name": "Bea"}).is_success
        until(lambda: by_name(server, run)["shop.ask"]["state"] == "succeeded")
        until(lambda: by_name(server, run)["old.ask"]["state"] == "in_doubt")
        assert "lost while that waited" in by_name(server, run)["old.ask"]["error"]
