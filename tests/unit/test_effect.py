"""Unknown outcomes: what may be repeated, how often, for how long, and under which key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core import effect
from interlock.core.action import Action, ActionState
from interlock.core.model import HOUR, SECOND, EffectClass, RiskTier, Verdict


def an_action(of: EffectClass = EffectClass.IDEMPOTENT, **fields: Any) -> Action:
    """Return an action that was sent once, at 0."""
    values: dict[str, Any] = {
        "id": "act_1", "run": "run_1", "agent": "bot", "workflow": "orders", "workflow_version": 1,
        "tool": "shop.write", "arguments": {}, "digest": "d", "state": ActionState.EXECUTING,
        "tier": RiskTier.LIMITED_WRITE, "verdict": Verdict.ALLOW, "bundle": "b", "pin": "p", "created_at": 0,
        "updated_at": 0, "attempt": 1, "effect": of,
    }  # fmt: skip
    return Action(**values | fields)


def test_only_what_is_idempotent_is_repeated_by_a_machine() -> None:
    after = {
        of: effect.after_unknown(an_action(of), now=100, window=HOUR)[0]
        for of in (EffectClass.READ, EffectClass.IDEMPOTENT, EffectClass.PROBEABLE, EffectClass.ONCE)
    }
    assert after == {
        EffectClass.READ: ActionState.FAILED,
        EffectClass.IDEMPOTENT: ActionState.RETRY,
        EffectClass.PROBEABLE: ActionState.IN_DOUBT,
        EffectClass.ONCE: ActionState.IN_DOUBT,
    }


def test_each_attempt_waits_longer_and_the_last_leaves_it_in_doubt() -> None:
    waits: list[int] = []
    for attempt in range(1, effect.TRIES):
        state, due_at = effect.after_unknown(an_action(attempt=attempt), now=0, window=HOUR)
        assert state is ActionState.RETRY
        waits.append(due_at)
    assert waits == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    last = an_action(attempt=effect.TRIES)
    assert effect.after_unknown(last, now=0, window=HOUR) == (ActionState.IN_DOUBT, 0)


@pytest.mark.parametrize(
    ("now", "state"), [(8 * SECOND, ActionState.RETRY), (9 * SECOND, ActionState.IN_DOUBT)]
)
def test_nothing_is_repeated_that_the_tool_may_have_forgotten(now: int, state: ActionState) -> None:
    assert effect.after_unknown(an_action(), now=now, window=10 * SECOND)[0] is state


def test_what_waits_for_its_next_attempt_is_looked_at_again() -> None:
    waiting = an_action(state=ActionState.RETRY, began_at=5)
    assert effect.repeatable(waiting, now=14, window=10)
    assert not effect.repeatable(waiting, now=15, window=10)
    assert not effect.repeatable(replace(waiting, effect=EffectClass.ONCE), now=6, window=10)


def test_a_key_is_the_same_for_each_attempt_and_another_for_each_call() -> None:
    first = an_action()
    assert effect.key_of(replace(first, attempt=3, state=ActionState.RETRY, fence=9)) == effect.key_of(first)
    others = [
        replace(first, id="act_2"), replace(first, run="run_2"), replace(first, tool="shop.other"),
        replace(first, digest="e"), replace(first, idempotency_key="mine"),
    ]  # fmt: skip
    assert len({effect.key_of(each) for each in (first, *others)}) == 6
    kept = replace(first, idempotency_key="mine")
    assert effect.key_of(replace(kept, id="act_9")) == effect.key_of(kept)
