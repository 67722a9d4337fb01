"""Requests for a person's decision. Deciding is a compare-and-set: of two people exactly one decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.approval import Approval, ApprovalState, Binding, Kind, Vote, end
from interlock.core.model import AtEnd
from interlock.core.routing import Stage
from interlock.errors import NotFound, StateConflict
from interlock.store import actions as store_actions
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.schema import actions, approval_votes, approvals, runs

_NAMES = msgspec.json.Decoder(tuple[str, ...])
_STAGES = msgspec.json.Decoder(tuple[Stage, ...])
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
            "stages": _text(approval.stages),
            "level": approval.level,
            "level_at": approval.level_at,
            "sla": approval.sla,
            "reminder": approval.reminder,
            "at_end": approval.at_end.value,
            "needs": approval.needs,
            "kind": approval.kind.value,
            "answer": _maybe(approval.answer),
        },
    )


def put_vote(transaction: Transaction, approval: str, given: Vote) -> None:
    """Write a yes that decides nothing yet. The caller holds the request (`held`)."""
    values = {"approval": approval, "person": given.person, "at": given.at, "reason": given.reason}
    transaction.execute(sa.insert(approval_votes), values)


def climb(transaction: Transaction, climbed: Approval) -> None:
    """Write which stage has begun, and who may decide from now on. The caller holds the request (`held`)."""
    transaction.execute(
        sa.update(approvals)
        .where(approvals.c.id == climbed.id)
        .values(level=climbed.level, level_at=climbed.level_at, approvers=_text(climbed.approvers))
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
            answer=_maybe(decided.answer),
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
    if row is None:
        return None
    return _approval(row, _votes(connection, [approval] if row["needs"] > 1 else []))


def answer_to(connection: sa.Connection, action: str) -> Approval | None:
    """Return the question that `action` put, if a person has answered it."""
    query = _WITH_AGENT.where(
        approvals.c.action == action,
        approvals.c.state == ApprovalState.APPROVED.value,
        approvals.c.kind != Kind.APPROVE.value,
    )
    row = connection.execute(query.order_by(approvals.c.id.desc()).limit(1)).mappings().first()
    return None if row is None else _approval(row, {})


def question_of(connection: sa.Connection, action: str) -> Approval | None:
    """Return the last thing that the tool server of `action` asked people for."""
    query = _WITH_AGENT.where(
        approvals.c.action == action,
        approvals.c.kind == Kind.INPUT.value,
        approvals.c.arguments.is_not(None),
    )
    row = connection.execute(query.order_by(approvals.c.id.desc()).limit(1)).mappings().first()
    return None if row is None else _approval(row, {})


def questions_over(connection: sa.Connection, environment: str) -> list[str]:
    """Return the actions that wait for people no more: what their server asked was answered, or has ended."""
    query = (
        sa.select(actions.c.id)
        .join(approvals, approvals.c.action == actions.c.id)
        .join(runs, runs.c.id == actions.c.run)
        .where(
            actions.c.state == ActionState.AWAITING_INPUT.value,
            runs.c.environment == environment,
            approvals.c.kind == Kind.INPUT.value,
            approvals.c.arguments.is_not(None),
        )
        .group_by(actions.c.id)
        .having(sa.func.sum(sa.case((approvals.c.state == ApprovalState.PENDING.value, 1), else_=0)) == 0)
    )
    return list(connection.execute(query).scalars())


def held(transaction: Transaction, approval: str, *, wait: bool = True) -> Approval | None:
    """Return a request and keep others from changing it until the commit.

    None where there is none, or where somebody else holds it and the caller does not `wait`.
    """
    query = _WITH_AGENT.where(approvals.c.id == approval)
    query = query.with_for_update(of=approvals, skip_locked=not wait)
    row = transaction.execute(query).mappings().one_or_none()
    return None if row is None else _approval(row, _votes(transaction.connection, [approval]))


def listed(
    connection: sa.Connection,
    *,
    state: str = "pending",
    workflow: str = "",
    tool: str = "",
    person: str = "",
    before: str = "",
    limit: int = 50,
) -> list[Approval]:
    """Return requests, newest first; an empty `state` means all, `person` those they may decide by name."""
    query = _WITH_AGENT.order_by(approvals.c.id.desc()).limit(limit)
    query = query.where(approvals.c.state == state) if state else query
    query = query.where(actions.c.workflow == workflow) if workflow else query
    query = query.where(actions.c.tool == tool) if tool else query
    query = query.where(approvals.c.approvers.contains(_text(person), autoescape=True)) if person else query
    query = query.where(approvals.c.id < before) if before else query
    rows = connection.execute(query).mappings().all()
    votes = _votes(connection, [row["id"] for row in rows if row["needs"] > 1])
    return [_approval(row, votes) for row in rows]


def _votes(connection: sa.Connection, of: Sequence[str]) -> Mapping[str, tuple[Vote, ...]]:
    """Return the votes on each of these requests, oldest first."""
    if not of:
        return {}
    query = sa.select(approval_votes).where(approval_votes.c.approval.in_(of))
    found: dict[str, tuple[Vote, ...]] = {}
    for row in connection.execute(query.order_by(approval_votes.c.at, approval_votes.c.person)):
        given = Vote(person=row.person, at=row.at, reason=row.reason)
        found[row.approval] = (*found.get(row.approval, ()), given)
    return found


def _approval(row: sa.RowMapping, votes: Mapping[str, tuple[Vote, ...]]) -> Approval:
    return Approval(
        id=row["id"],
        action=row["action"],
        state=ApprovalState(row["state"]),
        binding=Binding(digest=row["digest"], pin=row["pin"], bundle=row["bundle"]),
        requested_at=row["requested_at"],
        expires_at=row["expires_at"],
        agent=row["agent"],
        approvers=_NAMES.decode(row["approvers"]),
        stages=_STAGES.decode(row["stages"]),
        level=row["level"],
        level_at=row["level_at"],
        sla=row["sla"],
        reminder=row["reminder"],
        at_end=AtEnd(row["at_end"]),
        needs=row["needs"],
        kind=Kind(row["kind"]),
        answer=None if row["answer"] is None else msgspec.json.decode(row["answer"]),
        votes=votes.get(row["id"], ()),
        requester=row["requester"],
        revised_by=row["revised_by"],
        revision_of=row["revision_of"] or "",
        decided_by=row["decided_by"] or "",
        decided_at=row["decided_at"] or 0,
        reason=row["reason"] or "",
        arguments=None if row["arguments"] is None else _OBJECT.decode(row["arguments"]),
    )


def _maybe(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
