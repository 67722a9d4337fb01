"""What waits for a person when `interlock run` ends: cancelled and said, or kept open until it is decided."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from typing import Any

import pytest

from support.served import REFUNDER, Served, refunds, served, until
from support.warm import PYTHON

AGENT = f"{REFUNDER}raise SystemExit(7)\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    home = tmp_path_factory.mktemp("waiting")
    settings = {"INTERLOCK_INLINE_WAIT": "0", "INTERLOCK_SELF_APPROVE": "true"}
    with served(home / "data", refunds(home / "desk.json"), **settings) as found:
        yield found


def start(server: Served, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the agent governed: it asks for two refunds and goes."""
    return server.cli("run", "refunds", *options, "--", *PYTHON, "-c", AGENT, "T-1", "T-2")


def shown(server: Served, *command: str) -> Any:
    done = server.cli(*command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_calls_that_still_wait_are_cancelled_and_that_is_said(server: Served) -> None:
    ended = start(server)
    assert ended.returncode == 7
    said = " ".join(ended.stderr.split())
    assert "2 calls still waited for a person and were cancelled: apr_" in said
    newest = shown(server, "actions", "list")["items"]
    assert [each["state"] for each in newest[:2]] == ["cancelled", "cancelled"]
    waiting = {each["call"]["run"] for each in shown(server, "approvals", "list")["items"]}
    assert newest[0]["run"] not in waiting, "another test's run may wait on this server; this one may not"


def test_kept_calls_execute_or_end_after_their_program_and_then_the_run_ends(server: Served) -> None:
    ended = start(server, "--keep-waiting", "--json")
    assert ended.returncode == 7, ended.stderr
    told = json.loads(ended.stdout)
    assert told["cancelled"] == []
    first, second = told["waiting"]
    run = shown(server, "runs", "show", told["run"])
    assert (run["state"], run["reason"]) == ("open", "exit code 7")
    approved = server.cli("approvals", "approve", first["approval"])
    assert approved.returncode == 0, approved.stderr
    until(lambda: shown(server, "actions", "show", first["action"])["state"] == "succeeded")
    assert shown(server, "runs", "show", told["run"])["state"] == "open"
    assert server.cli("approvals", "reject", second["approval"], "--reason", "twice").returncode == 0
    over = until(
        lambda: [each for each in [shown(server, "runs", "show", told["run"])] if each["state"] == "ended"]
    )
    assert over[0]["reason"] == "exit code 7; nothing waits any more"
    assert shown(server, "actions", "show", second["action"])["state"] == "rejected"
    kinds = [each["kind"] for each in shown(server, "audit", "list", "--run", told["run"])["items"]]
    assert {"run.detached", "run.ended"} <= set(kinds)


def test_what_is_kept_is_said_and_nothing_is_kept_that_does_not_wait(server: Served) -> None:
    ended = start(server, "--keep-waiting")
    said = " ".join(ended.stderr.split())
    assert "stays open until the last of these has ended" in said
    assert said.count("interlock actions show act_") == 2
    idle = server.cli("run", "refunds", "--keep-waiting", "--", *PYTHON, "-c", "pass")
    assert "ended: exit code 0" in " ".join(idle.stderr.split())
