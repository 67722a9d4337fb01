"""The states of one action and which may follow which.

The full machine (`design/actions.md`) adds parking, retry, settlement and compensation; its states are
named here when they exist. Every move is a compare-and-set on the state, journalled in the same commit.
"""

from __future__ import annotations

from enum import StrEnum


class ActionState(StrEnum):
    """Where an action stands."""

    WAITING_APPROVAL = "waiting_approval"
    SCHEDULED = "scheduled"
    APPROVED = "approved"
    EXECUTING = "executing"
    AWAITING_INPUT = "awaiting_input"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    DENIED = "denied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether nothing can follow without a person."""
        return self not in _OPEN

    def may_become(self, following: ActionState) -> bool:
        """Whether the move is one of the machine's."""
        return following in _MOVES.get(self, frozenset())


_S = ActionState
_OPEN = frozenset({_S.WAITING_APPROVAL, _S.SCHEDULED, _S.APPROVED, _S.EXECUTING, _S.AWAITING_INPUT})
_MOVES: dict[ActionState, frozenset[ActionState]] = {
    _S.WAITING_APPROVAL: frozenset(
        {_S.APPROVED, _S.SCHEDULED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED, _S.SUPERSEDED, _S.DENIED}
    ),
    _S.SCHEDULED: frozenset({_S.APPROVED, _S.CANCELLED, _S.DENIED}),
    _S.APPROVED: frozenset({_S.EXECUTING, _S.CANCELLED, _S.DENIED, _S.WAITING_APPROVAL}),
    _S.EXECUTING: frozenset({_S.SUCCEEDED, _S.FAILED, _S.IN_DOUBT, _S.AWAITING_INPUT}),
    _S.AWAITING_INPUT: frozenset({_S.EXECUTING, _S.CANCELLED, _S.FAILED}),
    _S.IN_DOUBT: frozenset({_S.SUCCEEDED, _S.FAILED}),
}
