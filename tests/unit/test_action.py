"""The machine of one action: which state may follow which, and what survives a crash."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.action import OPEN, ActionState, after_approval, after_crash
from interlock.core.model import EffectClass

_S = ActionState
states = st.sampled_from(ActionState)


def test_only_an_approved_a_continued_or_a_retried_action_starts_executing() -> None:
    before = {each for each in ActionState if each.may_become(ActionState.EXECUTING)}
    assert before == {ActionState.APPROVED, ActionState.AWAITING_INPUT, ActionState.RETRY}


def test_what_is_over_is_only_resolved_settled_or_undone() -> None:
    later = {
        ActionState.IN_DOUBT: {_S.SUCCEEDED, _S.FAILED, _S.RETRY, _S.COMPENSATING},
        ActionState.SUCCEEDED: {_S.PENDING_SETTLEMENT, _S.COMPENSATING},
        ActionState.PENDING_SETTLEMENT: {_S.SETTLED, _S.VOIDED, _S.COMPENSATING},
        ActionState.COMPENSATING: {_S.COMPENSATED, _S.COMPENSATION_FAILED},
        ActionState.COMPENSATION_FAILED: {_S.COMPENSATING, _S.COMPENSATED},
    }
    for state in ActionState:
        following = {each for each in ActionState if state.may_become(each)}
        if state.final:
            assert following == later.get(state, set())
        else:
            assert following


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


def test_a_write_cut_off_by_a_crash_is_in_doubt_and_a_read_has_failed() -> None:
    assert after_crash(EffectClass.READ) is ActionState.FAILED
    for effect in (EffectClass.IDEMPOTENT, EffectClass.PROBEABLE, EffectClass.ONCE):
        assert after_crash(effect) is ActionState.IN_DOUBT


def test_an_approved_action_with_a_delay_waits_for_its_time() -> None:
    assert after_approval(0, 100) == (ActionState.APPROVED, 0)
    assert after_approval(50, 100) == (ActionState.SCHEDULED, 150)
