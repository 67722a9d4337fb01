"""A proposed call: what is decided about it, and what came with it."""

from __future__ import annotations

from interlock.core.answer import Continuation, Proposal
from interlock.core.model import Principal

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
