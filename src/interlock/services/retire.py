"""Retire an agent for good (H5): one transaction that removes every way in, and keeps the proof of it."""

from __future__ import annotations

from interlock.core import ownership
from interlock.core.action import ActionState
from interlock.core.model import Json
from interlock.core.ownership import Owners
from interlock.errors import NotPermitted, UsageError
from interlock.store import actions, agents, approvals, enrolments, revocations, runs
from interlock.store.agents import AgentRecord, AgentState
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.people import Person
from interlock.store.revocations import Revoked

_WHY = "the agent was retired"


async def retire(*, store: Store, memory: Memory, agent: str, by: Person, reason: str) -> AgentRecord:
    """Retire `agent` and return its archived record with the proof. Its name is never used again.

    Tokens are revoked, enrolments deleted, runs ended, waiting approvals cancelled, all or nothing. A call
    that is being sent is not torn off: the proof lists it. Raises `NotFound`, `NotPermitted`,
    `StateConflict` when it is retired already, `UsageError` without a reason.
    """
    if not reason.strip():
        raise UsageError("Retiring an agent needs a reason.", hint="--reason TEXT")

    def work(transaction: Transaction) -> AgentRecord:
        record = agents.get(transaction.connection, agent)
        if not ownership.may_stop(by.name, by.roles, Owners(owner=record.owner, backup=record.backup)):
            raise NotPermitted(f"{by.name} may not retire the agent {agent!r}.")
        proof = _remove(transaction, memory, record, by=by, reason=reason)
        agents.archive(transaction, agent, proof)
        transaction.audit("agent.retired", agent=agent, person=by.name, body=proof)
        return agents.get(transaction.connection, agent)

    return await store.transact(work)


def _remove(
    transaction: Transaction, memory: Memory, record: AgentRecord, *, by: Person, reason: str
) -> dict[str, Json]:
    """Remove everything by which the agent could still act; return the checklist of what was removed."""
    name = record.name
    epoch = agents.move(transaction, record, AgentState.RETIRED)
    revocations.add(transaction, memory, Revoked.AGENT, name, epoch=epoch)
    codes, keys = enrolments.delete_of_agent(transaction, name)
    ended = runs.end_all(transaction, memory, agent=name, reason=_WHY, person=by.name)
    waited = _in_state(transaction, name, ActionState.WAITING_APPROVAL)
    cancelled = approvals.cancel_open(transaction, memory, agent=name, by=by.name, reason=_WHY)
    sending = _in_state(transaction, name, ActionState.EXECUTING)
    return {
        "agent": name,
        "by": by.name,
        "reason": reason,
        "at": transaction.now,
        "owner": record.owner,
        "backup": record.backup,
        "checklist": [
            {"step": "tokens revoked by epoch", "epoch": epoch},
            {"step": "enrolment codes deleted", "count": codes},
            {"step": "registered keys deleted", "count": keys},
            {"step": "runs ended", "count": len(ended), "runs": ended},
            {"step": "waiting actions cancelled", "count": len(cancelled)},
            {"step": "pending approvals cancelled", "count": len(waited)},
            {"step": "calls in flight, left to finish", "count": len(sending), "actions": sending},
            {"step": "name reserved for ever", "count": 1},
        ],
    }


def _in_state(transaction: Transaction, agent: str, state: ActionState) -> list[str]:
    found = actions.unsettled(transaction.connection, agent=agent)
    return [action.id for action in found if action.state is state]
