"""A manifest that is wrong is refused with file, line, column, field, what was expected and a near name."""

# ruff: noqa: E501 - a golden message is one line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.document.tool import Tool
from interlock.core.document.workflow import Workflow
from interlock.errors import ManifestError
from interlock.manifest import ManifestProblem, Source, load, read_manifest
from interlock.manifest.quantity import json_value
from interlock.manifest.schema import json_schema
from interlock.manifest.tree import MAX_DEPTH, parse

GOOD = """\
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin]}
---
apiVersion: interlock/v1
kind: Person
metadata: {name: deng}
spec: {email: deng@example.com}
---
apiVersion: interlock/v1
kind: Team
metadata: {name: support-leads}
spec: {members: [deng], budget: {month: 100}}
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {name: payments, environment: production}
spec:
  transport: stdio
  command: [npx, -y, "@acme/payments-mcp"]
  credentials: {env: {PAYMENTS_KEY: "secret://env/PAYMENTS_KEY"}, owner: maria, expires: 2027-06-30}
  source: internal
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {name: crm}
spec: {transport: http, url: "https://crm.example.com/mcp", stateless: true}
---
apiVersion: interlock/v1
kind: Tool
metadata: {name: crm.lookup}
spec: {tier: read_only, effect: read, blast_radius: {widest_scope: all, impact: none, reversible: always}}
---
apiVersion: interlock/v1
kind: Tool
metadata: {name: payments.refund, environment: production}
spec:
  tier: high_blast_radius
  variants:
    - {name: small, when: {args.amount_cents: {le: 5000}}, tier: limited_write}
  effect: idempotent
  blast_radius: {widest_scope: "one charge, up to its captured amount", recipients: 1, money: $args.amount_cents, reversible: window, impact: "money leaves; the customer is told"}
  sinks: [args.account]
  cost: {per_call: 0.02}
  delay: 10m
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: refund-bot}
spec: {owner: maria, backup: deng, purpose: "Answers refund requests", review_every: 90d}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: refunds, environment: production}
spec:
  agent: refund-bot
  owner: maria
  tools:
    - {tool: crm.lookup}
    - {tool: payments.refund, where: {args.currency: EUR, args.amount_cents: {le: 50000}}, max_calls: 5}
  resources: []
  prompts: []
  rules:
    - {id: second-refund, tool: payments.refund, when: {run.calls.payments.refund: {ge: 1}}, then: require_approval}
    - {id: night, tool: "*", when: {tool.tier: {ne: read_only}}, unless_hours: {tz: Europe/Berlin, days: [1,2,3,4,5], from: 8, to: 18}, then: require_approval}
  models: {pin: {main: gpt-5.5-2026-08-01}, degrade: {gpt-5.5-2026-08-01: gpt-5.5-mini-2026-08-01}}
  budget: {run: 2.00, day: 200, month: 4000, currency: USD, soft: 70%, hard: 100%, kill: 150%, on_hard: full}
  breaker: {tool_failures: 3, identical_calls: 5, quality_floor: 0.9}
  approvals: {approvers: [maria], fallback: [support-leads], sla: 15m, expire_after: 4h}
  runbook: refunds
---
apiVersion: interlock/v1
kind: Policy
metadata: {name: organisation}
spec:
  rules:
    - {id: web, tool: "*", when: {run.taints: {contains: web}}, then: deny, examples: [{run: {taints: [web]}}]}
---
apiVersion: interlock/v1
kind: Provider
metadata: {name: openai}
spec:
  base_url: https://api.openai.com/v1
  wire_format: openai
  models: [{name: gpt-5.5-2026-08-01}, {name: gpt-5.5-mini-2026-08-01}]
---
apiVersion: interlock/v1
kind: Runbook
metadata: {name: refunds}
spec:
  owner: maria
  baseline: {success_rate: 0.99, latency: 45s, cost_per_run: 0.05, runs_per_hour: 40}
  failure_modes: [{name: runaway, symptoms: cost rises, first_action: look, escalate_when: it goes on}]
  escalation: [deng]
  rollback: apply the last version
"""


