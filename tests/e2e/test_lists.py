"""Every list has one shape, over HTTP and on the command line, with the fields that its page names."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from interlock.cli.main import assemble
from interlock.web.api import NOUNS
from support.served import REFUNDER, Served, refunds, served, until
from support.warm import PYTHON

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "lists.md"
ROWS = {
    path: (command, pages == "yes", set(re.findall(r"`(\w+)`", names)))
    for path, command, pages, names in re.findall(
        r"^\| `GET (\S+)` \| (?:`(.*?)`)? ?\| (yes|no) \| (.*) \|$", PAGE.read_text(), re.MULTILINE
    )
}
NO_LIST = {
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/api/v1/approvals/digest",
    "/api/v1/audit/export",
    "/api/v1/audit/verify",
    "/api/v1/manifest",
    "/api/v1/me",
    "/api/v1/prices/offer",
    "/api/v1/spend",
}
EMPTY = {"/api/v1/signals/context", "/api/v1/autonomy/history", "/api/v1/digests"}
"""What model calls leave behind, and what a day of work does: see the tests of models and of autonomy."""
MORE = """
  budget: {hour: 1, day: 5, month: 50}
  webhook: {url: "https://127.0.0.1:9/outcomes"}
---
apiVersion: interlock/v1
kind: Provider
metadata: {name: house}
spec: {base_url: "http://127.0.0.1:9/v1", wire_format: openai, models: [{name: m}]}
"""
"""A budget of the workflow, where its outcomes are told, and a provider."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on which something is in every list, and two things in every list that has pages."""
    home = tmp_path_factory.mktemp("lists")
    manifest = refunds(home / "desk.json").rstrip() + MORE
    with served(home / "data", manifest, INTERLOCK_INLINE_WAIT="0") as found:
        until(lambda: found.api("tools/pins")["items"], seconds=40)
        file = home / "wider.yaml"
        for most in (4, 6, 7):  # narrower, which acts at once; then wider twice, which waits
            file.write_text(manifest.replace("max_calls: 5", f"max_calls: {most}"))
            assert found.cli("apply", "--yes", str(file)).returncode == 0
        for _ in range(2):
            ended = found.cli("run", "refunds", "--", *PYTHON, "-c", REFUNDER, "T-1", "T-2")
            assert ended.returncode == 0, ended.stderr
        found.json("token", "create")
        for level in ("pause", "freeze"):
            found.json("kill", "workflow", "refunds", "--level", level, "--reason", "a drill")
        found.json("breaker", "trip", "workflow:refunds", "--reason", "a drill")
        first = found.json("deployments", "list")["items"][-1]["id"]
        for _ in range(2):
            found.json("rollback", "code", "refunds", "--to", first, "--reason", "a drill")
        until(lambda: all(each["ended_at"] for each in found.api("alerts/deliveries?limit=500")["items"]))
        yield found


def ask(server: Served, path: str, **params: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {server.person()}"}
    answer = httpx2.get(server.url + path, params=params, headers=headers, timeout=30, verify=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def every(path: str) -> dict[str, str]:
    """Return what must be asked for a list in which decided ones are left out otherwise."""
    return {"state": ""} if path == "/api/v1/approvals" else {}


def test_every_list_of_the_api_is_on_the_page() -> None:
    routes = [route for noun in NOUNS for route in noun.routes if "GET" in (route.methods or ())]
    assert {each.path for each in routes if "{" not in each.path} - NO_LIST == set(ROWS)


@pytest.mark.parametrize("path", sorted(ROWS))
def test_a_list_answers_its_items_with_the_fields_of_the_page(server: Served, path: str) -> None:
    found = ask(server, path, **every(path))
    assert set(found) == {"items", "next"}
    assert found["items"] or path in EMPTY
    assert [set(each) ^ ROWS[path][2] for each in found["items"] if set(each) != ROWS[path][2]] == []


@pytest.mark.parametrize("path", [path for path, row in sorted(ROWS.items()) if row[0]])
def test_a_command_prints_the_same_shape(server: Served, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_URL", server.url)
    monkeypatch.setenv("INTERLOCK_TOKEN", server.person())
    printed = CliRunner().invoke(assemble(), [*ROWS[path][0].split(), "--json"])
    found = json.loads(printed.stdout)
    assert set(found) == {"items", "next"}
    assert all(set(each) == ROWS[path][2] for each in found["items"])


@pytest.mark.parametrize("path", [path for path, row in sorted(ROWS.items()) if row[1] and path not in EMPTY])
def test_pages_of_one_item_have_every_item_once_and_end(server: Served, path: str) -> None:
    whole = ask(server, path, **every(path), limit="3")["items"]
    assert len(whole) > 1, "one item has no second page"
    walked: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None and len(walked) < len(whole):
        page = ask(server, path, **every(path), limit="1", before=cursor)
        walked += page["items"]
        cursor = page["next"]
    assert walked == whole
    assert (cursor is None) == (len(ask(server, path, **every(path), limit="500")["items"]) == len(whole))


def test_a_table_says_how_to_go_on(server: Served) -> None:
    said = server.cli("runs", "list", "--limit", "1")
    assert "There are more: --before run_" in said.stderr
    following = server.cli("runs", "list", "--limit", "1", "--before", said.stderr.split()[-1])
    assert following.returncode == 0
    assert "There are more" not in following.stderr
    assert "before is not a place" in server.cli("audit", "list", "--before", "yesterday").stderr


def test_no_table_is_folded_beyond_use_in_a_narrow_terminal(server: Served) -> None:
    for command in (
        "runs list",
        "actions list",
        "approvals list --all",
        "changes list",
        "token list",
        "tools pins",
    ):
        shown = in_terminal(server, *command.split(), width=80)
        first = str(next(iter(server.json(*command.split())["items"][0].values())))
        lines = [line for line in shown.splitlines() if line.startswith(first)]
        assert lines, f"{command} folds its names:\n{shown}"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(len(line) for line in plain.splitlines()) <= 80, plain


def test_nothing_to_list_is_said(server: Served) -> None:
    assert server.cli("runs", "list", "--agent", "nobody").stdout == "None.\n"


def test_colours_are_off_where_they_are_not_wanted(server: Served) -> None:
    coloured = re.compile(r"\x1b\[(?:[0-9;]*;)?3[0-7]")
    words = ("runs", "show", "run_none")
    assert coloured.search(in_terminal(server, *words, width=80))
    assert not coloured.search(in_terminal(server, *words, width=80, NO_COLOR="1"))


def in_terminal(server: Served, *words: str, width: int, **settings: str) -> str:
    """Run a command in a terminal of its own; return what it shows."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    known = {name: value for name, value in server.environment.items() if name not in ("COLUMNS", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-m", "interlock.cli", *words],
        env=known | {"TERM": "xterm"} | settings,
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    shown = b""
    try:
        while piece := _read(outer):
            shown += piece
    finally:
        child.wait()
        os.close(outer)
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""
