"""What trips a breaker, what its states leave of a call, and that only a signature closes it (E1, E2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.breaker import (
    REMEMBERED,
    Breaker,
    BreakerKind,
    Repeats,
    Trigger,
    failed,
    may_move,
    opened,
    ran_clean,
    scored,
    signed,
    stance,
    subject_of,
    succeeded,
)
from interlock.core.model import BreakerState, RiskTier, Verdict

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN
TOOL = Breaker(kind=BreakerKind.TOOL, name="payments.refund")
WORKFLOW = Breaker(kind=BreakerKind.WORKFLOW, name="refunds")


@pytest.mark.parametrize("tier", list(RiskTier))
def test_open_stops_everything_and_closed_nothing(tier: RiskTier) -> None:
    assert stance(OPEN, tier) is Verdict.DENY
    assert stance(CLOSED, tier) is Verdict.ALLOW


def test_half_open_lets_reads_pass_and_puts_a_person_before_the_rest() -> None:
    assert stance(HALF_OPEN, RiskTier.READ_ONLY) is Verdict.ALLOW
    assert stance(HALF_OPEN, RiskTier.LIMITED_WRITE) is Verdict.REQUIRE_APPROVAL
    assert stance(HALF_OPEN, RiskTier.HIGH_BLAST_RADIUS) is Verdict.REQUIRE_APPROVAL


@pytest.mark.parametrize("current", list(BreakerState))
def test_nothing_unsigned_leads_anywhere_but_to_open(current: BreakerState) -> None:
    reachable = {each for each in BreakerState if may_move(current, each, signed=False)}
    assert reachable == {OPEN} - {current}


def test_a_signature_leads_towards_closed_and_never_back() -> None:
    reachable = {
        current: {each for each in BreakerState if may_move(current, each, signed=True)}
        for current in BreakerState
    }
    assert reachable == {OPEN: {HALF_OPEN, CLOSED}, HALF_OPEN: {CLOSED, OPEN}, CLOSED: {OPEN}}


def test_a_breaker_is_known_by_its_kind_and_name() -> None:
    assert TOOL.subject == ("tool", "payments.refund")
    assert subject_of(TOOL.label) == (BreakerKind.TOOL, "payments.refund")
    for wrong in ("payments.refund", "tool:", "server:payments"):
        with pytest.raises(ValueError, match="breaker"):
            subject_of(wrong)


def test_a_tool_trips_at_its_limit_of_failures_in_a_row() -> None:
    once, said = failed(TOOL, 2)
    assert (once.failures, said) == (1, None)
    assert failed(succeeded(once), 2) == (once, None)
    assert succeeded(TOOL) is TOOL
    assert failed(once, 2) == (replace(TOOL, failures=2), Trigger.TOOL_FAILURES)


def test_a_workflow_is_not_to_blame_for_a_tool_unless_it_is_on_probation() -> None:
    assert failed(WORKFLOW, 1) == (WORKFLOW, None)
    on_probation = signed(opened(WORKFLOW), HALF_OPEN)
    assert failed(on_probation, 3) == (on_probation, Trigger.HALF_OPEN_FAILURE)
    assert failed(opened(TOOL), 1) == (opened(TOOL), None)


def test_runs_without_a_score_are_low_and_a_good_one_begins_anew() -> None:
    low, said = scored(WORKFLOW, None, floor=9_000, runs=2)
    assert (low.low_runs, said) == (1, None)
    assert scored(low, 9_000, floor=9_000, runs=2) == (WORKFLOW, None)
    assert scored(low, 8_999, floor=9_000, runs=2) == (replace(low, low_runs=2), Trigger.LOW_QUALITY)
    assert scored(opened(WORKFLOW), 0, floor=9_000, runs=1) == (opened(WORKFLOW), None)


def test_clean_runs_are_evidence_only_while_half_open() -> None:
    assert ran_clean(WORKFLOW) is WORKFLOW
    probing = signed(opened(WORKFLOW), HALF_OPEN)
    assert ran_clean(ran_clean(probing)).clean_runs == 2
    assert opened(ran_clean(probing)) == replace(WORKFLOW, state=OPEN, opening=2)


def test_repeats_are_counted_for_each_call_and_the_oldest_calls_are_forgotten() -> None:
    tree = Repeats()
    assert [tree.add("t", "a"), tree.add("t", "b"), tree.add("t", "a")] == [1, 1, 2]
    assert (tree.seen("t", "a"), tree.seen("u", "a")) == (2, 0)
    for number in range(REMEMBERED - 1):
        tree.add("t", f"other {number}")
    assert (tree.seen("t", "b"), tree.seen("t", "a")) == (0, 2)


Step = st.one_of(
    st.tuples(st.just("failed"), st.integers(1, 4)),
    st.tuples(st.just("succeeded"), st.none()),
    st.tuples(st.just("scored"), st.one_of(st.none(), st.integers(0, 10_000))),
    st.tuples(st.just("clean"), st.none()),
)


@given(st.sampled_from([TOOL, WORKFLOW]), st.lists(st.one_of(Step, st.sampled_from(list(BreakerState)))))
def test_whatever_happens_only_a_signature_leads_out_of_open(
    breaker: Breaker, steps: list[tuple[str, Any] | BreakerState]
) -> None:
    for step in steps:
        was, cause = breaker, None
        if isinstance(step, BreakerState):  # a person signs
            if step is not OPEN and may_move(breaker.state, step, signed=True):
                breaker = signed(breaker, step)
                assert (breaker.opening, breaker.failures, breaker.low_runs) == (was.opening, 0, 0)
            continue
        match step:
            case "failed", int(limit):
                breaker, cause = failed(breaker, limit)
            case "succeeded", _:
                breaker = succeeded(breaker)
            case "scored", lowest:
                breaker, cause = scored(breaker, lowest, floor=5_000, runs=2)
            case _:
                breaker = ran_clean(breaker)
        assert breaker.state is was.state
        if cause is not None:
            assert was.state is not OPEN
            breaker = opened(breaker)
            assert (breaker.state, breaker.opening) == (OPEN, was.opening + 1)
