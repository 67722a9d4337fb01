"""Every example does what its page says, with the vendor's SDK and real tool servers (B1 to B5, E4)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from docs.documents import play
from interlock.testing import ModelServer
from interlock.testing.model_server import load_script
from support.served import Served, served, until
from support.warm import PYTHON

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BUDGETED = EXAMPLES / "budgeted-agent"
MAIL, BOX, BANK = EXAMPLES / "delayed-mail", EXAMPLES / "soft-delete", EXAMPLES / "two-step-transfer"


def test_every_example_has_a_test_here() -> None:
    assert {each.name for each in EXAMPLES.iterdir() if each.is_dir()} == {
        each.name for each in (BUDGETED, MAIL, BOX, BANK)
    }


def test_a_loop_is_metered_then_degraded_then_stopped(tmp_path: Path) -> None:
    manifest = (BUDGETED / "interlock.yaml").read_text()
    with ModelServer(load_script(BUDGETED / "script.json")) as models:
        declared = manifest.replace("http://127.0.0.1:8100", models.url)
        with served(tmp_path / "data", declared) as server:
            ended = server.cli("run", "refunds", "--quiet", "--", *PYTHON, str(BUDGETED / "agent.py"))
            doctor = server.json("doctor")["items"]
            alerts = server.json("alerts", "list")["items"]
    turns = re.findall(r"turn \d+: (\S+), budget (\w+)", ended.stdout)
    assert list(dict.fromkeys(turns)) == [
        ("gpt-test", "ok"),
        ("gpt-test", "soft"),
        ("gpt-test-mini", "soft"),
        ("gpt-test-mini", "degraded"),
    ]
    assert ended.returncode == 1
    assert re.search(r"turn \d+: 402 request_exceeds_budget\n", ended.stderr)
    raised = {each["kind"] for each in alerts}
    halted = raised & {"budget.kill", "breaker.opened"}
    assert raised - halted == {"budget.soft", "budget.hard"}
    assert len(halted) != 1, "a run at its ceiling and its workflow's breaker are one commit"
    assert len(models.received) == len(turns)
    assert all(each["ok"] for each in doctor)


@contextmanager
def example(folder: Path, tmp_path: Path, state: Path) -> Generator[Served]:
    """Serve an example whose tool server keeps its state in `state`."""
    (program,) = (each for each in folder.glob("*.py") if each.name != "agent.py")
    command = ", ".join((*PYTHON, str(program), str(state)))
    declared = (folder / "interlock.yaml").read_text()
    declared = re.sub(r"command: \[python, [^]]*\]", lambda _: f"command: [{command}]", declared)
    with served(tmp_path / "data", declared) as server:
        yield server


def ran(server: Served, workflow: str, folder: Path) -> list[str]:
    """Run the example's agent, and return what it prints."""
    done = server.cli("run", workflow, "--keep-waiting", "--quiet", "--", *PYTHON, str(folder / "agent.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def ask(server: Served, person: str, path: str, reason: str) -> dict[str, Any]:
    """Do in the name of a person what the example's page does by a command."""
    admin = {"Authorization": f"Bearer {server.person()}"}
    with httpx2.Client(base_url=f"{server.url}/api/v1", timeout=30, verify=False) as http:
        token = http.post("/tokens", json={"person": person}, headers=admin).json()["token"]
        asked = {"Authorization": f"Bearer {token}"}
        answer = http.post(f"/{path}", json={"reason": reason}, headers=asked)
    assert answer.is_success, answer.text
    return answer.json()


def listed(server: Served, state: str) -> list[dict[str, Any]]:
    return server.api(f"actions?state={state}")["items"]


@pytest.mark.parametrize(
    "folder", [MAIL, BOX, pytest.param(BANK, marks=pytest.mark.long(25))], ids=lambda each: each.name
)
def test_the_page_of_an_example_does_what_it_shows(folder: Path, tmp_path: Path) -> None:
    """A newcomer types what stands there, in a copy of the folder."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    problems = play(copy / "README.md", copy)
    assert not problems, "\n\n".join(problems)


def test_a_soft_deletion_is_final_once_a_person_confirms_it(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name in ("old.txt", "older.txt"):
        (files / name).write_text(name)
    with example(BOX, tmp_path, files) as server:
        assert ran(server, "tidy", BOX) == ["old.txt is in the bin", "older.txt is in the bin"]
        until(lambda: len(listed(server, "waiting_approval")) == 2, seconds=20)
        purges = {server.api(f"actions/{each['id']}")["arguments"]["name"]: each
                  for each in listed(server, "waiting_approval")}  # fmt: skip
        gone, kept = purges["old.txt"], purges["older.txt"]
        ask(server, "deng", f"approvals/{gone['approval']}/approve", "nobody has asked for it in a month")
        ask(server, "maria", f"actions/{kept['follows']}/undo", "it is still needed")
        until(
            lambda: (files / "older.txt").exists() and not (files / ".bin" / "old.txt").exists(), seconds=20
        )
        until(lambda: server.api(f"actions/{gone['id']}")["state"] == "succeeded", seconds=20)
        shown = server.api(f"actions/{gone['follows']}/undo")
        assert f"{gone['id']} (box.purge) made it final" in shown["why_not"]["message"]
        assert server.api(f"actions/{kept['id']}")["state"] == "cancelled"
