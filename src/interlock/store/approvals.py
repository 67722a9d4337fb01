"""Requests for a person's decision. Deciding is a compare-and-set: of two people exactly one decides."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.approval import Approval, ApprovalState, Binding, end
from interlock.errors import NotFound, StateConflict
from interlock.store import actions as store_actions
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.schema import actions, approvals

_NAMES = msgspec.json.Decoder(tuple[str, ...])
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_WITH_AGENT = sa.select(approvals, actions.c.agent.label("agent")).join(
    actions, actions.c.id == approvals.c.action
)


def insert(transaction: Transaction, approval: Approval) -> None:
    """Write a new request."""
    transaction.execute(
        sa.insert(approvals),
        {
            "id": approval.id,
            "action": approval.action,
            "state": approval.state.value,
            "digest": approval.binding.digest,
            "pin": approval.binding.pin,
            "bundle": approval.binding.bundle,
            "requested_at": approval.requested_at,
            "expires_at": approval.expires_at,
            "approvers": _text(approval.approvers),
            "decided_by": approval.decided_by or None,
            "decided_at": approval.decided_at or None,
            "reason": approval.reason or None,
            "revision_of": approval.revision_of or None,
            "arguments": None if approval.arguments is None else _text(approval.arguments),
            "requester": approval.requester,
            "revised_by": approval.revised_by,
        },
    )


def settle(transaction: Transaction, decided: Approval) -> None:
    """Write how a pending request ended. Raises `StateConflict` when somebody was first (single use)."""
    done = transaction.execute(
        sa.update(approvals)
        .where(approvals.c.id == decided.id, approvals.c.state == ApprovalState.PENDING.value)
        .values(
            state=decided.state.value,
            decided_by=decided.decided_by or None,
            decided_at=decided.decided_at or None,
            reason=decided.reason or None,
        )
    )
    if done.rowcount != 1:
        raise StateConflict("Somebody else decided first.", hint=f"interlock approvals show {decided.id}")


def cancel(
    transaction: Transaction, memory: Memory, action: Action, *, by: str, reason: str, person: str = ""
) -> Action:
    """Stop an action that was not sent, together with the request it waits for.

    Raises `StateConflict` when it was sent already, or has ended.
    """
    asked = find(transaction.connection, action.approval) if action.approval else None
    if asked is not None and asked.state is ApprovalState.PENDING:
        settle(transaction, end(asked, ApprovalState.CANCELLED, reason=reason, now=transaction.now))
    moved = store_actions.move(transaction, action, ActionState.CANCELLED, by=by, reason=reason, error=reason)
    store_actions.uncount_call(transaction, action.run, action.tool)
    body = {"approval": action.approval, "by": by, "reason": reason}
    store_actions.record(transaction, "action.cancelled", action, person=person, body=body)
    transaction.on_commit(lambda: _cancelled(memory, moved))
    return moved


def cancel_open(
    transaction: Transaction, memory: Memory, *, by: str, reason: str, run: str = "", agent: str = ""
) -> list[str]:
    """Stop whatever a run, or an agent, has waiting; return the ids. What was sent is left to finish."""
    waiting = store_actions.unsettled(transaction.connection, run=run, agent=agent)
    return [
        cancel(transaction, memory, action, by=by, reason=reason).id
        for action in waiting
        if action.cancellable
    ]


def _cancelled(memory: Memory, action: Action) -> None:
    memory.uncount_call(action.run, action.tool)
    memory.put_action(store_actions.live_of(action))


def get(connection: sa.Connection, approval: str) -> Approval:
    """Return a request. Raises `NotFound`."""
    found = find(connection, approval)
    if found is None:
        raise NotFound(f"There is no approval {approval}.", hint="interlock approvals list")
    return found


def find(connection: sa.Connection, approval: str) -> Approval | None:
    """Return a request, or None."""
    row = connection.execute(_WITH_AGENT.where(approvals.c.id == approval)).mappings().one_or_none()
    return None if row is None else _approval(row)


def listed(
    connection: sa.Connection, *, state: str = "pending", before: str = "", limit: int = 50
) -> list[Approval]:
    """Return requests, newest first; an empty `state` means all."""
    query = _WITH_AGENT.order_by(approvals.c.id.desc()).limit(limit)
    query = query.where(approvals.c.state == state) if state else query
    query = query.where(approvals.c.id < before) if before else query
    return [_approval(row) for row in connection.execute(query).mappings()]


def _approval(row: sa.RowMapping) -> Approval:
    return Approval(
        id=row["id"],
        action=row["action"],
        state=ApprovalState(row["state"]),
        binding=Binding(digest=row["digest"], pin=row["pin"], bundle=row["bundle"]),
        requested_at=row["requested_at"],
        expires_at=row["expires_at"],
        agent=row["agent"],
        approvers=_NAMES.decode(row["approvers"]),
        requester=row["requester"],
        revised_by=row["revised_by"],
        revision_of=row["revision_of"] or "",
        decided_by=row["decided_by"] or "",
        decided_at=row["decided_at"] or 0,
        reason=row["reason"] or "",
        arguments=None if row["arguments"] is None else _OBJECT.decode(row["arguments"]),
    )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
