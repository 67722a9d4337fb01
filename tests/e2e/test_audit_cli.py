"""The audit log on a terminal: a line for each entry, the whole of a run on request."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.cli.audit_entry import said
from interlock.settings import environment_with
from support.warm import INTERLOCK


def test_the_list_is_short_and_a_run_is_shown_whole(tmp_path: Path) -> None:
    environment = environment_with(port=0) | {"COLUMNS": "80"}

    def interlock(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            (*INTERLOCK, *words), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    interlock("init")
    interlock("apply", "--yes", "interlock.yaml")
    run = json.loads(interlock("run", "support", "--json", "--", sys.executable, "-c", "pass"))["run"]
    listed = interlock("audit", "list")
    assert "support by support-bot: state closed, reason exit code 0" in listed
    assert "{" not in listed
    whole = interlock("audit", "show", run)
    assert re.findall(r"Z  (\S+)", whole) == ["run.opened", "token.issued", "run.ended"]
    assert '"reason": "exit code 0"' in whole
    entries = json.loads(interlock("audit", "show", run, "--json"))["items"]
    assert [each["kind"] for each in entries] == ["run.opened", "token.issued", "run.ended"]
    assert "nothing about 'act_1'" in interlock("audit", "show", "act_1", code=2)


@pytest.mark.parametrize(
    ("body", "short"),
    [
        (
            {
                "verdict": "deny",
                "reasons": [
                    {"gate": "rules", "code": "rule", "rule": "night", "verdict": "deny"},
                    {"gate": "approval", "code": "tier", "rule": None, "verdict": "require_approval"},
                ],
                "digest": "ab" * 32,
            },
            "deny (rules: night)",
        ),
        ({"outcome": "succeeded", "digest": "ab" * 32}, "outcome succeeded"),
        ({"version": 2, "differences": ["one thing"], "at": 1}, "version 2, one thing, at 1"),
        ({"differences": ["a", "b"], "expires_at": 17}, "2 differences"),
        ({"attended": True, "direct_models": False, "note": ""}, "attended"),
        ({}, ""),
    ],
)
def test_an_entry_in_short(body: dict[str, object], short: str) -> None:
    assert said(body) == short


def test_a_long_entry_is_cut() -> None:
    assert said({f"part_{each}": "x" * 50 for each in range(9)}).endswith("x…")
