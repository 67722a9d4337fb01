"""`interlock serve` is killed with -9 under clients that reach it over stdio: nothing is lost or repeated.

Real processes: SDK clients of both eras at once, `interlock mcp` between them and the server, the server, its
tool servers, the command line (A3, F4, G7, invariants 1, 2 and 5).
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from mcp import Client
from support.served import SHOP, Served, approval, served, serving, status, text, tool, until, workflow
from support.warm import REAL

MANIFEST = SHOP + tool("shop.note") + tool("shop.hang") + workflow("shop.note", "shop.hang")
SETTINGS = {"INTERLOCK_SELF_APPROVE": "1", "INTERLOCK_CALL_TIMEOUT": "5"}


async def lost(call: asyncio.Task[types.CallToolResult]) -> None:
    """A call whose server died ends with an error that says what to do; no client waits for ever."""
    async with asyncio.timeout(60):
        with pytest.raises(MCPError, match="make the identical call again"):
            await call


class Agent:
    """One client over stdio, with one call that waits for a person and one that was sent."""

    def __init__(self, client: Client, notes: Path) -> None:
        self.client = client
        self.notes = notes
        self.note = {"file": str(notes), "text": "once"}
        self.hang = {"file": str(notes)}

    def begin(self) -> list[asyncio.Task[types.CallToolResult]]:
        """Make both calls."""
        return [
            asyncio.create_task(self.client.call_tool("note", self.note)),
            asyncio.create_task(self.client.call_tool("hang", self.hang)),
        ]

    def wrote(self, what: str) -> bool:
        """Whether its tool server has done something."""
        return self.notes.exists() and what in self.notes.read_text()

    async def collect(self) -> None:
        """Come back over the same stdio: what was approved is done, what was sent is in doubt."""
        same = await self.client.call_tool("note", self.note)
        assert text(same) == "noted once"
        assert (same.meta or {})["interlock/recorded"] is True
        for _ in range(2):
            again = await self.client.call_tool("hang", self.hang)
            assert status(again) == "in_doubt"
            assert "Do not call it again" in text(again)
        assert sorted(self.notes.read_text().split()) == ["hang", "once"]
        anew = await self.client.call_tool("note", {**self.note, "text": "another"})
        assert status(anew) == "pending_approval"
        assert approval(anew)


def pending(server: Served, tool: str) -> list[str]:
    """Return the approvals of calls of `tool` that wait, as soon as both agents have one."""

    def found() -> list[str]:
        waiting = server.api("approvals")["items"]
        return [each["id"] for each in waiting if each["call"]["tool"] == tool]

    return until(lambda: found() if len(found()) == 2 else [], seconds=60)


def approve(server: Served, approvals: list[str]) -> None:
    """Approve on the command line."""
    for each in approvals:
        done = server.cli("approvals", "approve", each)
        assert done.returncode == 0, done.stderr


def settled(server: Served) -> bool:
    """Whether both notes are not only written, but on record as written."""
    states = [each["state"] for each in server.api("actions")["items"] if each["tool"] == "shop.note"]
    return states == ["succeeded"] * 2


async def story(stack: ExitStack, server: Served, agents: list[Agent]) -> Served:
    """Kill the server between the calls and their outcomes; return the one that was started after it."""
    calls = [call for agent in agents for call in agent.begin()]
    waiting = await asyncio.to_thread(pending, server, "shop.note")
    await asyncio.to_thread(approve, server, await asyncio.to_thread(pending, server, "shop.hang"))
    for agent in agents:
        await asyncio.to_thread(until, lambda agent=agent: agent.wrote("hang"), seconds=60)
    await asyncio.to_thread(server.kill)
    again: Any = serving(server.data, INTERLOCK_INLINE_WAIT="0", **SETTINGS)
    server = await asyncio.to_thread(stack.enter_context, again)
    for call in calls:
        await lost(call)
    assert await asyncio.to_thread(pending, server, "shop.note") == waiting
    await asyncio.to_thread(approve, server, waiting)
    for agent in agents:  # nobody has come back, and it is done
        await asyncio.to_thread(until, lambda agent=agent: agent.wrote("once"), seconds=60)
    await asyncio.to_thread(until, lambda: settled(server), seconds=60)
    for agent in agents:
        await agent.collect()
    return server


def test_a_kill_under_stdio_clients_loses_no_waiting_call_and_repeats_none_that_was_sent(
    tmp_path: Path,
) -> None:
    async def play(stack: ExitStack, server: Served) -> Served:
        async with server.over_stdio("auto") as modern, server.over_stdio("legacy") as legacy:
            agents = [Agent(modern, tmp_path / "modern"), Agent(legacy, tmp_path / "legacy")]
            return await story(stack, server, agents)

    with ExitStack() as stack:
        begun: Any = served(tmp_path / "d", MANIFEST, REAL, INTERLOCK_INLINE_WAIT="45", **SETTINGS)
        server = asyncio.run(play(stack, stack.enter_context(begun)))
        closed = until(lambda: [each for each in server.api("runs")["items"] if each["state"] != "open"])
        assert {each["reason"] for each in closed} == {"the client closed its end"}, (
            "the clients' runs went on over the kill and ended with them"
        )
        assert server.cli("audit", "verify").returncode == 0
