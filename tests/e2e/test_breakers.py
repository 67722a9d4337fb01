"""A breaker over real processes: it trips, outlives a kill -9, and another person signs it off (E1, E2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx2
from mcp.shared.exceptions import MCPError

from mcp import Client
from support.served import SHOP, Served, read_tool, served, serving, status, text, tool, workflow
from support.warm import REAL

DENG = """---
apiVersion: interlock/v1
kind: Person
metadata: {name: deng}
spec: {email: deng@example.com, roles: [operator]}
"""
UNDO = ", undo: {tool: shop.echo, arguments: {}}"
TOOLS = read_tool("shop.echo") + tool("shop.note", "limited_write", "once", UNDO)
MANIFEST = SHOP + DENG + TOOLS + workflow("shop.note")
NOTE = "tool:shop.note"


def ask(server: Served, token: str, path: str, **body: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.post(f"{server.url}/api/v1/{path}", json=body, headers=headers, timeout=30)


def note(server: Served, place: Path, *texts: str) -> list[tuple[str, str]]:
    """Let an agent of a new run write notes into a folder; return the status and the words of each answer."""

    async def write(client: Client, words: str) -> tuple[str, str]:
        try:
            result = await client.call_tool("note", {"file": str(place / "notes"), "text": words})
        except MCPError as error:  # the tool server's own, passed on
            return "error", error.message
        return status(result), text(result)

    async def story() -> list[tuple[str, str]]:
        async with server.over_http(server.token("work")) as client:
            return [await write(client, each) for each in texts]

    return asyncio.run(story())


def test_a_tool_that_fails_is_stopped_until_another_person_signs(tmp_path: Path) -> None:
    data, place = tmp_path / "d", tmp_path / "missing"
    settings = {"INTERLOCK_INLINE_WAIT": "0"}
    with served(data, MANIFEST, REAL, **settings) as server:
        *failures, (refused, said) = note(server, place, "one", "two", "three", "four")
        assert [each for each, _ in failures] == ["error"] * 3
        assert refused == "denied"
        assert "The breaker of the tool shop.note is open: 3 failures in a row." in said
        assert "interlock breaker sign-off tool:shop.note" in said
        server.kill()
    with serving(data, **settings) as server:
        place.mkdir()
        assert note(server, place, "five")[0][0] == "denied"
        own = ask(server, server.person(), f"breakers/{NOTE}/sign-off", to="closed", reason="mine")
        assert own.status_code == 403, own.text
        (opened,) = server.api("breakers")["items"]
        assert (opened["breaker"], opened["state"], opened["starter"]) == (NOTE, "open", "maria")
        assert server.api(f"incidents/{opened['incident']}")["kind"] == "breaker.opened"
        signed_step_by_step(server, place)


def signed_step_by_step(server: Served, place: Path) -> None:
    headers = {"Authorization": f"Bearer {server.person()}"}
    made = httpx2.post(f"{server.url}/api/v1/tokens", json={"person": "deng"}, headers=headers, timeout=30)
    deng = made.json()["token"]
    silent = ask(server, deng, f"breakers/{NOTE}/sign-off", to="closed", reason=" ")
    assert silent.status_code == 400, silent.text
    as_deng = replace(server, settings={**server.settings, "INTERLOCK_TOKEN": deng})
    half = as_deng.cli("breaker", "sign-off", NOTE, "--to", "half-open", "--reason", "the folder is there")
    assert half.stdout == "tool:shop.note is half-open.\n", half.stderr
    assert note(server, place, "six")[0][0] == "pending_approval"
    assert not (place / "notes").exists()
    assert ask(server, deng, f"breakers/{NOTE}/sign-off", to="closed", reason="tried it").is_success
    assert note(server, place, "seven")[0][0] == "done"
    assert (place / "notes").read_text() == "seven\n"
    shown = server.api(f"breakers/{NOTE}")
    assert [(each["to_state"], each["person"]) for each in shown["sign_offs"]] == [
        ("closed", "deng"),
        ("half_open", "deng"),
    ]
