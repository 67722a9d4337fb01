"""The third agent of the demonstration: an ordinary MCP client that does well at first and then goes wrong.

`interlock run cleanup -- python -m interlock.demo.cleaner` gives it a URL. It leaves two notes, sends a mail
that waits its time, closes tickets that do not exist until it is stopped, and ends with an error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp.client import Client

from interlock.demo.agent import say

_NOTES = {"T-1": "Archived, see the ledger.", "T-2": "Archived as well."}
_MISSING = ("T-97", "T-98", "T-99")
_STATUS = "status"
_TURNS = 200


async def main(url: str) -> int:
    """Do it all, in order; the exit code says that it failed."""
    async with Client(url) as client:
        for ticket, text in _NOTES.items():
            await _call(client, f"note {ticket}", "add_note", ticket=ticket, text=text)
        mail = {"segment": "eu", "subject": "Your archive", "body": "It is complete."}
        waits = await _call(client, "mail", "email_customers", **mail)
        await _until_cancelled(client, waits)
        for ticket in _MISSING:
            await _call(client, f"close {ticket}", "close_ticket", ticket=ticket)
        await _call(client, "close T-1", "close_ticket", ticket="T-1")
    return 1


async def _call(client: Client, step: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return _told(step, await client.call_tool(tool, arguments))


async def _until_cancelled(client: Client, said: dict[str, Any]) -> None:
    """Ask for the mail until it is no longer waiting for its time."""
    name = str(said.get("approval_id") or said.get("action") or "")
    for _ in range(_TURNS):
        result = await client.call_tool("interlock_resume", {"approval_id": name})
        content: dict[str, Any] = result.structured_content or {}
        if content.get(_STATUS) == "cancelled":
            _told("mail cancelled", result)
            return


def _told(step: str, result: Any) -> dict[str, Any]:
    content: dict[str, Any] = result.structured_content or {}
    text = "\n".join(each.text for each in result.content if each.type == "text")
    say("answered", step, ok=not result.is_error, text=text, status=content.get(_STATUS), told=content)
    return content


if __name__ == "__main__":
    sys.exit(asyncio.run(main(os.environ["MCP_SERVER_URL"])))
