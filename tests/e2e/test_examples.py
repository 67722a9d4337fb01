"""Every example does what its page says, with the vendor's SDK and a scripted model (B1 to B5)."""

from __future__ import annotations

import re
from pathlib import Path

from interlock.testing import ModelServer
from interlock.testing.model_server import load_script
from support.served import served
from support.warm import PYTHON

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BUDGETED = EXAMPLES / "budgeted-agent"


def test_every_example_has_a_test_here() -> None:
    assert {each.name for each in EXAMPLES.iterdir() if each.is_dir()} == {BUDGETED.name}


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
