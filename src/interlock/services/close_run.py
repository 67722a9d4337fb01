"""End a run: its tokens stop counting at once and what still waited for a person is cancelled."""

from __future__ import annotations

from interlock.store import approvals, runs
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.runs import Run, RunState


async def close_run(*, store: Store, memory: Memory, run: str, reason: str, by: str, person: str = "") -> Run:
    """End `run` and return it; one that has ended is returned as it is. Raises `NotFound`.

    `person` is set when a person ends it; otherwise its own launcher does.
    """

    def work(transaction: Transaction) -> Run:
        found = runs.get(transaction.connection, run)
        state = RunState.ENDED if person else RunState.CLOSED
        if runs.end(transaction, memory, found, state=state, reason=reason, person=person):
            approvals.cancel_open(transaction, memory, run=run, by=by, reason="the run ended")
        return runs.get(transaction.connection, run)

    return await store.transact(work)
