"""What rules can read about a call, its caller, its tool, its run and its reach (A5)."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.model import SECOND
from interlock.core.policy.field import KNOWN, Facts, Missing, example_facts, getter, known_field
from interlock.core.policy.flaw import Flaws
from support.policies import NOW, a_principal


def some_facts() -> Facts:
    return Facts(
        args={"a": {"b": {"c": 1}}, "text": "t", "dotted.key": 1},
        tool={"name": "crm.lookup", "tier": "read_only"},
        reach={"records": 12},
        principal=a_principal(actors=("root",)),
        calls={"crm.lookup": 2},
        labels=frozenset({"web", "email"}),
        started_at=NOW - 90 * SECOND,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("args.text", "t"),
        ("args.a.b.c", 1),
        ("agent.name", "refund-bot"),
        ("agent.env", "dev"),
        ("agent.owner", "maria"),
        ("agent.workflow", "refunds"),
        ("agent.version", 7),
        ("agent.actors", ["root"]),
        ("tool.name", "crm.lookup"),
        ("tool.tier", "read_only"),
        ("run.id", "run_1"),
        ("run.age", 90),
        ("run.taints", ["email", "web"]),
        ("run.calls", {"crm.lookup": 2}),
        ("run.calls.crm.lookup", 2),
        ("run.calls.crm.update", 0),
        ("reach.records", 12),
    ],
)
def test_a_field_reads(name: str, value: Any) -> None:
    flaws = Flaws()
    assert known_field(name, flaws)
    assert getter(name)(some_facts()) == value
    assert not flaws.found


@pytest.mark.parametrize(
    "name", ["args.nothing", "args.a.x", "args.text.deeper", "tool.source", "args.dotted.key"]
)
def test_what_is_not_there_is_missing(name: str) -> None:
    with pytest.raises(Missing):
        getter(name)(some_facts())


def test_every_known_field_of_agent_and_run_can_be_read() -> None:
    facts = some_facts()
    for root in ("agent", "run"):
        for name in KNOWN[root]:
            getter(f"{root}.{name}")(facts)


def test_a_call_without_a_principal_has_no_agent() -> None:
    facts = Facts(args={}, tool={})
    assert facts.run["id"] == ""
    with pytest.raises(Missing):
        getter("agent.name")(facts)


def test_an_example_starts_from_a_fresh_run_and_the_tools_own_fields() -> None:
    facts = example_facts({"args": {"a": 1}, "tool": {"tier": "limited_write"}}, {"name": "x.y"})
    assert facts.tool == {"name": "x.y", "tier": "limited_write"}
    assert getter("run.calls.x.y")(facts) == 0
    assert getter("run.taints")(facts) == []
    assert facts.agent == {}
