"""The help desk is a real MCP server whose effects are on file, whoever asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from interlock.testing.helpdesk import build
from support.warm import PYTHON


def test_every_tool_is_listed_with_a_schema_and_a_description(tmp_path: Path) -> None:
    async def listed() -> list[Any]:
        async with Client(build(tmp_path / "desk.json")) as client:
            return (await client.list_tools()).tools

    tools = anyio.run(listed)
    assert [each.name for each in tools] == [
        "search_tickets",
        "get_ticket",
        "count_customers",
        "add_note",
        "remove_note",
        "close_ticket",
        "reopen_ticket",
        "email_customers",
        "refund",
    ]
    assert all(each.description and each.input_schema["type"] == "object" for each in tools)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_effects_over_stdio_are_in_the_state_file_in_their_order(tmp_path: Path, mode: str) -> None:
    state = tmp_path / "desk.json"
    command = StdioServerParameters(
        command=PYTHON[0], args=[*PYTHON[1:], "-m", "interlock.testing.helpdesk", "--state", str(state)]
    )

    async def story() -> dict[str, Any]:
        async with Client(command, mode=mode) as client:
            found = await client.call_tool("search_tickets", {"query": "refund"})
            noted = await client.call_tool("add_note", {"ticket": "T-5", "text": "Checked."})
            assert noted.structured_content
            await client.call_tool("remove_note", {"note": noted.structured_content["note"]})
            await client.call_tool("close_ticket", {"ticket": "T-5"})
            await client.call_tool("refund", {"ticket": "T-5", "amount_cents": 100, "currency": "EUR"})
            await client.call_tool("email_customers", {"segment": "pro", "subject": "Hi", "body": "There"})
            refused = await client.call_tool("get_ticket", {"ticket": "T-99"})
            assert refused.is_error
            assert found.structured_content
            return found.structured_content

    assert [each["ticket"] for each in anyio.run(story)["tickets"]] == ["T-5"]
    desk = json.loads(state.read_text())
    assert [each["tool"] for each in desk["effects"]] == [
        "add_note",
        "remove_note",
        "close_ticket",
        "refund",
        "email_customers",
    ]
    assert desk["tickets"]["T-5"]["notes"] == {}
    assert desk["tickets"]["T-5"]["status"] == "closed"
    assert desk["refunds"][0]["customer"] == "C-5"
    assert len(desk["mails"][0]["to"]) == 3


def test_a_change_that_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    async def story() -> bool:
        async with Client(build(tmp_path / "desk.json")) as client:
            result = await client.call_tool(
                "email_customers", {"segment": "nobody", "subject": "", "body": ""}
            )
            return bool(result.is_error)

    assert anyio.run(story)
    assert not (tmp_path / "desk.json").exists()
