"""Cancelling what still waits when a run ends or an agent leaves (H5): its actions and their approvals."""

from __future__ import annotations

from interlock.core import approval as rules
from interlock.core.action import ActionState
from interlock.core.approval import ApprovalState
from interlock.store import actions, approvals
from interlock.store.database import Transaction
from interlock.store.memory import Memory

WAITING = frozenset({ActionState.WAITING_APPROVAL, ActionState.APPROVED, ActionState.AWAITING_INPUT})


def cancel_waiting(
    transaction: Transaction,
    memory: Memory,
    *,
    run: str = "",
    agent: str = "",
    by: str,
    reason: str,
    scheduled: bool = False,
) -> tuple[int, int]:
    """Cancel what has not been sent yet of a run or an agent; return how many actions and approvals.

    A delayed action that was already decided outlives its run; `scheduled` cancels it as well.
    """
    wanted = WAITING | {ActionState.SCHEDULED} if scheduled else WAITING
    found = [
        each
        for each in actions.unsettled(transaction.connection, run=run, agent=agent)
        if each.state in wanted
    ]
    decided = 0
    for action in found:
        actions.move(transaction, action, ActionState.CANCELLED, by=by, reason=reason)
        decided += _cancel_approval(transaction, action.approval, reason)
        transaction.audit(
            "action.cancelled",
            run=action.run,
            agent=action.agent,
            workflow=action.workflow,
            tool=action.tool,
            action=action.id,
            body={"by": by, "reason": reason},
        )
    ids = [action.id for action in found]
    transaction.on_commit(lambda: _forget(memory, ids))
    return len(found), decided


def _cancel_approval(transaction: Transaction, approval: str, reason: str) -> int:
    pending = approvals.find(transaction.connection, approval) if approval else None
    if pending is None or pending.state is not ApprovalState.PENDING:
        return 0
    approvals.settle(
        transaction, rules.end(pending, ApprovalState.CANCELLED, reason=reason, now=transaction.now)
    )
    return 1


def _forget(memory: Memory, ids: list[str]) -> None:
    for action in ids:
        memory.move_action(action, ActionState.CANCELLED)
