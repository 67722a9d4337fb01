"""Stop an agent for now, and let it go on (H4, H5): every token it had stops counting at once."""

from __future__ import annotations

from interlock.core import ownership
from interlock.core.ownership import Owners
from interlock.errors import NotPermitted, UsageError
from interlock.store import agents, approvals, revocations, runs
from interlock.store.agents import AgentRecord, AgentState
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.people import Person
from interlock.store.revocations import Revoked


async def suspend(*, store: Store, memory: Memory, agent: str, by: Person, reason: str) -> AgentRecord:
    """Suspend `agent`: no new runs, its open runs end, its tokens are revoked. It can be resumed.

    Raises `NotFound`, `NotPermitted`, `StateConflict`, and `UsageError` without a reason.
    """
    if not reason.strip():
        raise UsageError("Suspending an agent needs a reason.", hint="--reason TEXT")

    def work(transaction: Transaction) -> AgentRecord:
        record = _theirs(transaction, agent, by)
        epoch = agents.move(transaction, record, AgentState.SUSPENDED)
        revocations.add(transaction, memory, Revoked.AGENT, agent, epoch=epoch)
        stopped = runs.end_all(
            transaction, memory, agent=agent, reason="the agent was suspended", person=by.name
        )
        approvals.cancel_open(transaction, memory, agent=agent, by=by.name, reason="the agent was suspended")
        body = {"reason": reason, "epoch": epoch, "runs_ended": len(stopped)}
        transaction.audit("agent.suspended", agent=agent, person=by.name, body=body)
        return agents.get(transaction.connection, agent)

    return await store.transact(work)


async def resume(*, store: Store, agent: str, by: Person, reason: str) -> AgentRecord:
    """Let a suspended agent run again; tokens from before stay revoked."""
    if not reason.strip():
        raise UsageError("Resuming an agent needs a reason.", hint="--reason TEXT")

    def work(transaction: Transaction) -> AgentRecord:
        record = _theirs(transaction, agent, by)
        agents.move(transaction, record, AgentState.ACTIVE)
        transaction.audit("agent.resumed", agent=agent, person=by.name, body={"reason": reason})
        return agents.get(transaction.connection, agent)

    return await store.transact(work)


def _theirs(transaction: Transaction, agent: str, by: Person) -> AgentRecord:
    record = agents.get(transaction.connection, agent)
    if not ownership.may_stop(by.name, by.roles, Owners(owner=record.owner, backup=record.backup)):
        raise NotPermitted(f"{by.name} may not suspend or resume the agent {agent!r}.")
    return record
