"""What a person decided on a request: held, refused, put on record (F2). Functions never commit."""

from __future__ import annotations

from interlock.core.action import Action
from interlock.core.approval import Act, Approval, Decider
from interlock.core.model import Json
from interlock.core.objection import Ground, Objection, objection
from interlock.errors import InterlockError, NotPermitted, StateConflict, UsageError
from interlock.store import actions, approvals
from interlock.store.database import Transaction
from interlock.store.memory import Memory


def admissible(
    transaction: Transaction,
    name: str,
    act: Act,
    person: Decider,
    *,
    reason: str,
    shown: str,
    self_approval: bool,
) -> tuple[Approval, Action]:
    """Return the request, held until the commit, and its action. Raises what speaks against the act.

    With `shown`, that must be the digest of what waits.
    """
    asked = approvals.held(transaction, name) or approvals.get(transaction.connection, name)
    against = objection(asked, act, person, reason=reason, now=transaction.now, self_approval=self_approval)
    if against is not None:
        raise _error(against, name)
    if shown and shown != asked.binding.digest:
        raise StateConflict("What waits is not what was shown.", hint=f"interlock approvals show {name}")
    return asked, actions.get(transaction.connection, asked.action)


def refused(transaction: Transaction, name: str, act: Act, person: Decider, code: str) -> None:
    """Put an attempt that did not count on record."""
    asked = approvals.get(transaction.connection, name)
    action = actions.get(transaction.connection, asked.action)
    body = {"approval": name, "act": act.value, "code": code, "state": asked.state.value}
    actions.record(transaction, "approval.refused", action, person=person.name, body=body)


def record(transaction: Transaction, memory: Memory, kind: str, action: Action, decided: Approval) -> None:
    """Put a decision on record; who waits for the action hears of it."""
    body = {
        **about(decided),
        "reason": decided.reason,
        "successor": action.successor,
        "voters": [each.person for each in decided.votes],
    }
    actions.record(transaction, kind, action, person=decided.decided_by, body=body)
    live = actions.live_of(action, expires_at=decided.expires_at)
    transaction.on_commit(lambda: memory.put_action(live))


def about(asked: Approval) -> dict[str, Json]:
    """Return what a decision is bound to, as the audit keeps it."""
    binding = asked.binding
    return {"approval": asked.id, "digest": binding.digest, "pin": binding.pin, "bundle": binding.bundle}


def _error(against: Objection, name: str) -> InterlockError:
    match against.ground:
        case Ground.CONFLICT:
            return StateConflict(against.message, hint=f"interlock approvals show {name}")
        case Ground.NOT_PERMITTED:
            return NotPermitted(against.message, hint="The workflow's document names its approvers.")
        case Ground.MISPLACED:
            return UsageError(against.message, hint=f"interlock approvals show {name}")
        case Ground.INCOMPLETE:
            return UsageError(against.message, hint="Add --reason.")
