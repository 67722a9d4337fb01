"""The agent of the demonstration: an ordinary MCP client that knows one URL and nothing of Interlock.

`interlock run support -- python -m interlock.demo.agent REPOSITORY` gives it the URL. Where a real agent
asks a model what to do next, this one follows a list. It prints one JSON line before and after each call.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp.client import Client
from mcp.shared.exceptions import MCPError

PENDING = "pending_approval"
_LOST = (MCPError, httpx2.HTTPError, OSError, ExceptionGroup)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One thing the agent wants to do."""

    step: str
    tool: str
    arguments: Mapping[str, Any]


def intentions(repository: str) -> list[Call]:
    """Return what the agent does, in order; two of these it should not be able to."""
    here = {"repo_path": repository}
    mail = {"segment": "pro", "subject": "Exports work again", "body": "Large exports complete since today."}
    return [
        Call(step="search", tool="search_tickets", arguments={"query": "export"}),
        Call(step="history", tool="git_log", arguments={**here, "max_count": 5}),
        Call(step="note", tool="add_note", arguments={"ticket": "T-3", "text": "Fix is ready: see NEWS.md."}),
        Call(step="stage", tool="git_add", arguments={**here, "files": ["NEWS.md"]}),
        Call(
            step="refund",
            tool="refund",
            arguments={"ticket": "T-5", "amount_cents": 90_000, "currency": "EUR"},
        ),
        Call(step="checkout", tool="git_checkout", arguments={**here, "branch_name": "release"}),
        Call(step="commit", tool="git_commit", arguments={**here, "message": "Say that exports work again"}),
        Call(step="mail", tool="email_customers", arguments=mail),
    ]


def say(event: str, step: str, **more: Any) -> None:
    """Tell whoever reads our standard output what happens."""
    sys.stdout.write(json.dumps({"event": event, "step": step, **more}) + "\n")
    sys.stdout.flush()


async def act(client: Client, call: Call, waiting: dict[str, str]) -> None:
    """Make one call; where it waits for a person, come back until it is decided; then ask once more.

    `waiting` keeps the approval of each step, so that a lost connection does not repeat the call.
    """
    say("calling", call.step, tool=call.tool)
    known = waiting.get(call.step)
    result = await (_resume(client, known) if known else client.call_tool(call.tool, dict(call.arguments)))
    while (approval := _waits_for(result)) is not None:
        if call.step not in waiting:
            waiting[call.step] = approval
            say("waiting", call.step, approval=approval)
        result = await _resume(client, approval)
    _report("answered", call.step, result)
    if call.step in waiting:
        _report("asked again", call.step, await _resume(client, waiting[call.step]))


async def _resume(client: Client, approval: str) -> Any:
    return await client.call_tool("interlock_resume", {"approval_id": approval})


def _waits_for(result: Any) -> str | None:
    content: dict[str, Any] = result.structured_content or {}
    return content["approval_id"] if content.get("status") == PENDING else None


def _report(event: str, step: str, result: Any) -> None:
    text = "\n".join(each.text for each in result.content if each.type == "text")
    say(event, step, ok=not result.is_error, text=text)


async def main(url: str, repository: str) -> None:
    """Do everything that is to be done, over a new connection whenever one is lost."""
    todo, waiting = deque(intentions(repository)), dict[str, str]()
    while todo:
        try:
            async with Client(url) as client:
                while todo:
                    await act(client, todo[0], waiting)
                    todo.popleft()
        except _LOST as error:
            say("connection lost", todo[0].step, why=type(error).__name__)
            await asyncio.sleep(0.3)


if __name__ == "__main__":
    asyncio.run(main(os.environ["MCP_SERVER_URL"], sys.argv[1]))
