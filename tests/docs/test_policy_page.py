"""The policy page is true: its manifest compiles, its table is what is decided, its lists are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from interlock.core.admission import RunFacts, Snapshot, any_arguments, decide
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.model import Gate, Pin, Principal, Request
from interlock.core.policy.field import KNOWN
from interlock.core.policy.operator import OPERATORS
from interlock.manifest.load import load

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "policy.md"
TEXT = PAGE.read_text(encoding="utf-8")
CALLS = re.findall(r"^\| `(payments\.\w+)` \| `(\{.*?\})` \| `(\w+)` \| `([\w-]+)` \|$", TEXT, re.MULTILINE)
NOW = 1_900_000_000_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    manifest = tmp_path_factory.mktemp("page") / "refunds.yaml"
    (declared,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    manifest.write_text(declared, encoding="utf-8")
    return compile_bundle(load(manifest), environment="production")


def test_the_table_has_rows() -> None:
    assert len(CALLS) == 12


@pytest.mark.parametrize(("tool", "arguments", "verdict", "made_by"), CALLS)
def test_a_call_of_the_table_is_decided_as_the_page_says(
    bundle: Bundle, tool: str, arguments: str, verdict: str, made_by: str
) -> None:
    called: dict[str, Any] = json.loads(arguments)
    principal = Principal(
        agent="refund-bot",
        owner="maria",
        workflow="refunds",
        workflow_version=1,
        run="run_1",
        environment="production",
        token_id="tok_1",
        key_id="key_1",
        epoch=1,
        expires_at=NOW + 1,
    )
    snapshot = Snapshot(
        environment="production",
        bundle=bundle,
        run=RunFacts(run="run_1", workflow="refunds", version=1),
        pin=Pin(tool=tool, digest="pin"),
        schema_problem=any_arguments,
    )
    request = Request(tool=tool, arguments=called, digest=digest(called), principal=principal)
    decision = decide(request, snapshot, NOW)
    assert decision.verdict == verdict
    assert made_by in (decision.reason.code, decision.reason.rule)


def test_the_page_names_every_operator_field_and_gate_and_no_other() -> None:
    operators = TEXT.partition("### Operators")[2].partition("\n\nAn operand")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]+) \|", operators, re.MULTILINE))))
    assert named == {*OPERATORS, "present"}
    for root, names in KNOWN.items():
        (row,) = re.findall(rf"^\| `{root}\.` (.*?) \|", TEXT, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row) == list(names)
    gates = re.findall(r"^\d+\. `(\w+)`", TEXT.partition("## Gates")[2], re.MULTILINE)
    assert gates == list(Gate)