def refused(text: str, name: str = "m.yaml") -> tuple[ManifestProblem, ...]:
    """Return the problems for which a text is refused."""
    with pytest.raises(ManifestError) as caught:
        read_manifest([Source(name=name, text=text)]).check("production")
    problems: Any = caught.value.problems
    return problems


def document(kind: str, spec: str, name: str = "x") -> str:
    return f"apiVersion: interlock/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def test_the_manifest_of_the_design_is_read_and_normalised(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    found = load(tmp_path)
    read_manifest([Source(name="a", text=GOOD)]).check("production")
    tool = next(each for each in found if each.name == "payments.refund")
    assert isinstance(tool, Tool)
    assert (tool.cost_per_call, tool.delay, tool.mapped) == (20_000_000, 600, True)
    flow = next(each for each in found if isinstance(each, Workflow))
    assert flow.budget is not None
    assert (flow.budget.run, flow.budget.soft) == (2_000_000_000, 700)
    assert (flow.approvals.sla, flow.breaker.quality_floor) == (900, 9_000)
    assert flow.rules[1].unless_hours is not None
    assert flow.rules[1].unless_hours.end == 18


GOLDEN: list[tuple[str, str]] = [
    (
        document("Person", "{emial: a@example.com}"),
        "m.yaml:4:7: spec.email: required and missing\nm.yaml:4:8: spec.emial: unknown field (did you mean 'email'?)",
    ),
    (
        document("Person", "{email: a@example.com, roles: [admni]}"),
        "m.yaml:4:38: spec.roles[0]: expected viewer, auditor, developer, agent_owner, approver, policy_author, "
        "operator or admin, not 'admni' (did you mean 'admin'?)",
    ),
    (
        document("Worflow", "{}"),
        "m.yaml:2:7: kind: 'Worflow' is no kind; expected one of Person, Team, Rotation, ToolServer, Tool, "
        "Agent, Workflow, Policy, Organisation, Provider, Runbook (did you mean 'Workflow'?)",
    ),
    (
        document("Dataset", "{}"),
        "m.yaml:2:7: kind: Dataset is not supported yet; leave it out of the manifest for now",
    ),
    ("kind: Person\n" * 2, "m.yaml:2:1: the key 'kind' stands here twice (first on line 1)"),
    ("a: &x [1]\nb: *y\n", "m.yaml:2:4: the alias 'y' names no anchor before it"),
    ("a:\n\t- b\n", "m.yaml:2:1: while scanning for the next token: a tab; YAML is indented with blanks"),
    ("a: !!python/object x\n", "m.yaml:1:4: YAML tags are not used in a manifest; remove the tag"),
    ("<<: {a: 1}\n", "m.yaml:1:1: merge keys (<<) are not supported; write the fields out"),
    ("[a]: 1\n", "m.yaml:1:1: a key must be plain text"),
    ("a: .nan\n", "m.yaml:1:4: '.nan' is not a number a manifest may hold"),
    ("a: \x07\n", "m.yaml:1:4: a character that YAML does not allow"),
    ("- a\n", "m.yaml:1:1: expected a document: a mapping with apiVersion, kind, metadata and spec"),
    ("a: 1\n", "m.yaml:1:1: kind: required and missing"),
    (
        document("Team", "{}").replace("apiVersion: interlock/v1\n", "apiversion: interlock/v1\n"),
        "m.yaml:1:1: apiVersion: expected interlock/v1\n"
        "m.yaml:1:1: apiversion: unknown field; expected apiVersion, kind, metadata, spec (did you mean 'apiVersion'?)",
    ),
    (
        document("Agent", "{owner: maria, review_every: 90}"),
        "m.yaml:4:36: spec.review_every: expected a duration such as 30s, 15m, 24h or 90d, not '90'",
    ),
    (
        document("Team", "{budget: {day: 0.0000000001}}"),
        "m.yaml:4:22: spec.budget.day: expected an amount of money such as 2.00, with at most 9 digits after the point, not '1E-10'",
    ),
    (
        document("Team", "{budget: {soft: 0.7, day: -1}}"),
        "m.yaml:4:23: spec.budget.soft: expected a percentage such as 70%, not '0.7'\n"
        "m.yaml:4:33: spec.budget.day: expected an amount of money such as 2.00, between 0 and 1000000000, not '-1'",
    ),
    (
        document("Team", "{budget: {soft: 90%, hard: 80%}}"),
        "m.yaml:4:16: spec.budget: expected soft < hard < kill, not this mapping",
    ),
    (
        document("ToolServer", '{transport: stdio, command: [x], credentials: {env: {K: "secret://env/K"}}}'),
        "m.yaml:4:53: spec.credentials: static credentials need an owner and an expires date, not what stands here",
    ),
    (
        document("ToolServer", "{transport: stdio, command: [x], credentials: {env: {K: hunter2}}}"),
        "m.yaml:4:63: spec.credentials.env.K: expected a reference such as secret://env/NAME; "
        "a secret never stands in a manifest, not what stands here",
    ),
    (
        document("ToolServer", "{transport: http}"),
        "m.yaml:4:7: spec: transport http needs a url, and no command, not this mapping",
    ),
    (
        document("ToolServer", "{transport: stdio, command: [x], stateless: yes}"),
        "m.yaml:4:51: spec.stateless: expected true or false, not 'yes'",
    ),
    (
        document("Tool", "{}", name="refund"),
        "m.yaml:3:18: metadata.name: expected a tool as server.tool, such as payments.refund, not 'refund'",
    ),
    (
        document("Tool", "[]", name="a.b"),
        "m.yaml:4:7: spec: expected a mapping, not a list",
    ),
    (
        document("Team", "{members: maria}"),
        "m.yaml:4:17: spec.members: expected a list, not 'maria'",
    ),
    (
        document("Team", "{members: [1]}"),
        "m.yaml:4:18: spec.members[0]: expected text, not '1'; quote it",
    ),
    (
        document("Policy", '{rules: [{id: r, tool: "*", then: allow}]}'),
        "m.yaml:4:41: spec.rules[0].then: expected allow_with_review, require_approval or deny, not 'allow'",
    ),
    (
        document(
            "Policy",
            '{rules: [{id: r, tool: "*", then: deny, unless_hours: {tz: Mars/X, days: [9], from: 9, to: 8}}]}',
        ),
        "m.yaml:4:81: spec.rules[0].unless_hours.days[0]: input should be less than or equal to 7",
    ),
    (
        document("Team", "{}") + "---\n" + document("Team", "{}"),
        "m.yaml:8:18: metadata.name: Team x is declared twice; first at m.yaml:1:1",
    ),
    (
        document("Agent", "{owner: mraia}")
        + "---\n"
        + document("Person", "{email: m@example.com}", name="maria"),
        "m.yaml:4:15: spec.owner: unknown Person 'mraia' (did you mean 'maria'?)",
    ),
]


