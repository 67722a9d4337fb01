"""The clock's part of runs: end those that nobody renews or that reached their deadline."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.action import ActionState
from interlock.core.model import SECOND
from interlock.core.token import MAX_LIFE, SKEW
from interlock.store import actions, approvals, runs
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.run_rows import Run, RunState

EVERY = 5 * SECOND


async def expire_runs(*, store: Store, memory: Memory, now: int) -> list[str]:
    """End every run whose lease lapsed or whose deadline passed; return their ids.

    Without a launcher that would renew it, a run stays open while an action of it waits or runs: its agent
    may ask for a fresh token after the decision. In a run whose launcher has left, nobody answers questions.
    """
    if not await store.read(lambda connection: runs.lapsed(connection, now)):
        forget_closed(memory, now)
        return []
    ended = await store.transact(lambda transaction: _expire(transaction, memory))
    forget_closed(memory, now)
    return ended


def _expire(transaction: Transaction, memory: Memory) -> list[str]:
    ended: list[str] = []
    for run in runs.lapsed(transaction.connection, transaction.now):
        reason = _why(transaction, run)
        if reason and runs.end(transaction, memory, run, state=RunState.ENDED, reason=reason):
            approvals.cancel_open(transaction, memory, run=run.id, by="interlock", reason="the run ended")
            ended.append(run.id)
    return ended


def _why(transaction: Transaction, run: Run) -> str:
    if run.deadline_at is not None and run.deadline_at <= transaction.now:
        return "its deadline passed"
    if run.attended:
        return "its launcher is gone: the run token was not renewed"
    unsettled = actions.unsettled(transaction.connection, run=run.id)
    left = run.reason  # an open run has one only when its launcher left it open
    if any(not left or action.state is not ActionState.AWAITING_INPUT for action in unsettled):
        return ""
    return f"{left}; nothing waits any more" if left else "its token ran out and was not renewed"


def forget_closed(memory: Memory, now: int) -> None:
    """Let go of ended runs whose tokens have all expired, so that memory does not grow."""
    for facts in list(memory.runs.values()):
        if not facts.open and facts.started_at < now - 2 * (MAX_LIFE + SKEW):
            memory.runs.pop(facts.run, None)
    still_known = memory.revoked.runs.intersection(memory.runs)  # an unknown run is refused as such
    memory.revoked = replace(memory.revoked, runs=still_known)
