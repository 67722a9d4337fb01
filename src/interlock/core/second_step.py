"""The second step of an action that was reversible: what makes it final, and whether that may still be (E4).

A follow-up is proposed some time after the action; a confirmation settles what is provisional. Both are
actions of their own, at most one at a time for each action, which pass the gate and a person. As long as
one may have happened, the action that it follows cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from interlock.core import compensation
from interlock.core.action import Action, ActionState
from interlock.core.document.tool import Tool
from interlock.core.model import SECOND, Json

IDENTITY = "interlock:second-step"
"""The identity under which every second step is proposed and carried out."""

LAPSED = "nobody confirmed it in time"
_S = ActionState


class StepKind(StrEnum):
    """What a second step is: a follow-up of what stands, or the confirmation of what is provisional."""

    FOLLOW_UP = "follow_up"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStep:
    """What makes one action final: the call, or the `problem` that kept it from being built.

    `due_at` is when a follow-up is proposed, or the deadline of a confirmation (microseconds). `second` is
    the action that was proposed last, "" before.
    """

    action: str
    kind: StepKind
    tool: str
    due_at: int
    arguments: Mapping[str, Json] | None = None
    digest: str = ""
    problem: str = ""
    second: str = ""


def build(
    action: Action, declared: Tool, result: Mapping[str, Json] | None, *, now: int
) -> SecondStep | None:
    """Return the second step that `declared` gives an action which succeeded at `now`; None for none."""
    call, settlement, follow_up = declared.second, declared.settlement, declared.follow_up
    if call is None:
        return None
    built = compensation.build(action, call, result, ended_at=now)
    kind = StepKind.FOLLOW_UP if settlement is None else StepKind.CONFIRM
    span = settlement.within if settlement is not None else follow_up.after if follow_up is not None else 0
    return SecondStep(
        action=action.id,
        kind=kind,
        tool=call.tool,
        due_at=now + span * SECOND,
        arguments=built.arguments,
        digest=built.digest,
        problem=built.problem,
    )


STANDING = frozenset({_S.SUCCEEDED, _S.PENDING_SETTLEMENT})
"""The states of an action that a second step may still make final."""

OVER = frozenset({_S.FAILED, _S.DENIED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED, _S.SUPERSEDED})
"""The states in which a second step came to nothing, so that a person may ask again."""


def may_have_happened(second: Action) -> bool:
    """Whether a second step was sent and did not certainly fail."""
    return second.attempt > 0 and second.state not in OVER


def made_final(second: Action) -> str:
    """Say that an action cannot be taken back because of its second step."""
    if second.state is _S.SUCCEEDED:
        return f"{second.id} ({second.tool}) made it final"
    return f"{second.id} ({second.tool}), which makes it final, may have happened"


def not_to_confirm(action: Action, step: SecondStep | None, second: Action | None, kind: StepKind) -> str:
    """Say why nobody can confirm the second step of `action` now, "" where somebody can."""
    if step is None or step.kind is not kind:
        what = "does not wait to be settled" if kind is StepKind.CONFIRM else "has no follow-up"
        return f"{what}: its tool declares none."
    if second is not None and second.state not in OVER and second.state is not _S.WAITING_APPROVAL:
        return f"has its second step already: {second.id} is {second.state.value}."
    if action.state not in _CONFIRMABLE[kind]:
        return f"is {action.state.value}: there is nothing to confirm."
    return f"cannot be made final by {step.tool}: {step.problem}." if step.problem else ""


_CONFIRMABLE = {
    StepKind.CONFIRM: frozenset({_S.PENDING_SETTLEMENT}),
    StepKind.FOLLOW_UP: frozenset({_S.SUCCEEDED}),
}


def not_to_void(action: Action, second: Action | None) -> str:
    """Say why `action` cannot be voided, "" where it can be."""
    if action.state is not _S.PENDING_SETTLEMENT:
        return f"is {action.state.value}: only what is pending settlement is voided."
    return f"cannot be voided: {made_final(second)}." if second and may_have_happened(second) else ""
