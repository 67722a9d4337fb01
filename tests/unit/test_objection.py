"""Who may decide, and what is said to who may not (F2, F4, invariant 6)."""

from __future__ import annotations

from interlock.core.approval import Act, ApprovalState, Decider, Kind, climb
from interlock.core.objection import Ground, objection
from interlock.core.routing import Stage
from support.asked import ANN, BOB, DECISIONS, EVE, an_approval, grounds, routed


def test_a_listed_approver_may_decide() -> None:
    for act in DECISIONS:
        assert grounds(an_approval(), act, BOB) is None


def test_somebody_who_is_not_listed_may_not_whatever_their_role() -> None:
    assert grounds(an_approval(), Act.APPROVE, EVE) is Ground.NOT_PERMITTED


def test_without_a_list_the_role_decides() -> None:
    anyone = an_approval(approvers=())
    assert grounds(anyone, Act.APPROVE, EVE) is None
    assert grounds(anyone, Act.APPROVE, BOB) is Ground.NOT_PERMITTED


def test_the_requester_may_stop_the_call_but_never_let_it_pass() -> None:
    assert grounds(an_approval(), Act.APPROVE, ANN) is Ground.NOT_PERMITTED
    assert grounds(an_approval(), Act.MODIFY, ANN) is Ground.NOT_PERMITTED
    assert grounds(an_approval(), Act.REJECT, ANN) is None
    assert grounds(an_approval(), Act.APPROVE, ANN, self_approval=True) is None


def test_an_agent_never_decides_on_its_own_call() -> None:
    bot = Decider(name="bot")
    assert grounds(an_approval(), Act.APPROVE, bot, self_approval=True) is Ground.NOT_PERMITTED


def test_who_changed_the_arguments_does_not_approve_them_where_four_eyes_are_asked_for() -> None:
    assert grounds(an_approval(revised_by="bob"), Act.APPROVE, BOB) is Ground.NOT_PERMITTED


def test_rejecting_and_modifying_need_a_reason_and_approving_does_not() -> None:
    assert grounds(an_approval(), Act.REJECT, BOB, reason="  ") is Ground.INCOMPLETE
    assert grounds(an_approval(), Act.MODIFY, BOB, reason="") is Ground.INCOMPLETE
    assert grounds(an_approval(), Act.APPROVE, BOB, reason="") is None


def test_nobody_decides_before_their_stage_has_begun_and_nobody_loses_the_right_to() -> None:
    for act in DECISIONS:
        assert grounds(routed(), act, EVE) is Ground.NOT_PERMITTED
    said = objection(routed(), Act.APPROVE, EVE, reason="", now=150)
    assert said is not None
    assert "asked in the stage fallback, which has not begun; now it is approvers" in said.message
    stranger = Decider(name="zoe", roles=frozenset({"approver"}))
    assert grounds(routed(), Act.APPROVE, stranger) is Ground.NOT_PERMITTED
    later = climb(routed(), 1, now=160)
    assert (later.stage, later.level_at, later.approvers) == ("fallback", 160, ("ann", "bob", "eve"))
    for person in (ANN, BOB, EVE):
        assert grounds(later, Act.APPROVE, person, now=160) is None
    assert grounds(later, Act.APPROVE, Decider(name="zoe", roles=frozenset({"approver"})), now=160)
    assert an_approval().stage == ""


def test_a_route_that_names_nobody_who_is_there_lets_no_role_decide() -> None:
    empty = (Stage(name="approvers", names=("desk",), people=()),)
    assert grounds(an_approval(stages=empty, approvers=()), Act.APPROVE, EVE) is Ground.NOT_PERMITTED


def test_what_a_tool_server_asks_is_not_answered_by_who_started_the_run() -> None:
    asked = routed(kind=Kind.INPUT, requester="ann", arguments={"schema": {}})
    assert asked.of_server
    assert grounds(asked, Act.ANSWER, ANN) is Ground.NOT_PERMITTED
    assert grounds(asked, Act.ANSWER, BOB) is None
    assert asked.excluded == {"ann", "bot"}
    assert not routed(kind=Kind.INPUT).of_server


def test_what_was_answered_is_said_to_be_answered_not_approved() -> None:
    asked = an_approval(kind=Kind.ANSWER, state=ApprovalState.APPROVED, decided_by="bob")
    said = objection(asked, Act.ANSWER, BOB, reason="", now=1)
    assert said is not None
    assert said.message == "This approval is already answered by bob."
