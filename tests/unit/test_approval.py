"""How often a request is decided, for what and for how long (F2, F4, invariant 6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from interlock.core.approval import (
    Act,
    ApprovalState,
    Binding,
    Decider,
    Kind,
    answered,
    climb,
    decide,
    end,
    expired,
    missing_votes,
    revise,
    stale,
    vote,
)
from interlock.core.objection import Ground, objection
from support.asked import ANN, BINDING, BOB, DECISIONS, EVE, an_approval, grounds, routed


def test_a_decision_is_single_use() -> None:
    done = decide(an_approval(), Act.APPROVE, BOB, reason="", now=150)
    assert (done.state, done.decided_by, done.decided_at) == (ApprovalState.APPROVED, "bob", 150)
    assert grounds(done, Act.REJECT, BOB) is Ground.CONFLICT
    with pytest.raises(ValueError, match="approved"):
        decide(done, Act.REJECT, BOB, reason="no", now=151)
    with pytest.raises(ValueError, match="approved"):
        end(done, ApprovalState.EXPIRED, reason="", now=151)


def test_expiry_is_told_from_a_refusal() -> None:
    late = an_approval()
    assert not expired(late, 199)
    assert expired(late, 200)
    said = objection(late, Act.APPROVE, BOB, reason="", now=200)
    assert said is not None
    assert "expired" in said.message
    ended = end(late, ApprovalState.EXPIRED, reason="nobody decided in time", now=200)
    assert (ended.state, ended.decided_by) == (ApprovalState.EXPIRED, "")
    assert not expired(ended, 300)
    assert grounds(ended, Act.APPROVE, BOB, now=300) is Ground.CONFLICT


@pytest.mark.parametrize("state", [ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.PENDING])
def test_nothing_but_a_person_decides(state: ApprovalState) -> None:
    with pytest.raises(ValueError, match="a person's decision"):
        end(an_approval(), state, reason="", now=150)


def test_changed_arguments_are_a_new_revision_with_its_own_decision() -> None:
    other = Binding(digest="d2", pin="p1", bundle="b1")
    again = revise(
        an_approval(), id="apr_2", action="act_2", binding=other, arguments={"n": 2}, by=BOB,
        four_eyes=False, now=150,
    )  # fmt: skip
    assert (again.state, again.decided_by, again.revision_of) == (ApprovalState.APPROVED, "bob", "apr_1")
    assert again.expires_at == 200
    waits = revise(
        an_approval(), id="apr_2", action="act_2", binding=other, arguments={"n": 2}, by=BOB,
        four_eyes=True, now=150,
    )  # fmt: skip
    assert (waits.state, waits.decided_by) == (ApprovalState.PENDING, "")
    assert grounds(waits, Act.APPROVE, BOB) is Ground.NOT_PERMITTED
    with pytest.raises(ValueError, match="same"):
        revise(
            an_approval(), id="apr_2", action="act_2", binding=BINDING, arguments={}, by=BOB,
            four_eyes=False, now=150,
        )  # fmt: skip


def test_a_decision_stands_only_for_the_arguments_tool_and_policy_it_was_taken_for() -> None:
    assert stale(an_approval(), BINDING) is None
    assert stale(an_approval(), replace(BINDING, digest="x")) == "the arguments are others"
    assert stale(an_approval(), replace(BINDING, pin="x")) == "the tool changed"
    assert stale(an_approval(), replace(BINDING, bundle="x")) == "the policy changed"


def test_where_it_takes_two_the_first_yes_decides_nothing_and_the_second_does() -> None:
    asked = routed(needs=2)
    assert missing_votes(asked) == 2
    with pytest.raises(ValueError, match="does not decide"):
        decide(asked, Act.APPROVE, ANN, reason="", now=150)
    once = vote(asked, ANN, reason=" fine ", now=150)
    assert (once.state, once.decided_by, once.votes[0].reason) == (ApprovalState.PENDING, "", "fine")
    again = objection(once, Act.APPROVE, ANN, reason="", now=151)
    assert again is not None
    assert (again.ground, "another person" in again.message) == (Ground.CONFLICT, True)
    with pytest.raises(ValueError, match="one yes decides"):
        vote(once, BOB, reason="", now=151)
    assert grounds(once, Act.APPROVE, BOB) is None
    assert decide(once, Act.APPROVE, BOB, reason="", now=151).state is ApprovalState.APPROVED


def test_where_it_takes_two_one_no_decides_even_of_who_had_agreed() -> None:
    once = vote(routed(needs=2), ANN, reason="", now=150)
    assert grounds(once, Act.REJECT, ANN) is None
    assert decide(once, Act.REJECT, ANN, reason="no", now=151).state is ApprovalState.REJECTED


def test_changing_the_arguments_voids_the_votes_and_who_did_is_no_eye() -> None:
    once = vote(routed(needs=2), ANN, reason="", now=150)
    other = Binding(digest="d2", pin="p1", bundle="b1")
    again = revise(
        once, id="apr_2", action="act_2", binding=other, arguments={"n": 2}, by=BOB, four_eyes=False,
        now=160, needs=2,
    )  # fmt: skip
    assert (again.state, again.votes, again.revised_by) == (ApprovalState.PENDING, (), "bob")
    assert again.excluded == {"bob", "bot"}
    assert grounds(again, Act.APPROVE, BOB) is Ground.NOT_PERMITTED
    assert grounds(again, Act.APPROVE, ANN) is None


def test_a_question_is_answered_and_nothing_else_is() -> None:
    for kind in (Kind.ANSWER, Kind.INPUT):
        asked = routed(kind=kind, requester="ann")
        assert grounds(asked, Act.APPROVE, BOB) is Ground.MISPLACED
        assert grounds(asked, Act.MODIFY, BOB) is Ground.MISPLACED
        assert grounds(asked, Act.ANSWER, BOB, reason="") is None
        assert grounds(asked, Act.REJECT, BOB) is None
        assert grounds(asked, Act.ANSWER, ANN) is None, "who started the run may answer its questions"
        assert grounds(asked, Act.ANSWER, EVE) is Ground.NOT_PERMITTED
        assert asked.excluded == {"bot"}
        done = answered(asked, BOB, {"n": 1}, reason="", now=150)
        assert (done.state, done.answer, done.decided_by) == (ApprovalState.APPROVED, {"n": 1}, "bob")
        assert grounds(done, Act.ANSWER, ANN) is Ground.CONFLICT
    assert grounds(routed(), Act.ANSWER, BOB) is Ground.MISPLACED
    assert not Kind.APPROVE.question


def test_a_decided_request_takes_no_vote_and_climbs_no_further() -> None:
    done = end(routed(needs=2), ApprovalState.CANCELLED, reason="", now=150)
    with pytest.raises(ValueError, match="cancelled"):
        vote(done, ANN, reason="", now=151)
    with pytest.raises(ValueError, match="cancelled"):
        climb(done, 1, now=151)


class OneApproval(RuleBasedStateMachine):
    """Whatever people and time do, in any order: at most one decision counts, by as many as it takes."""

    @initialize(needs=st.integers(1, 2))
    def asked(self, needs: int) -> None:
        self.approval = routed(needs=needs)
        self.now = 150
        self.counted: list[tuple[Act, str]] = []

    @rule(seconds=st.integers(0, 40))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(
        act=st.sampled_from(DECISIONS),
        person=st.sampled_from([ANN, BOB, EVE]),
        reason=st.sampled_from(["", "why"]),
    )
    def somebody_acts(self, act: Act, person: Decider, reason: str) -> None:
        if objection(self.approval, act, person, reason=reason, now=self.now) is None:
            assert self.now < 200
            assert person.name in ("ann", "bob") or self.approval.level == 1
            if act is Act.APPROVE and missing_votes(self.approval) > 1:
                self.approval = vote(self.approval, person, reason=reason, now=self.now)
                return
            self.approval = decide(self.approval, act, person, reason=reason, now=self.now)
            self.counted.append((act, person.name))

    @rule()
    def the_next_stage_begins(self) -> None:
        if self.approval.state is ApprovalState.PENDING:
            self.approval = climb(self.approval, 1, now=self.now)

    @rule(state=st.sampled_from([ApprovalState.EXPIRED, ApprovalState.CANCELLED]))
    def it_ends(self, state: ApprovalState) -> None:
        if self.approval.state is ApprovalState.PENDING:
            self.approval = end(self.approval, state, reason="", now=self.now)

    @invariant()
    def at_most_one_decision_counted(self) -> None:
        assert len(self.counted) <= 1
        if self.approval.state in (ApprovalState.APPROVED, ApprovalState.REJECTED):
            assert self.counted
            assert self.approval.decided_by in ("ann", "bob", "eve")
        if self.approval.state is ApprovalState.APPROVED:
            agreed = {self.approval.decided_by, *(each.person for each in self.approval.votes)}
            assert len(agreed) == self.approval.needs
        if self.approval.state in (ApprovalState.EXPIRED, ApprovalState.CANCELLED):
            assert not self.counted


OneApproval.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestOneApproval = OneApproval.TestCase
