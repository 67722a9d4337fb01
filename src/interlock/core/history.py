"""Whether an action's history makes sense: replayed against the machine, it ends where the action stands.

What is found here is a fault of ours, or somebody wrote to the database beside us.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from interlock.core.action import UNDO_AGAIN, Action, ActionState
from interlock.core.model import EffectClass

_S = ActionState
FIRST = frozenset({_S.WAITING_APPROVAL, _S.SCHEDULED, _S.APPROVED, _S.EXECUTING, _S.AWAITING_INPUT})
"""The states in which an action may be written."""

_NOTHING_HAPPENED = frozenset({_S.DENIED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One move; `from_state` is "" for the first, `at` is in microseconds."""

    seq: int
    from_state: str
    to_state: str
    at: int


def flaws(action: Action, steps: Sequence[Step]) -> list[str]:
    """Return everything that is wrong with the history of `action`, given oldest first."""
    return [*_order(action, steps), *_walk(action, steps), *_counts(action, steps)]


def _order(action: Action, steps: Sequence[Step]) -> Iterator[str]:
    if [each.seq for each in steps] != list(range(action.fence + 1)):
        yield f"it has the fence {action.fence}, and the steps {[each.seq for each in steps]}"
    if [each.at for each in steps] != sorted(each.at for each in steps):
        yield "time goes back"
    if steps and steps[-1].to_state != action.state.value:
        yield f"it is {action.state.value}, but moved to {steps[-1].to_state} last"


def _walk(action: Action, steps: Sequence[Step]) -> Iterator[str]:
    known = ""
    for step in steps:
        if step.from_state != known:
            yield f"step {step.seq} leaves {step.from_state!r}, but it was {known!r}"
        if not _allowed(action, step):
            yield f"step {step.seq} goes from {step.from_state!r} to {step.to_state!r}"
        known = step.to_state


def _allowed(action: Action, step: Step) -> bool:
    following = ActionState(step.to_state)
    if not step.from_state:
        return following in FIRST
    state = ActionState(step.from_state)
    return state.may_become(following) or (bool(action.comp_of) and (state, following) in UNDO_AGAIN)


def _counts(action: Action, steps: Sequence[Step]) -> Iterator[str]:
    sent = sum(each.to_state == _S.EXECUTING for each in steps)
    asked = sum(each.to_state == _S.AWAITING_INPUT and each.from_state == _S.EXECUTING for each in steps)
    if action.attempt != sent - asked:
        yield f"it counts {action.attempt} attempts, begun {sent} times, asked for input {asked} times"
    if action.attempt and action.state in _NOTHING_HAPPENED:
        yield f"it is {action.state.value}, and may have happened"
    if action.attempt > 1 and action.effect is EffectClass.ONCE and not action.comp_of:
        yield "it may happen once, and was sent again"
    may_land = action.state is _S.COMPENSATING and any(each.from_state == _S.RETRY for each in steps[-1:])
    if bool(action.ended_at) is not (action.state.final and not may_land):
        yield f"it is {action.state.value}, and ended at {action.ended_at}"
