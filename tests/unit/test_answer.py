"""A proposed call: what is decided about it, and what came with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.core.action import Action, ActionState
from interlock.core.answer import (
    Broken,
    Completed,
    Continuation,
    InDoubt,
    InputAsked,
    Proposal,
    Refused,
    TurnedDown,
    Waiting,
    answer_of,
)
from interlock.core.approval import NEVER, Approval, ApprovalState, Binding
from interlock.core.model import (
    Decision,
    EffectClass,
    Gate,
    Json,
    Principal,
    Reason,
    RiskTier,
    Verdict,
)

PRINCIPAL = Principal(
    agent="bot",
    owner="maria",
    workflow="refunds",
    workflow_version=1,
    run="run_1",
    environment="dev",
    token_id="tok_1",
    key_id="key_1",
    epoch=1,
    expires_at=10,
)


def a_proposal(continuation: Continuation | None) -> Proposal:
    return Proposal(
        principal=PRINCIPAL, tool="crm.lookup", arguments={"id": 1}, digest="d", continuation=continuation
    )


def test_what_is_decided_is_the_call_alone() -> None:
    with_answers = a_proposal(Continuation(request_state="", input_responses={"name": {}}))
    assert with_answers.request == a_proposal(None).request
    assert with_answers.request.arguments == {"id": 1}


def test_responses_without_a_state_came_with_the_call() -> None:
    assert a_proposal(Continuation(request_state="", input_responses={"name": {}})).foreseen == {"name": {}}


def test_responses_with_a_state_answer_a_question_and_are_not_foreseen() -> None:
    assert a_proposal(Continuation(request_state="s", input_responses={"name": {}})).foreseen is None
    assert a_proposal(None).foreseen is None


NO = Decision(
    verdict=Verdict.DENY,
    reasons=(Reason(gate=Gate.RULES, code="rule", message="no", verdict=Verdict.DENY),),
    tier=RiskTier.LIMITED_WRITE,
    effect=EffectClass.ONCE,
    bundle="b",
    pin="p",
    decided_at=1,
    digest="d",
)
ASKED = Approval(
    id="apr_1",
    action="act_1",
    state=ApprovalState.REJECTED,
    binding=Binding(digest="d", pin="p", bundle="b"),
    requested_at=1,
    expires_at=9,
    reason="not this one",
)


def an_action(state: ActionState, *, result: dict[str, Json] | None = None, error: str = "") -> Action:
    return Action(
        id="act_1",
        run="run_1",
        agent="bot",
        workflow="refunds",
        workflow_version=1,
        tool="crm.update",
        arguments={"id": 1},
        digest="d",
        state=state,
        effect=EffectClass.ONCE,
        tier=RiskTier.LIMITED_WRITE,
        verdict=Verdict.REQUIRE_APPROVAL,
        bundle="b",
        pin="p",
        created_at=1,
        updated_at=1,
        approval="apr_1",
        result=result,
        error=error,
        due_at=5,
    )


def test_every_state_of_an_action_has_an_answer_of_its_own() -> None:
    kinds = {state: type(answer_of(an_action(state, result={"a": 1}), NO)) for state in ActionState}
    assert kinds == {
        ActionState.WAITING_APPROVAL: Waiting,
        ActionState.SCHEDULED: Waiting,
        ActionState.APPROVED: Waiting,
        ActionState.EXECUTING: Waiting,
        ActionState.PARKED: Waiting,
        ActionState.RETRY: Waiting,
        ActionState.PENDING_SETTLEMENT: Completed,
        ActionState.SETTLED: Completed,
        ActionState.VOIDED: TurnedDown,
        ActionState.COMPENSATING: TurnedDown,
        ActionState.COMPENSATED: TurnedDown,
        ActionState.COMPENSATION_FAILED: TurnedDown,
        ActionState.AWAITING_INPUT: InputAsked,
        ActionState.SUCCEEDED: Completed,
        ActionState.FAILED: Completed,
        ActionState.IN_DOUBT: InDoubt,
        ActionState.DENIED: Refused,
        ActionState.REJECTED: TurnedDown,
        ActionState.EXPIRED: TurnedDown,
        ActionState.CANCELLED: TurnedDown,
        ActionState.SUPERSEDED: TurnedDown,
    }


def test_a_call_that_ended_without_a_result_did_not_happen() -> None:
    answer = answer_of(an_action(ActionState.FAILED, error="unreachable"), None, recorded=True)
    assert answer == Broken(message="unreachable", action="act_1", recorded=True)


def test_the_arguments_that_ran_are_told_only_when_a_person_changed_them() -> None:
    done = an_action(ActionState.SUCCEEDED, result={"a": 1})
    assert answer_of(done, None) == Completed(action="act_1", payload={"a": 1}, tool=done.tool)
    assert answer_of(done, None, revised=True) == Completed(
        action="act_1", payload={"a": 1}, tool=done.tool, revised={"id": 1}
    )


def test_who_was_turned_down_is_told_why() -> None:
    told = answer_of(an_action(ActionState.REJECTED), None, approval=ASKED)
    assert told == TurnedDown(approval="apr_1", state="rejected", reason="not this one", action="act_1")
    expired = answer_of(an_action(ActionState.EXPIRED, error="nobody decided"), None, approval=ASKED)
    assert isinstance(expired, TurnedDown)
    assert expired.reason == "nobody decided"


def test_who_waits_is_told_until_when() -> None:
    waiting = answer_of(an_action(ActionState.WAITING_APPROVAL), None, approval=ASKED)
    assert waiting == Waiting(approval="apr_1", action="act_1", expires_at=9, due_at=5)
    assert isinstance(waiting, Waiting)
    assert (waiting.ends_at, replace(waiting, expires_at=NEVER).ends_at) == (9, 0)


def test_a_denial_is_told_with_its_decision() -> None:
    assert answer_of(an_action(ActionState.DENIED), NO) == Refused(decision=NO, action="act_1")
    with pytest.raises(ValueError, match="decision"):
        answer_of(an_action(ActionState.DENIED), None)
