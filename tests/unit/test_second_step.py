"""The second step of an action: built when it succeeds, and what it allows of the action (E4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.action import Action, ActionState
from interlock.core.document.tool import Companion, FollowUp, Settlement, Tool
from interlock.core.model import SECOND, EffectClass, RiskTier, Verdict
from interlock.core.second_step import (
    OVER,
    StepKind,
    build,
    made_final,
    may_have_happened,
    not_to_confirm,
    not_to_void,
)

_S = ActionState
NOW = 10**15
CONFIRM = Companion(tool="bank.capture", arguments={"hold": "$result.hold"})
SETTLED = Settlement(confirm=CONFIRM, void=Companion(tool="bank.release", arguments={}), within=60)
RESULT = {"structuredContent": {"hold": 7}}


def an_action(state: ActionState = _S.SUCCEEDED, **changes: Any) -> Action:
    values: dict[str, Any] = {
        "id": "act_1", "run": "run_1", "agent": "bot", "workflow": "orders", "workflow_version": 1,
        "tool": "bank.hold", "arguments": {"amount": 5}, "digest": "d", "state": state,
        "effect": EffectClass.IDEMPOTENT, "tier": RiskTier.LIMITED_WRITE, "verdict": Verdict.ALLOW,
        "bundle": "b", "pin": "p", "created_at": 1, "updated_at": 1,
    }  # fmt: skip
    return Action(**values | changes)


def a_second(state: ActionState, attempt: int = 1) -> Action:
    return an_action(state, id="act_2", tool="bank.capture", attempt=attempt, follows="act_1")


def test_a_confirmation_is_built_from_the_call_and_its_result_and_has_a_deadline() -> None:
    step = build(an_action(), Tool(name="bank.hold", settlement=SETTLED), RESULT, now=NOW)
    assert step is not None
    assert (step.kind, step.tool, step.arguments) == (StepKind.CONFIRM, "bank.capture", {"hold": 7})
    assert (step.due_at, step.problem) == (NOW + 60 * SECOND, "")
    assert len(step.digest) == 64


def test_a_follow_up_is_due_after_its_time_and_what_cannot_be_built_says_why() -> None:
    follow_up = FollowUp(tool="box.purge", arguments={"id": "$result.id"}, after=5)
    step = build(an_action(), Tool(name="box.delete", follow_up=follow_up), RESULT, now=NOW)
    assert step is not None
    assert (step.kind, step.due_at) == (StepKind.FOLLOW_UP, NOW + 5 * SECOND)
    assert (step.arguments, step.problem) == (None, "the result of the call has no $result.id")
    assert build(an_action(), Tool(name="box.delete"), RESULT, now=NOW) is None


@pytest.mark.parametrize("state", [_S.EXECUTING, _S.RETRY, _S.IN_DOUBT, _S.SUCCEEDED])
def test_what_was_sent_and_did_not_certainly_fail_may_have_happened(state: ActionState) -> None:
    assert may_have_happened(a_second(state))
    assert not may_have_happened(a_second(_S.WAITING_APPROVAL, 0))
    assert not any(may_have_happened(a_second(each)) for each in OVER)
    assert "act_2 (bank.capture)" in made_final(a_second(state))


def test_a_person_confirms_what_waits_to_be_made_final_once() -> None:
    step = build(an_action(), Tool(name="bank.hold", settlement=SETTLED), RESULT, now=NOW)
    assert step is not None
    pending, confirm = an_action(_S.PENDING_SETTLEMENT), StepKind.CONFIRM
    waiting, failed = a_second(_S.WAITING_APPROVAL, 0), a_second(_S.FAILED)
    assert [not_to_confirm(pending, step, each, confirm) for each in (None, waiting, failed)] == ["", "", ""]
    assert not_to_confirm(pending, None, None, confirm).startswith("does not wait to be settled")
    assert not_to_confirm(pending, step, None, StepKind.FOLLOW_UP).startswith("has no follow-up")
    under_way = not_to_confirm(pending, step, a_second(_S.EXECUTING), confirm)
    assert under_way == "has its second step already: act_2 is executing."
    voided = not_to_confirm(an_action(_S.VOIDED), step, failed, confirm)
    assert voided == "is voided: there is nothing to confirm."
    blind = replace(step, problem="no hold")
    assert not_to_confirm(pending, blind, None, confirm) == "cannot be made final by bank.capture: no hold."


def test_only_what_is_pending_and_not_being_settled_is_voided() -> None:
    pending = an_action(_S.PENDING_SETTLEMENT)
    assert not_to_void(pending, None) == not_to_void(pending, a_second(_S.FAILED)) == ""
    assert "may have happened" in not_to_void(pending, a_second(_S.IN_DOUBT))
    assert not_to_void(an_action(_S.SETTLED), None).startswith("is settled")
