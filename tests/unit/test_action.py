"""The machine of one action: which state may follow which, and what survives a crash."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.action import OPEN, Action, ActionState, advance, after_approval
from interlock.core.model import EffectClass, RiskTier, Verdict

_S = ActionState
states = st.sampled_from(ActionState)


def an_action(state: ActionState = _S.APPROVED, **fields: Any) -> Action:
    """Return an action."""
    return Action(
        id="act_1", run="run_1", agent="bot", workflow="orders", workflow_version=1, tool="shop.write",
        arguments={}, digest="d", state=state, effect=EffectClass.ONCE, tier=RiskTier.LIMITED_WRITE,
        verdict=Verdict.ALLOW, bundle="b", pin="p", created_at=1, updated_at=1, **fields,
    )  # fmt: skip


def test_only_an_approved_a_continued_or_a_retried_action_starts_executing() -> None:
    before = {each for each in ActionState if each.may_become(ActionState.EXECUTING)}
    assert before == {ActionState.APPROVED, ActionState.AWAITING_INPUT, ActionState.RETRY}


def test_what_is_over_is_only_resolved_settled_or_undone() -> None:
    later = {
        ActionState.IN_DOUBT: {
            _S.SUCCEEDED,
            _S.PENDING_SETTLEMENT,
            _S.FAILED,
            _S.RETRY,
            _S.COMPENSATING,
        },
        ActionState.SUCCEEDED: {_S.COMPENSATING},
        ActionState.PENDING_SETTLEMENT: {_S.SETTLED, _S.COMPENSATING, _S.COMPENSATION_FAILED},
        ActionState.COMPENSATING: {
            _S.COMPENSATED,
            _S.VOIDED,
            _S.COMPENSATION_FAILED,
            _S.SUCCEEDED,
            _S.IN_DOUBT,
        },
        ActionState.COMPENSATION_FAILED: {_S.COMPENSATING, _S.COMPENSATED, _S.VOIDED},
    }
    for state in ActionState:
        following = {each for each in ActionState if state.may_become(each)}
        if state.final:
            assert following == later.get(state, set())
        else:
            assert following


def test_only_an_undo_is_tried_again_once_it_failed_or_was_stopped() -> None:
    for state, following in ((_S.FAILED, _S.RETRY), (_S.CANCELLED, _S.APPROVED)):
        assert not an_action(state).may_become(following)
        assert an_action(state, comp_of="act_0").may_become(following)


def test_what_was_sent_is_never_cancelled() -> None:
    assert not ActionState.EXECUTING.cancellable
    assert not ActionState.IN_DOUBT.cancellable
    assert not ActionState.SUCCEEDED.cancellable
    assert ActionState.SCHEDULED.cancellable
    assert ActionState.WAITING_APPROVAL.cancellable


@given(st.lists(states, max_size=12))
def test_no_walk_of_the_machine_executes_a_rejected_action(walk: list[ActionState]) -> None:
    state, ended = ActionState.WAITING_APPROVAL, False
    for following in walk:
        if not state.may_become(following):
            continue
        assert not ended or following not in OPEN
        state = following
        ended = ended or state in {ActionState.REJECTED, ActionState.EXPIRED, ActionState.CANCELLED}


def test_an_approved_action_with_a_delay_waits_for_its_time() -> None:
    assert after_approval(0, 100) == (ActionState.APPROVED, 0)
    assert after_approval(50, 100) == (ActionState.SCHEDULED, 150)


def test_being_sent_counts_an_attempt_and_an_end_says_when() -> None:
    sent = advance(an_action(), _S.EXECUTING, now=10, lease_until=70)
    assert (sent.attempt, sent.began_at, sent.ended_at, sent.fence, sent.lease_until) == (1, 10, 0, 1, 70)
    waiting = advance(sent, _S.RETRY, now=20)
    again = advance(waiting, _S.EXECUTING, now=30)
    assert (again.attempt, again.began_at, again.ended_at) == (2, 10, 0)
    doubted = advance(again, _S.IN_DOUBT, now=40)
    assert doubted.ended_at == 40
    found = advance(doubted, _S.SUCCEEDED, now=50)
    assert found.ended_at == 50
    undone = advance(advance(found, _S.COMPENSATING, now=60), _S.COMPENSATED, now=70)
    assert (undone.ended_at, undone.updated_at, undone.attempt) == (50, 70, 2)


def test_a_tool_that_asks_for_input_did_nothing_yet() -> None:
    asked = advance(advance(an_action(), _S.EXECUTING, now=10), _S.AWAITING_INPUT, now=20)
    assert (asked.attempt, asked.began_at) == (0, 0)
    assert asked.cancellable
    retried = advance(an_action(_S.RETRY, attempt=1, began_at=5), _S.EXECUTING, now=10)
    assert advance(retried, _S.AWAITING_INPUT, now=20).began_at == 5


def test_what_may_have_happened_is_never_cancelled_denied_rejected_or_expired() -> None:
    for state in ActionState:
        action = an_action(state, attempt=1)
        assert not action.cancellable
        for never in (_S.CANCELLED, _S.DENIED, _S.REJECTED, _S.EXPIRED):
            assert not action.may_become(never)
    assert an_action().cancellable
    assert an_action().may_become(_S.CANCELLED)
    assert not an_action(_S.SUCCEEDED).may_become(_S.CANCELLED)


def test_a_move_never_goes_back_in_time() -> None:
    begun = advance(an_action(), _S.EXECUTING, now=0)
    assert (begun.updated_at, begun.began_at) == (1, 1)
    assert advance(begun, _S.SUCCEEDED, now=0).ended_at == 1
