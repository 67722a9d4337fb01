"""A tool that costs money, from the agent program to `interlock budget`: charged, refused, explained (B1)."""

from __future__ import annotations

from pathlib import Path

from support.served import refunds, served, until
from support.warm import PYTHON

MORE = """
---
apiVersion: interlock/v1
kind: Tool
metadata: {name: desk.get_ticket}
spec:
  tier: read_only
  effect: read
  blast_radius: {widest_scope: one ticket, impact: none, reversible: always}
  cost: {per_call: 0.40}
"""
READER = """
import asyncio, os
from mcp import Client
async def main():
    async with Client(os.environ["MCP_SERVER_URL"]) as client:
        for _ in range(5):
            said = await client.call_tool("desk.get_ticket", {"ticket": "T-1"})
            print("error" if said.is_error else "read", said.content[0].text[:160].replace(chr(10), " "))
asyncio.run(main())
"""


def test_a_run_pays_for_its_tools_until_its_budget_says_no(tmp_path: Path) -> None:
    manifest = refunds(tmp_path / "desk.json").replace(
        "tools: [{tool: desk.refund, max_calls: 5}]",
        "tools: [{tool: desk.refund}, {tool: desk.get_ticket}]\n  budget: {run: 1.00, day: 50}",
    )
    with served(tmp_path / "data", manifest.rstrip() + MORE) as server:
        until(lambda: server.api("tools/pins")["items"], seconds=40)
        ended = server.cli("run", "refunds", "--", *PYTHON, "-c", READER)
        lines = [each for each in ended.stdout.splitlines() if each.startswith(("read", "error"))]
        assert [each.split()[0] for each in lines] == ["read", "read", "read", "error", "error"], ended
        assert "budget" in lines[3]
        (run,) = [each["id"] for each in server.json("runs", "list")["items"]]
        found = server.json("budget", "explain", run)
        assert found["cost"] == 1_200_000_000
        assert [(each["served_model"], each["cost"]) for each in found["calls"]] == [
            ("desk.get_ticket", 400_000_000)
        ] * 3
        assert {each["kind"]: each["spent"] for each in found["accounts"]} == {
            "run": 1_200_000_000,
            "workflow": 1_200_000_000,
        }
        shown = server.json("budget", "show", "--kind", "workflow")["items"]
        assert [(each["window"], each["spent"], each["used"]) for each in shown] == [
            ("day", 1_200_000_000, 24)
        ]
        assert "$1.2000" in server.cli("budget", "explain", run).stdout
        assert "3 calls" in server.cli("budget", "explain", run).stdout