@pytest.mark.parametrize(("text", "message"), GOLDEN, ids=range(len(GOLDEN)))
def test_a_problem_is_said_with_its_place(text: str, message: str) -> None:
    assert "\n".join(str(each) for each in refused(text)) == message


def test_a_rule_that_cannot_be_understood_is_shown_on_its_line() -> None:
    text = GOOD.replace("{le: 50000}", "{less: 50000}").replace("run.calls.payments", "rnu.calls.payments")
    text = text.replace("fallback: [support-leads]", "fallback: [suport-leads]")
    said = [str(each) for each in refused(text)]
    assert len(said) == 3
    assert said[0].startswith("m.yaml:61:85: spec.tools[1].where.args.amount_cents.less: unknown operator")
    assert "m.yaml:65:" in said[1]
    assert said[2].endswith("unknown Person, Team or Rotation 'suport-leads' (did you mean 'support-leads'?)")


def test_a_circle_of_previews_and_a_dead_deny_rule_are_load_errors() -> None:
    circle = GOOD.replace("  delay: 10m", "  preview: {tool: payments.refund, arguments: {}}")
    assert any("circle" in str(each) for each in refused(circle))
    dead = GOOD.replace("{taints: [web]}", "{taints: [mail]}")
    assert "does not catch this example" in str(refused(dead)[0])


