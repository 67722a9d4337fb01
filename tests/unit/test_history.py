"""Histories: what the machine can do is sound, and every kind of damage is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.action import Action, ActionState, advance
from interlock.core.history import FIRST, Step, flaws
from interlock.core.model import EffectClass, RiskTier, Verdict

_S = ActionState


def an_action(state: ActionState = _S.APPROVED, **fields: Any) -> Action:
    """Return an action as it was written."""
    return Action(
        id="act_1", run="run_1", agent="bot", workflow="orders", workflow_version=1, tool="shop.write",
        arguments={}, digest="d", state=state, effect=EffectClass.IDEMPOTENT, tier=RiskTier.LIMITED_WRITE,
        verdict=Verdict.ALLOW, bundle="b", pin="p", created_at=1, updated_at=1,
        attempt=int(state is _S.EXECUTING), **fields,
    )  # fmt: skip


def walked(action: Action, *states: ActionState) -> tuple[Action, list[Step]]:
    """Move an action through states; return it with its history."""
    steps = [Step(seq=0, from_state="", to_state=action.state.value, at=1)]
    for state in states:
        was, action = action, advance(action, state, now=action.updated_at + 1)
        steps.append(
            Step(seq=action.fence, from_state=was.state.value, to_state=state.value, at=action.updated_at)
        )
    return action, steps


@given(st.sampled_from(sorted(FIRST)), st.lists(st.sampled_from(ActionState), max_size=20))
def test_every_walk_of_the_machine_is_a_sound_history(first: ActionState, wanted: list[ActionState]) -> None:
    action = an_action(first)
    states: list[ActionState] = []
    for each in wanted:
        if action.may_become(each):
            action = advance(action, each, now=action.updated_at + 1)
            states.append(each)
    assert flaws(*walked(an_action(first), *states)) == []


def test_what_may_still_land_when_it_is_undone_has_not_ended() -> None:
    walk = (_S.EXECUTING, _S.RETRY, _S.COMPENSATING)
    action, steps = walked(an_action(), *walk)
    assert (action.ended_at, flaws(action, steps)) == (0, [])
    assert flaws(*walked(an_action(), *walk, _S.COMPENSATED)) == []


DONE = walked(an_action(), _S.EXECUTING, _S.SUCCEEDED)
DAMAGE: dict[str, tuple[Action, list[Step]]] = {
    "and the steps": (DONE[0], DONE[1][1:]),
    "time goes back": (DONE[0], [replace(DONE[1][0], at=99), *DONE[1][1:]]),
    "but moved to": (replace(DONE[0], state=_S.FAILED), DONE[1]),
    "but it was": (DONE[0], [DONE[1][0], replace(DONE[1][1], from_state="parked"), DONE[1][2]]),
    "step 2 goes from": (DONE[0], [*DONE[1][:2], replace(DONE[1][2], to_state="denied")]),
    "step 0 goes from": (DONE[0], [replace(DONE[1][0], to_state="succeeded"), *DONE[1][1:]]),
    "it counts 3 attempts": (replace(DONE[0], attempt=3), DONE[1]),
    "and may have happened": (replace(DONE[0], state=_S.CANCELLED), DONE[1]),
    "was sent again": (replace(DONE[0], attempt=2, effect=EffectClass.ONCE), DONE[1]),
    "and ended at": (replace(DONE[0], ended_at=0), DONE[1]),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_every_damage_is_seen(said: str) -> None:
    assert any(said in each for each in flaws(*DAMAGE[said]))


def test_a_history_without_a_step_is_damaged() -> None:
    assert flaws(an_action(), []) != []
