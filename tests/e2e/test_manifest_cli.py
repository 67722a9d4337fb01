"""The manifest from the command line: each command as a process of its own, on one data directory."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlock.runtime import Runtime
from interlock.settings import load
from interlock.store import people
from interlock.store.database import Store
from support.served import until
from support.warm import INTERLOCK

FIXTURE = """\
manifest: interlock.yaml
workflow: support
at: 2026-11-23T12:00:00Z
cases:
  - {name: reads pass, tool: helpdesk.search_tickets, expect: allow}
  - {name: a note is reviewed later, tool: helpdesk.add_note, args: {ticket: T-1}, expect: allow_with_review}
  - name: money waits
    tool: helpdesk.refund
    args: {currency: EUR, amount_cents: 500}
    expect: require_approval
  - name: too much
    tool: helpdesk.refund
    args: {currency: EUR, amount_cents: 90000}
    expect: deny
    because: out_of_scope
  - name: the second refund is denied
    tool: helpdesk.refund
    args: {currency: EUR, amount_cents: 500}
    run: {calls: {helpdesk.refund: 1}}
    expect: deny
    because: second-refund
"""


class Shell:
    """Runs `interlock` in a folder, with a data directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, token: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        environ |= {"INTERLOCK_DATA": "data", "COLUMNS": "200", "NO_COLOR": "1"}
        environ |= {"INTERLOCK_TOKEN": token} if token else {}
        return subprocess.run(
            [*INTERLOCK, *words],
            cwd=self.folder,
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *words: str, token: str = "") -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*words, token=token)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str, token: str = "") -> Any:
        """Run a command that must succeed with --json; return its output."""
        return json.loads(self.ok(*words, "--json", token=token))

    def edit(self, old: str, new: str) -> None:
        """Change the manifest."""
        file = self.folder / "interlock.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def token_of(self, person: str) -> str:
        """Return a token of a person; no server may run."""

        async def issue() -> str:
            store = Store.open(load({}, data=self.folder / "data"), Runtime.real())
            try:
                made = await store.transact(lambda transaction: people.add_token(transaction, person))
                return made.secret
            finally:
                await store.close()

        return asyncio.run(issue())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_from_an_example_to_an_agreed_change(shell: Shell) -> None:
    shell.ok("init")
    assert "Valid for dev" in shell.ok("validate", "interlock.yaml")
    planned = shell.run("plan", "interlock.yaml", "--detailed-exitcode")
    assert planned.returncode == 2
    assert "against an empty store" in planned.stdout
    first = shell.json("apply", "interlock.yaml")
    assert (first["version"], first["administrator"], first["workflows"]) == (1, "maria", {"support": 1})

    shell.edit("le: 50000", "le: 90000")
    shell.edit("max_calls: 20", "max_calls: 10")
    said = shell.ok("apply", "interlock.yaml", "--yes")
    assert "+ widens  Workflow support: tool helpdesk.refund args.amount_cents widened" in said
    assert "- narrows  Workflow support: tool helpdesk.add_note calls a run narrowed from 20 to 10" in said
    assert "for one of deng" in said
    [change] = shell.json("changes", "list")["items"]
    alone = shell.run("changes", "approve", change["id"])
    assert alone.returncode == 1
    assert "author" in alone.stderr

    deng = shell.token_of("deng")
    shell.ok("changes", "approve", change["id"], "--reason", "agreed", token=deng)
    worst = shell.json("blast-radius", "support")
    assert worst["workflow"] == "support@3"
    assert worst["calls"][0]["arguments"] == {"amount_cents": 90000, "currency": "EUR"}


def test_a_confirmed_plan_is_what_is_applied(shell: Shell) -> None:
    shell.ok("init")
    refused = shell.run("apply", "interlock.yaml", stdin="n\n")
    assert refused.returncode == 1
    assert shell.run("apply", "interlock.yaml", stdin="y\n").returncode == 0
    assert shell.run("plan", "interlock.yaml", "--detailed-exitcode").returncode == 0


def test_what_is_wrong_is_listed_with_its_line_and_exits_1(shell: Shell) -> None:
    shell.ok("init")
    shell.edit("roles: [admin, policy_author", "rolls: [admin, policy_author")
    found = shell.run("validate", "interlock.yaml", "--json")
    assert found.returncode == 1
    [problem] = json.loads(found.stdout)["problems"]
    assert (problem["place"]["line"], problem["field"], problem["near"]) == (11, "spec.rolls", "roles")
    applied = shell.run("apply", "interlock.yaml", "--yes")
    assert applied.returncode == 1
    assert "interlock.yaml:11:3: spec.rolls: unknown field (did you mean 'roles'?)" in applied.stderr
    assert shell.run("validate", "nowhere").returncode == 1
    assert shell.run("init").returncode == 2


