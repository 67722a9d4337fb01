"""What is provisional is settled or voided: the moves and their records (E4). Functions never commit."""

from __future__ import annotations

from interlock.core.action import Action, ActionState
from interlock.core.alert import AlertKind
from interlock.store import actions, alert_events, compensations, timers, undos
from interlock.store.alert_events import Raised
from interlock.store.memory import Memory
from interlock.store.transaction import Transaction

DEADLINE, FOLLOW_UP = "settlement", "follow_up"
"""The kinds of timers of second steps: what is provisional is voided, what stands is to be made final."""

_S = ActionState
_BY = "interlock"


def settle(transaction: Transaction, action: Action, second: Action) -> Action:
    """Settle what is provisional, in the commit in which its confirmation succeeds."""
    timers.clear(transaction, DEADLINE, action.id)
    settled = actions.move(
        transaction, action, _S.SETTLED, by=second.agent, reason=f"by {second.id}", due_at=0
    )
    body = {"by": second.id, "tool": second.tool}
    actions.record(transaction, "action.settled", settled, body=body)
    return settled


def void(
    transaction: Transaction, memory: Memory, action: Action, *, by: str, reason: str, person: str = ""
) -> Action:
    """Begin to void what is provisional: its void is on record in the same commit, and runs as undos do.

    Where it cannot even be built, that is a failed undo. Raises `StateConflict` where a confirmation of it
    may have happened.
    """
    undo = undos.of(transaction.connection, memory, action)
    if undo is not None and undo.arguments is not None:
        voiding = compensations.begin(transaction, memory, action, by=by, reason=reason, person=person).action
    else:
        why = "the manifest names no void of it" if undo is None else undo.problem
        voiding = actions.move(
            transaction, action, _S.COMPENSATION_FAILED, by=by, reason=reason, due_at=0,
            error=f"It cannot be voided: {why}.",
        )  # fmt: skip
        actions.record(transaction, "action.compensation_failed", voiding, body={"tool": action.tool})
    if not person:
        _tell(transaction, memory, action, reason)
    return voiding


def _tell(transaction: Transaction, memory: Memory, action: Action, reason: str) -> None:
    alert_events.raise_alert(
        transaction,
        memory,
        Raised(
            kind=AlertKind.SECOND_STEP_LEFT,
            subject=f"workflow:{action.workflow}",
            period=action.id,
            summary=f"{action.id} ({action.tool}) is voided: {reason}",
            facts={"action": action.id, "tool": action.tool},
            workflow=action.workflow,
        ),
    )
