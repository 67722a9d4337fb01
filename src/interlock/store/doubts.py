"""What becomes of a call that was sent and whose outcome is not known: the one way to doubt or a retry.

Whoever finds it out, the process that sent it or one that outlives it, moves the action here (invariant 5).
"""

from __future__ import annotations

from interlock.core import compensation, effect, lease
from interlock.core.action import Action, ActionState
from interlock.core.model import SECOND
from interlock.errors import StateConflict
from interlock.store import actions
from interlock.store.database import Transaction
from interlock.store.memory import Memory


def window_of(memory: Memory, tool: str) -> int:
    """Return how long `tool` remembers the key of a call, in microseconds."""
    compiled = None if memory.bundle is None else memory.bundle.tools.get(tool)
    declared = None if compiled is None or compiled.document is None else compiled.document.dedupe
    return effect.WINDOW if declared is None else declared * SECOND


def unanswered(
    transaction: Transaction,
    memory: Memory,
    action: Action,
    message: str,
    *,
    timeout: int,
    cause: str = "no_answer",
) -> Action:
    """Move an executing action on whose call got no answer: failed for a read, else to a retry or in doubt.

    `timeout` is how long its call may take. Until that has passed once more after its lease, the call may
    still land. Raises `StateConflict` when somebody else moved it.
    """
    now, window = transaction.now, window_of(memory, action.tool)
    if action.comp_of:
        state, due_at = compensation.after_no_answer(action, now=now)
    else:
        state, due_at = effect.after_unknown(action, now=now, window=window)
    moved = actions.move(
        transaction, action, state, by="interlock", reason=cause.replace("_", " "), error=message,
        result=None, due_at=due_at, lease_until=lease.quiet_at(action.lease_until, timeout),
    )  # fmt: skip
    body = {"digest": action.digest, "sent": True, "cause": cause, "attempt": action.attempt}
    actions.record(transaction, f"action.{state.value}", moved, body=body)
    return moved


def doubted(transaction: Transaction, action: Action) -> Action:
    """Return the action as it stands in doubt since this very attempt. Raises `StateConflict` otherwise."""
    found = actions.get(transaction.connection, action.id)
    if found.state is not ActionState.IN_DOUBT or found.attempt != action.attempt:
        raise StateConflict(f"The action {action.id} has moved on meanwhile.", hint="Look at it again.")
    return found