@pytest.mark.parametrize(
    "wrong", ["{env: {K: 4711}, owner: 4711}", "{env: 4711}", "{headers: {K: [4711]}}", "4711"]
)
def test_a_secret_that_stands_in_a_manifest_is_not_repeated(wrong: str) -> None:
    spec = f"{{transport: stdio, command: [x], credentials: {wrong}}}"
    assert "4711" not in "".join(str(each) for each in refused(document("ToolServer", spec)))


def test_an_alias_bomb_is_refused_before_it_is_built() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))
    assert "more than 100000 values" in str(refused(f"a0: &a0 [x]\n{levels}\n")[0])


def test_deep_nesting_is_refused() -> None:
    assert str(MAX_DEPTH) in str(refused("a: " + "[" * 5000)[0])
    assert str(MAX_DEPTH) in str(refused("\n".join(" " * n + "a:" for n in range(100)))[0])


def test_files_that_are_too_large_not_text_or_not_there_are_refused(tmp_path: Path) -> None:
    def said(content: bytes | None) -> str:
        if content is not None:
            (tmp_path / "m.yaml").write_bytes(content)
        with pytest.raises(ManifestError) as caught:
            load(tmp_path / "m.yaml")
        return caught.value.message

    assert "no manifest here" in said(None)
    assert "m.yaml:2:4: not UTF-8: the byte 0xff" in said(b"a: 1\nb: \xff")
    assert "larger than 1024 KiB" in said(b"#" * (1024 * 1024 + 1))


def test_a_folder_is_read_in_the_order_of_names_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("nonsense")
    (tmp_path / "sub" / "a.yml").write_text(document("Team", "{}", name="a"))
    (tmp_path / "b.yaml").write_text(document("Team", "{}", name="b"))
    assert [each.name for each in load(tmp_path)] == ["b", "a"]


def test_many_problems_are_all_kept_and_the_first_fifty_listed() -> None:
    text = "---\n".join(document("Dataset", "{}") for _ in range(60))
    with pytest.raises(ManifestError) as caught:
        read_manifest([Source(name="m", text=text)])
    assert len(caught.value.problems) == 60
    assert caught.value.message.endswith("and 10 more")


def test_untrusted_text_is_escaped_and_capped_in_messages() -> None:
    [problem] = refused(f'kind: "\\e[31m{"x" * 500}"\n')
    assert "\x1b" not in str(problem)
    assert len(str(problem)) < 250


def test_every_default_of_the_schema_is_a_value_that_the_schema_takes() -> None:
    schema = json.loads(json.dumps(json_schema()))
    for name, definition in schema["$defs"].items():
        for field, said in definition.get("properties", {}).items():
            if said.get("default") is not None:
                whole = {**said, "$defs": schema["$defs"]}
                assert jsonschema_rs.is_valid(whole, said["default"]), (name, field, said["default"])


def test_the_schema_accepts_what_is_accepted_and_refuses_what_is_not() -> None:
    validator = jsonschema_rs.validator_for(json.loads(json.dumps(json_schema())))
    for node in parse("m", GOOD):
        assert validator.is_valid(json_value(node.plain()))
    for spec in ("{emial: a@example.com}", "{email: a@example.com, roles: [admni]}"):
        [node] = parse("m", document("Person", spec))
        assert not validator.is_valid(json_value(node.plain()))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        read_manifest([Source(name="m", text=text)])
    except ManifestError as error:
        _has_places(error)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.sampled_from([*"{}[]:,-&*!|>#'\"%@` \t\n", "null", "9" * 50, "1e9"]))
def test_a_manifest_with_anything_in_it_is_read_or_refused(position: int, more: str) -> None:
    try:
        read_manifest([Source(name="m", text=GOOD[:position] + more + GOOD[position:])]).check("production")
    except ManifestError as error:
        _has_places(error)


def _has_places(error: ManifestError) -> None:
    assert error.problems
    assert all(isinstance(each, ManifestProblem) and each.place.file == "m" for each in error.problems)
