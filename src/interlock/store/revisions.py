"""A call whose arguments a person changed: the old request and action end, the next revision follows.

All of it are rows of one commit (F2). Functions never commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from interlock.core.action import Action, ActionState, after_approval
from interlock.core.approval import Approval, ApprovalState, Binding, Decider, revise
from interlock.core.model import Decision, Request
from interlock.store import actions, approvals, requests, rulings
from interlock.store.database import Transaction
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What `person` made of a call: the request as `old`, decided now, and what was decided on `request`."""

    old: Approval
    action: Action
    request: Request
    decision: Decision
    person: Decider
    four_eyes: bool


def put(transaction: Transaction, memory: Memory, change: Change, *, process: str) -> Approval:
    """Write the change, and return the request of the new revision."""
    old, action, decision = change.old, change.action, change.decision
    approvals.settle(transaction, old)
    revision = _revision(transaction, memory, change)
    following = _following(action, revision, decision, memory.delay_of(action.tool), transaction.now)
    actions.insert(transaction, following, process=process, reason=f"revision of {action.id}")
    requests.put(transaction, memory, revision, following)
    superseded = actions.move(
        transaction, action, ActionState.SUPERSEDED, by=change.person.name, reason=old.reason,
        error=old.reason, successor=following.id,
    )  # fmt: skip
    rulings.record(transaction, memory, "approval.modified", superseded, old)
    live = actions.live_of(following, expires_at=revision.expires_at)
    transaction.on_commit(lambda: memory.put_action(live))
    return revision


def _revision(transaction: Transaction, memory: Memory, change: Change) -> Approval:
    request, decision = change.request, change.decision
    revision = revise(
        change.old,
        id=transaction.ids.new("apr"),
        action=transaction.ids.new("act"),
        binding=Binding(digest=request.digest, pin=decision.pin, bundle=decision.bundle),
        arguments=request.arguments,
        by=change.person,
        four_eyes=change.four_eyes,
        now=transaction.now,
        needs=requests.needed(requests.declared(memory, change.action.workflow), decision),
    )
    return requests.begun(memory, revision)


def _following(action: Action, revision: Approval, decision: Decision, delay: int, now: int) -> Action:
    state, due_at = ActionState.WAITING_APPROVAL, 0
    if revision.state is ApprovalState.APPROVED:
        state, due_at = after_approval(delay, now)
    return replace(
        action,
        id=revision.action,
        arguments=revision.arguments or {},
        digest=revision.binding.digest,
        state=state,
        due_at=due_at,
        tier=decision.tier,
        verdict=decision.verdict,
        bundle=decision.bundle,
        pin=decision.pin,
        decision=actions.plain(decision),
        approval=revision.id,
        idempotency_key="",  # the original keeps it, and leads to this one
        fence=0,
        created_at=now,
        updated_at=now,
    )
