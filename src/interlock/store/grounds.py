"""Whether what a decision was made on still stands, asked in the commit that acts on it."""

from __future__ import annotations

from interlock.core.action import Action
from interlock.core.model import Decision
from interlock.errors import SnapshotMoved
from interlock.store import breakers, openings, scores, second_steps, standings, track_records
from interlock.store.memory import Memory
from interlock.store.standings import Standing
from interlock.store.transaction import Transaction


def require(transaction: Transaction, memory: Memory, action: Action, decision: Decision) -> None:
    """Check on disk what a decision was made on; a denial needs no such ground.

    Raises `SnapshotMoved`, and `StateConflict` where a second step has nothing left to make final.
    """
    if decision.denied:
        return
    found = standings.standing(transaction.connection, action.run, memory.environment, action.tool)
    if (
        found is None
        or found.bundle != decision.bundle
        or (found.tripped and _tripped_since(transaction, memory, action, decision))
        or not (action.follows or _called(memory, action, found))
        or _scored_since(transaction, decision)
    ):
        raise SnapshotMoved("What this call was decided on has changed.", hint="It is decided anew.")
    if action.follows:
        second_steps.require_standing(transaction, action)


def _called(memory: Memory, action: Action, found: Standing) -> bool:
    """Whether the run, its agent and the tier stand as they did; a second step rests on none of them."""
    return (
        found.run_open
        and found.agent_active
        and found.epoch <= int(action.principal["epoch"])
        and track_records.stands(memory, action.workflow, action.tool, found.tier)
    )


def _scored_since(transaction: Transaction, decision: Decision) -> bool:
    """Whether a score that was read is another by now; few workflows ask for one."""
    known = decision.read.get("confidence", {}).get("scores", {})
    return any(scores.lowest(transaction.connection, run) != score for run, score in known.items())


def _tripped_since(transaction: Transaction, memory: Memory, action: Action, decision: Decision) -> bool:
    """Whether a breaker of the call is not what the decision read: a claim reads it in its own commit."""
    agent = openings.agent_of(memory, action.workflow) if action.follows else action.agent
    subjects = openings.subjects_of(
        memory, run=action.run, workflow=action.workflow, agent=agent, tool=action.tool
    )
    found = breakers.standing(transaction.connection, memory.environment, subjects)
    known = decision.read.get("breakers", {})
    return any(known.get(f"{kind}:{name}") != state for (kind, name), state in found.items())
