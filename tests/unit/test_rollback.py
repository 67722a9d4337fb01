"""What a withdrawn version left behind: every kind of action gets its mark, and doubt asks for a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.action import Action, ActionState
from interlock.core.model import EffectClass, RiskTier, Verdict
from interlock.core.rollback import Mark, found, undecided

_S = ActionState


def an_action(name: str, state: ActionState = _S.SUCCEEDED, **more: Any) -> Action:
    made = Action(
        id=name,
        run="run_1",
        agent="bot",
        workflow="refunds",
        workflow_version=2,
        tool="crm.update",
        arguments={"customer": "cus_42", "note": "ok", "flag": True, "count": 7},
        digest="d",
        state=state,
        effect=EffectClass.ONCE,
        tier=RiskTier.LIMITED_WRITE,
        verdict=Verdict.ALLOW,
        bundle="b",
        pin="p",
        created_at=1,
        updated_at=1,
        result={"content": [{"text": None}], "id": 4711},
        began_at=10,
        ended_at=20,
    )
    return replace(made, **more)


@pytest.mark.parametrize(
    ("state", "mark"),
    [
        (_S.SUCCEEDED, Mark.UNDOABLE),
        (_S.SETTLED, Mark.UNDOABLE),
        (_S.COMPENSATED, Mark.UNDONE),
        (_S.COMPENSATING, Mark.UNDONE),
        (_S.VOIDED, Mark.UNDONE),
        (_S.COMPENSATION_FAILED, Mark.IN_DOUBT),
        (_S.IN_DOUBT, Mark.IN_DOUBT),
        (_S.EXECUTING, Mark.IN_DOUBT),
        (_S.SCHEDULED, Mark.UNDER_WAY),
        (_S.WAITING_APPROVAL, Mark.UNDER_WAY),
    ],
)
def test_every_state_that_matters_has_its_mark(state: ActionState, mark: Mark) -> None:
    [only] = found([an_action("act_1", state)], [], {})
    assert only.mark is mark
    assert only.why


def test_what_never_happened_what_only_read_and_an_undo_itself_are_left_out() -> None:
    nothing = [an_action(state.value, state) for state in (_S.DENIED, _S.REJECTED, _S.FAILED, _S.CANCELLED)]
    read = an_action("act_r", effect=EffectClass.READ)
    assert list(found([*nothing, read, an_action("act_u", comp_of="act_1")], [], {})) == []


def test_what_cannot_be_undone_says_why() -> None:
    [only] = found([an_action("act_1")], [], {"act_1": "its undo's time is over"})
    assert (only.mark, only.why) == (Mark.IRREVERSIBLE, "its undo's time is over")


@pytest.mark.parametrize(
    "arguments", [{"who": "cus_42"}, {"deep": [{"id": 4711}]}, {"deep": {"x": ["no", "cus_42"]}}]
)
def test_a_later_action_of_another_run_that_names_the_same_thing_is_told(arguments: dict[str, Any]) -> None:
    later = an_action("act_9", run="run_2", arguments=arguments, began_at=30)
    [only] = found([an_action("act_1")], [an_action("act_1"), later], {})
    assert (only.mark, only.by) == (Mark.TOUCHED, ("act_9",))


@pytest.mark.parametrize(
    "more",
    [
        {"run": "run_1"},
        {"began_at": 15},
        {"tool": "mail.send"},
        {"arguments": {"note": "ok", "count": 7, "flag": True}},
        {"comp_of": "act_1"},
    ],
)
def test_other_things_other_servers_earlier_ones_and_its_own_undo_do_not_touch(more: dict[str, Any]) -> None:
    base: dict[str, Any] = {"run": "run_2", "arguments": {"customer": "cus_42"}, "began_at": 30}
    [only] = found([an_action("act_1", result=None)], [an_action("act_9", **(base | more))], {})
    assert only.mark is Mark.UNDOABLE


def test_a_review_is_over_when_a_person_has_decided_on_each_that_is_not_undone() -> None:
    everything = list(found([an_action("act_1"), an_action("act_2", _S.COMPENSATED)], [], {}))
    assert [each.action.id for each in undecided(everything, {})] == ["act_1"]
    assert undecided(everything, {"act_1": "keep"}) == ()