def test_policy_questions_are_answered_offline_and_live(shell: Shell) -> None:
    shell.ok("init")
    (shell.folder / "policy.yaml").write_text(FIXTURE)
    assert "5 of 5 as expected" in shell.ok("policy", "test", "policy.yaml")
    (shell.folder / "policy.yaml").write_text(FIXTURE.replace("expect: allow}", "expect: deny}"))
    failed = shell.run("policy", "test", "policy.yaml", "--json")
    assert failed.returncode == 1
    assert [each["ok"] for each in json.loads(failed.stdout)["cases"]] == [False, True, True, True, True]
    (shell.folder / "policy.yaml").write_text(FIXTURE.replace("expect: allow}", "expct: allow}"))
    wrong = shell.run("policy", "test", "policy.yaml")
    assert "policy.yaml:5:55: cases[0].expct: unknown field (did you mean 'expect'?)" in wrong.stderr

    shell.ok("apply", "interlock.yaml", "--yes")
    (shell.folder / "live.yaml").write_text(FIXTURE.replace("manifest: interlock.yaml\n", ""))
    shell.ok("policy", "test", "live.yaml")
    said = shell.ok(
        "policy",
        "explain",
        "support",
        "helpdesk.refund",
        "--args",
        '{"currency": "EUR", "amount_cents": 60000}',
    )
    assert "args.amount_cents: up to 50000; this was 60000" in said
    assert shell.run("policy", "explain", "support", "helpdesk.refund", "--args", "[]").returncode == 2


def test_the_schema_and_the_reports_need_no_server(shell: Shell) -> None:
    shell.ok("init")
    assert json.loads(shell.ok("schema"))["properties"]["apiVersion"] == {"const": "interlock/v1"}
    table = shell.ok("blast-radius", "support", "--file", "interlock.yaml", "--markdown")
    assert table.startswith("## Worst valid calls of support@1")
    assert '`{"amount_cents": 50000, "currency": "EUR"}`' in table
    assert shell.run("blast-radius", "nobody", "--file", "interlock.yaml").returncode == 2
    assert not (shell.folder / "data").exists()


def test_a_live_server_s_tools_are_listed_to_be_mapped(shell: Shell) -> None:
    command = f"{sys.executable} -m interlock.testing.helpdesk --state desk.json"
    shell.ok("init", "found.yaml", "--from-mcp", command)
    text = (shell.folder / "found.yaml").read_text()
    assert 'metadata: {name: "helpdesk.refund"}' in text
    assert "TODO tier" in text
    assert "Valid for dev: 9 Tool, 1 ToolServer." in shell.ok("validate", "found.yaml")
    gone = shell.run("init", "other.yaml", "--from-mcp", f"{sys.executable} -c 'print(1)'")
    assert gone.returncode == 3
    assert len(gone.stderr.splitlines()) == 2
    assert not (shell.folder / "other.yaml").exists()


OWNED = """
---
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin, agent_owner]}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: bot}
spec: {owner: maria}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: support}
spec: {agent: bot, owner: maria, tools: [{tool: helpdesk.refund}]}
"""


def test_what_is_listed_of_the_help_desk_as_it_comes_can_be_applied_and_governed(shell: Shell) -> None:
    shell.ok("init", "--from-mcp", f"{sys.executable} -m interlock.testing.helpdesk")
    assert not (shell.folder / "desk.json").exists(), "listing changes nothing at the server"
    before, noted, after = (shell.folder / "interlock.yaml").read_text().partition('"helpdesk.add_note"}')
    undone = after.replace(
        "spec: {}", "spec: {undo: {tool: helpdesk.remove_note, arguments: {note: $args.id}}}", 1
    )
    (shell.folder / "interlock.yaml").write_text(before + noted + undone + OWNED)
    shell.ok("apply", "--yes", "interlock.yaml")
    listed = shell.json("tools", "list")["items"]
    assert {each["state"] for each in listed} == {"pinned"}
    assert [each["flaws"] for each in listed if each["flaws"]] == [
        [
            "undo cannot work: helpdesk.remove_note is not mapped, so nobody knows what undoing does",
            "undo cannot work: the tool has no argument 'id'",
        ]
    ], "what the first apply could not know is told once the tools are registered"
    worst = shell.ok("blast-radius", "support")
    assert "not mapped" in worst
    assert "require_approval" in worst


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_live_server_is_listed_over_a_url(shell: Shell) -> None:
    script = (
        "from pathlib import Path; from interlock.testing.helpdesk import build; "
        "build(Path('desk.json')).run('streamable-http', host='127.0.0.1', port={port})"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", script.format(port=port)], cwd=shell.folder)
    try:
        until(lambda: listens(port), seconds=30)
        shell.ok("init", "--from-mcp", f"http://127.0.0.1:{port}/mcp")
        text = (shell.folder / "interlock.yaml").read_text()
        assert f'url: "http://127.0.0.1:{port}/mcp"' in text
        assert f'metadata: {{name: "local-{port}.refund"}}' in text
        assert "Valid for dev: 9 Tool, 1 ToolServer." in shell.ok("validate", "interlock.yaml")
        elsewhere = shell.run("init", "other.yaml", "--from-mcp", f"http://127.0.0.1:{port}/")
        assert (elsewhere.returncode, "Many end in /mcp" in elsewhere.stderr) == (3, True)
    finally:
        server.terminate()
        server.wait()
