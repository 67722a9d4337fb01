"""An outcome that is not known is a failure, what a caller can correct is none (E2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.action import Action, ActionState
from interlock.core.breaker import BreakerKind, Trigger
from interlock.core.model import EffectClass, Json, RiskTier, Verdict
from interlock.core.symptom import Effect, correctable, effect_of, tripped_by


def an_action(state: ActionState, **changes: Any) -> Action:
    action = Action(
        id="act_1",
        run="run_1",
        agent="refund-bot",
        workflow="refunds",
        workflow_version=1,
        tool="payments.refund",
        arguments={},
        digest="d",
        state=state,
        effect=EffectClass.ONCE,
        tier=RiskTier.LIMITED_WRITE,
        verdict=Verdict.ALLOW,
        bundle="b",
        pin="p",
        created_at=1,
        updated_at=1,
        lease_until=2,
    )
    return replace(action, **changes)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (an_action(ActionState.SUCCEEDED), Effect.CLEAN),
        (an_action(ActionState.COMPENSATING), Effect.CLEAN),
        (an_action(ActionState.IN_DOUBT), Effect.FAILURE),
        (an_action(ActionState.RETRY), Effect.FAILURE),
        (an_action(ActionState.FAILED), Effect.FAILURE),
        (an_action(ActionState.FAILED, result={"isError": True}), Effect.FAILURE),
        (an_action(ActionState.FAILED, lease_until=0), Effect.NEITHER),
        (an_action(ActionState.FAILED, result={"_meta": {"interlock/correctable": True}}), Effect.NEITHER),
        (an_action(ActionState.AWAITING_INPUT), Effect.NEITHER),
    ],
)
def test_what_the_end_of_a_call_says_about_its_tool(now: Action, said: Effect) -> None:
    assert effect_of(an_action(ActionState.EXECUTING), now) is said
    assert effect_of(an_action(ActionState.IN_DOUBT), now) is Effect.NEITHER


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, False),
        ({}, False),
        ({"content": [{"type": "text", "text": "invalid argument: amount"}]}, False),
        ({"_meta": {"interlock/error": {"code": -32602}}}, True),
        ({"_meta": {"interlock/error": {"code": -32603}}}, False),
        ({"_meta": {"interlock/correctable": True}, "structuredContent": {"status": 500}}, True),
        ({"_meta": {"interlock/correctable": False}, "structuredContent": {"status": 404}}, False),
        ({"_meta": {"interlock/correctable": "yes"}}, False),
        ({"structuredContent": {"status": 404}}, True),
        ({"structuredContent": {"status": 503}}, False),
        ({"structuredContent": {"code": "INVALID_ARGUMENT"}}, True),
        ({"structuredContent": {"code": "unavailable"}}, False),
        ({"structuredContent": {"error": {"code": "not_found"}}}, True),
        ({"structuredContent": {"error": "not found", "status": None}}, False),
    ],
)
def test_an_error_is_the_callers_only_where_that_can_be_told(
    result: dict[str, Json] | None, told: bool
) -> None:
    assert correctable(result) is told


def test_some_moves_trip_by_themselves() -> None:
    wide, expired = RiskTier.HIGH_BLAST_RADIUS, ActionState.EXPIRED
    assert tripped_by(an_action(expired, tier=wide)) == (BreakerKind.WORKFLOW, Trigger.APPROVAL_EXPIRED)
    assert tripped_by(an_action(expired, tier=wide, follows="act_0")) is None
    assert tripped_by(an_action(expired)) is None
    assert tripped_by(an_action(ActionState.REJECTED, tier=wide)) is None
    failed_undo = an_action(ActionState.COMPENSATION_FAILED)
    assert tripped_by(failed_undo) == (BreakerKind.TOOL, Trigger.COMPENSATION_FAILED)
