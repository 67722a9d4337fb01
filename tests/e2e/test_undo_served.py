"""A run is undone past all that stops agents, and `kill -9` in the middle of it changes nothing (E3).

Real processes: the server, its tool server, and an SDK client. Its budget is really spent, its agent is
retired, the breaker of the tool that undoes is open and everything is stopped, all at once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from support.served import PEOPLE, Served, served, serving, until, workflow
from support.warm import PYTHON, REAL

UPSTREAM = Path(__file__).parents[1] / "support" / "upstreams" / "undoable.py"
SERVER = """
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: store}}
spec: {{transport: stdio, command: [{command}]}}
---
apiVersion: interlock/v1
kind: Tool
metadata: {{name: store.add}}
spec:
  tier: limited_write
  effect: idempotent
  blast_radius: {{widest_scope: one thing, impact: small, reversible: "yes"}}
  undo: {{tool: store.drop, arguments: {{n: $args.n}}}}
  cost: {{per_call: 0.40}}
---
apiVersion: interlock/v1
kind: Tool
metadata: {{name: store.drop}}
spec:
  tier: limited_write
  effect: idempotent
  blast_radius: {{widest_scope: one thing, impact: small, reversible: "yes"}}
  undo: {{tool: store.add, arguments: {{n: $args.n}}}}
  cost: {{per_call: 0.40}}
"""


def act(server: Served, path: str, **body: Any) -> Any:
    """Do something as the administrator."""
    headers = {"Authorization": f"Bearer {server.person()}"}
    done = httpx2.post(f"{server.url}/api/v1/{path}", json=body, headers=headers, timeout=30, verify=False)
    assert done.is_success, (path, done.text)
    return done.json()


def lines(file: Path) -> list[str]:
    """Return what the tool server did, without the keys."""
    return [line.rpartition(" ")[0] for line in file.read_text().splitlines()]


async def spend(server: Served) -> list[str]:
    """Let an agent add things until its budget is spent; return what it was told."""
    async with server.over_http(server.token("work")) as client:
        told = [await client.call_tool("add", {"n": number}) for number in (1, 2, 3, 4)]
    return [each.content[0].text for each in told]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_kill_in_the_middle_of_an_undo_that_nothing_stops_undoes_each_once_in_order(tmp_path: Path) -> None:
    did, gate = tmp_path / "did", tmp_path / "gate"
    command = ", ".join((*PYTHON, str(UPSTREAM), str(did), str(gate)))
    limits = ", budget: {run: 1.00, day: 1.20}"
    manifest = PEOPLE.rstrip()
    manifest += SERVER.format(command=command) + workflow("store.add", "store.drop", more=limits)
    with served(tmp_path / "data", manifest, REAL) as server:
        until(lambda: server.api("tools/pins")["items"])
        *_, refused = asyncio.run(spend(server))
        assert "budget" in refused
        (run,) = [each["id"] for each in server.api("runs")["items"]]
        act(server, "breakers/tool:store.drop/trip", reason="odd")
        act(server, "breakers/workflow:work/trip", reason="odd")
        act(server, "agents/bot/retire", reason="no more")
        act(server, "kills", scope="environment", name="dev", reason="stop all")
        begun = act(server, f"runs/{run}/undo", reason="all of it was wrong")
        assert len(begun["undone"]) == 3
        until(lambda: "drop 3" in lines(did))
        server.kill()
    gate.touch()
    with serving(tmp_path / "data") as server:
        until(lambda: all(
            each["state"] == "compensated"
            for each in server.api(f"actions?run={run}")["items"] if each["tool"] == "store.add"
        ))  # fmt: skip
        assert lines(did) == ["add 1", "add 2", "add 3", "drop 3", "again drop 3", "drop 2", "drop 1"]
        states = {each["tool"]: each["state"] for each in server.api(f"actions?run={run}")["items"]}
        assert states == {"store.add": "compensated", "store.drop": "succeeded"}
        assert server.api("kills")["items"]
