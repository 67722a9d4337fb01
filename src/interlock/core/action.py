"""The states of one action and which may follow which.

Every move is a compare-and-set on (state, fence), journalled in the same commit; the fence grows
by one with each move, so that a writer who was overtaken cannot move an action it no longer knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

from interlock.core.model import EffectClass, Json, RiskTier, Verdict, value


class ActionState(StrEnum):
    """Where an action stands."""

    WAITING_APPROVAL = "waiting_approval"
    SCHEDULED = "scheduled"
    APPROVED = "approved"
    PARKED = "parked"
    EXECUTING = "executing"
    AWAITING_INPUT = "awaiting_input"
    RETRY = "retry"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    PENDING_SETTLEMENT = "pending_settlement"
    SETTLED = "settled"
    VOIDED = "voided"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"
    DENIED = "denied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether nothing can follow without a person."""
        return self not in OPEN

    @property
    def cancellable(self) -> bool:
        """Whether it can still be stopped: nothing was sent that could have had an effect."""
        return _S.CANCELLED in _MOVES.get(self, frozenset())

    def may_become(self, following: ActionState) -> bool:
        """Whether the move is one of the machine's."""
        return following in _MOVES.get(self, frozenset())


_S = ActionState
OPEN = frozenset(
    {_S.WAITING_APPROVAL, _S.SCHEDULED, _S.APPROVED, _S.PARKED, _S.EXECUTING, _S.AWAITING_INPUT, _S.RETRY}
)
_MOVES: dict[ActionState, frozenset[ActionState]] = {
    _S.WAITING_APPROVAL: frozenset(
        {_S.APPROVED, _S.SCHEDULED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED, _S.SUPERSEDED}
    ),
    _S.SCHEDULED: frozenset({_S.APPROVED, _S.CANCELLED}),
    _S.APPROVED: frozenset({_S.EXECUTING, _S.PARKED, _S.CANCELLED, _S.DENIED, _S.WAITING_APPROVAL}),
    _S.PARKED: frozenset({_S.APPROVED, _S.CANCELLED}),
    _S.EXECUTING: frozenset(
        {
            _S.SUCCEEDED,
            _S.PENDING_SETTLEMENT,
            _S.FAILED,
            _S.IN_DOUBT,
            _S.RETRY,
            _S.AWAITING_INPUT,
            _S.COMPENSATING,
        }
    ),
    _S.AWAITING_INPUT: frozenset({_S.EXECUTING, _S.CANCELLED, _S.DENIED, _S.WAITING_APPROVAL}),
    _S.RETRY: frozenset({_S.EXECUTING, _S.IN_DOUBT, _S.COMPENSATING}),
    _S.IN_DOUBT: frozenset({_S.SUCCEEDED, _S.PENDING_SETTLEMENT, _S.FAILED, _S.RETRY, _S.COMPENSATING}),
    _S.SUCCEEDED: frozenset({_S.COMPENSATING}),
    _S.PENDING_SETTLEMENT: frozenset({_S.SETTLED, _S.COMPENSATING, _S.COMPENSATION_FAILED}),
    _S.COMPENSATING: frozenset(
        {_S.COMPENSATED, _S.VOIDED, _S.COMPENSATION_FAILED, _S.SUCCEEDED, _S.IN_DOUBT}
    ),
    _S.COMPENSATION_FAILED: frozenset({_S.COMPENSATING, _S.COMPENSATED, _S.VOIDED}),
}
UNDO_AGAIN = frozenset({(_S.FAILED, _S.RETRY), (_S.CANCELLED, _S.APPROVED)})
"""Moves of an undo alone: there is one of an action at most, so a person has it tried again (invariant 8)."""


@value
class Action:
    """One proposed tool call that is more than a read, with everything needed to decide it anew.

    `principal` is the verified caller as plain JSON, `decision` the last decision on it. `due_at` is set
    while it is scheduled or to be tried again, `lease_until` says until when a call that was sent may still
    land. `attempt` counts how often it was sent and may have landed, `began_at` is the first of these times,
    `ended_at` when its outcome was written. `comp_of` names the action that this one undoes, `undo_until`
    says how long this one can be undone. `follows` names the action whose second step this one is. What is
    pending settlement is voided at `due_at`.
    """

    id: str
    run: str
    agent: str
    workflow: str
    workflow_version: int
    tool: str
    arguments: Mapping[str, Json]
    digest: str
    state: ActionState
    effect: EffectClass
    tier: RiskTier
    verdict: Verdict
    bundle: str
    pin: str
    created_at: int
    updated_at: int
    fence: int = 0
    approval: str = ""
    principal: Mapping[str, Json] = field(default_factory=dict[str, Json])
    decision: Mapping[str, Json] = field(default_factory=dict[str, Json])
    result: Mapping[str, Json] | None = None
    error: str = ""
    idempotency_key: str = ""
    input_state: str = ""
    successor: str = ""
    collected: bool = False
    due_at: int = 0
    lease_until: int = 0
    attempt: int = 0
    began_at: int = 0
    ended_at: int = 0
    comp_of: str = ""
    undo_until: int = 0
    follows: str = ""

    @property
    def cancellable(self) -> bool:
        """Whether it can still be stopped: what was sent and may have landed cannot."""
        return self.attempt == 0 and self.state.cancellable

    def may_become(self, following: ActionState) -> bool:
        """Whether the move is one of the machine's. What may have happened never becomes what did not."""
        if self.comp_of and (self.state, following) in UNDO_AGAIN:
            return True
        return self.state.may_become(following) and not (self.attempt and following in _NEVER_SENT)


_FIELDS = tuple(each.name for each in fields(Action))
_all_of = attrgetter(*_FIELDS)
_NEVER_SENT = frozenset({_S.CANCELLED, _S.DENIED, _S.REJECTED, _S.EXPIRED})


def advance(action: Action, to: ActionState, *, now: int, **changes: Any) -> Action:
    """Return `action` after its move to `to` at `now`, with `changes` to its fields.

    To be sent counts an attempt. A tool that asked for input did nothing yet, which takes it back. What is
    undone while it may still land has not ended before its undo. No move is before the one before it, though
    a commit that waited for another's may have begun before that one.
    """
    now = max(action.updated_at, now)
    attempt, began_at, ended_at = action.attempt, action.began_at, action.ended_at
    if to is _S.EXECUTING:
        attempt, began_at = attempt + 1, began_at or now
    elif to is _S.AWAITING_INPUT:
        attempt -= 1
        began_at = began_at if attempt else 0
    if not to.final or (action.state is _S.RETRY and to is _S.COMPENSATING):
        ended_at = 0
    elif action.state in _UNDECIDED or not ended_at:
        ended_at = now
    return _changed(
        action,
        state=to,
        fence=action.fence + 1,
        updated_at=now,
        attempt=attempt,
        began_at=began_at,
        ended_at=ended_at,
        **changes,
    )


def _changed(action: Action, **changes: Any) -> Action:
    """Return `action` with changes to its fields: `dataclasses.replace` is dearer than all else."""
    values: dict[str, Any] = dict(zip(_FIELDS, _all_of(action), strict=True))
    return Action(**values | changes)


_UNDECIDED = OPEN | {_S.IN_DOUBT}


def after_approval(delay: int, now: int) -> tuple[ActionState, int]:
    """Where an approved action goes, and when it is due: a delayed one stays cancellable until then.

    `delay` and `now` are in microseconds.
    """
    return (_S.SCHEDULED, now + delay) if delay > 0 else (_S.APPROVED, 0)
