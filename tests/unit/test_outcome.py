"""What a program is told of an action: names and states, under one id, never what was said in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.core.action import OPEN, Action, ActionState
from interlock.core.model import EffectClass, RiskTier, Verdict
from interlock.core.outcome import Outcome, is_told

_S = ActionState


def an_action(state: ActionState = _S.SUCCEEDED, **fields: Any) -> Action:
    """Return an action that holds secrets wherever it can."""
    values: dict[str, Any] = {
        "id": "act_1", "run": "run_1", "agent": "bot", "workflow": "orders", "workflow_version": 2,
        "tool": "shop.add", "arguments": {"card": "hush"}, "digest": "hush", "state": state,
        "effect": EffectClass.IDEMPOTENT, "tier": RiskTier.LIMITED_WRITE, "verdict": Verdict.ALLOW,
        "bundle": "b", "pin": "p", "created_at": 1, "updated_at": 1, "idempotency_key": "order-5",
        "result": {"text": "hush"}, "error": "hush", "principal": {"owner": "hush"},
    }  # fmt: skip
    return Action(**values | fields)


def an_outcome(action: Action, **fields: Any) -> Outcome:
    """Return what is told of it."""
    values: dict[str, Any] = {
        "action": action, "environment": "production", "seq": 7, "state": action.state, "was": "executing",
        "at": 9, "link": "https://interlock.example/api/v1/actions/act_1/outcome",
    }  # fmt: skip
    return Outcome(**values | fields)


def test_an_outcome_says_whose_call_came_to_what_and_when() -> None:
    assert an_outcome(an_action()).payload("dlv_1") == {
        "delivery": "dlv_1", "event": "act_1.7", "kind": "action.outcome", "environment": "production",
        "action": "act_1", "seq": 7, "state": "succeeded", "was": "executing", "at": 9, "run": "run_1",
        "agent": "bot", "workflow": "orders", "version": 2, "tool": "shop.add", "idempotency_key": "order-5",
        "follows": None, "successor": None, "link": "https://interlock.example/api/v1/actions/act_1/outcome",
    }  # fmt: skip


def test_no_argument_result_or_error_leaves_with_it() -> None:
    assert "hush" not in json.dumps(an_outcome(an_action()).payload("dlv_1"))


def test_the_event_stays_the_same_whatever_delivers_it() -> None:
    outcome = an_outcome(an_action())
    assert {outcome.payload(each)["event"] for each in ("dlv_1", "dlv_2")} == {outcome.event}


def test_a_second_step_names_what_it_follows() -> None:
    assert an_outcome(an_action(follows="act_0")).payload("dlv_1")["follows"] == "act_0"


def test_only_what_was_replaced_names_what_replaced_it() -> None:
    replaced = an_action(_S.SUPERSEDED, successor="act_2", idempotency_key="")
    told = an_outcome(replaced, was="").payload("dlv_1")
    assert (told["successor"], told["was"], told["idempotency_key"]) == ("act_2", None, None)
    assert an_outcome(replaced, state=_S.IN_DOUBT).payload("dlv_1")["successor"] is None


@pytest.mark.parametrize("state", list(_S))
def test_every_end_is_told_and_nothing_that_is_under_way(state: ActionState) -> None:
    assert is_told(an_action(state)) == (state not in OPEN | {_S.COMPENSATING})
    assert not is_told(an_action(state, comp_of="act_0"))
