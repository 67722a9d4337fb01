"""What is asked alike is put together, and nothing else is (F2, F4)."""

from __future__ import annotations

from typing import Any

from interlock.core.action import Action, ActionState
from interlock.core.batch import batches, likeness
from interlock.core.model import EffectClass, RiskTier, Verdict


def an_action(id: str = "act_1", **changes: Any) -> Action:
    values: dict[str, Any] = {
        "id": id, "run": "run_1", "agent": "bot", "workflow": "orders", "workflow_version": 1,
        "tool": "shop.refund", "arguments": {}, "digest": "d", "state": ActionState.WAITING_APPROVAL,
        "effect": EffectClass.ONCE, "tier": RiskTier.HIGH_BLAST_RADIUS, "verdict": Verdict.REQUIRE_APPROVAL,
        "bundle": "b", "pin": "p", "created_at": 1, "updated_at": 1,
        "decision": {"reasons": [{"code": "tier"}, {"code": "rule", "rule": "night"}, {"code": "tier"}]},
    }  # fmt: skip
    return Action(**values | changes)


def test_alike_is_the_same_tool_workflow_tier_and_reasons() -> None:
    like = likeness(an_action())
    assert like.reasons == ("tier", "rule (night)")
    assert likeness(an_action("act_2", run="run_2", arguments={"n": 2})) == like
    others: tuple[dict[str, Any], ...] = (
        {"tool": "shop.write"}, {"workflow": "returns"}, {"tier": RiskTier.LIMITED_WRITE}, {"decision": {}},
    )  # fmt: skip
    for other in others:
        assert likeness(an_action(**other)) != like


def test_batches_hold_each_item_once_the_largest_first_and_the_oldest_before_others() -> None:
    items = [
        ("a", an_action()),
        ("b", an_action(tool="t.u")),
        ("c", an_action()),
        ("d", an_action(tool="v.w")),
    ]
    assert [each.items for each in batches(items)] == [("a", "c"), ("b",), ("d",)]
    assert batches([]) == []
