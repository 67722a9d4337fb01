"""End a run: its tokens stop counting at once and what still waited for a person is cancelled.

A launcher whose program ended may ask instead that the run goes on without it for as long as something in
it waits: then the clock ends it, when the last of these was decided or has expired.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from interlock.core.action import Action, ActionState
from interlock.core.model import OnFailure
from interlock.errors import SnapshotMoved, StateConflict
from interlock.store import actions, approvals, compensations, runs
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.run_rows import Run, RunState

ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A run as it is now, and what was open in it: `cancelled`, or kept `waiting`."""

    run: Run
    cancelled: tuple[Action, ...] = ()
    waiting: tuple[Action, ...] = ()


async def close_run(
    *,
    store: Store,
    memory: Memory,
    run: str,
    reason: str,
    by: str,
    person: str = "",
    keep_waiting: bool = False,
    ungoverned: bool = False,
    failed: bool = False,
) -> Closed:
    """End `run`; one that has ended stays as it is. Raises `NotFound`.

    `person` is set when a person ends it; otherwise its own launcher does. With `keep_waiting` it stays
    open, without a launcher, while a call of it waits for a person or for its time. A launcher says with
    `ungoverned` that its program went past the gateway, which the record keeps. A run that `failed` is undone
    where its workflow says so (E3); then nothing waits any more. Where another engine moves an action of it
    meanwhile, all is looked at anew: a launcher that has ended does not ask again.
    """

    def work(transaction: Transaction) -> Closed:
        found = runs.get(transaction.connection, run)
        waiting = _waiting(transaction, run)
        if failed and found.state is RunState.OPEN and _undoes(memory, found):
            undone = compensations.abort(transaction, memory, found, by=by, reason=reason, person=person)
            return Closed(run=undone.run, cancelled=waiting)
        if keep_waiting and waiting and runs.detach(transaction, found, reason=reason):
            return Closed(run=runs.get(transaction.connection, run), waiting=waiting)
        state = RunState.ENDED if person else RunState.CLOSED
        ended = runs.end(
            transaction,
            memory,
            found,
            state=state,
            reason=reason,
            person=person,
            ungoverned=ungoverned,
        )
        if not ended:
            return Closed(run=found)
        approvals.cancel_open(transaction, memory, run=run, by=by, reason="the run ended")
        return Closed(run=runs.get(transaction.connection, run), cancelled=waiting)

    for _ in range(ATTEMPTS - 1):
        with suppress(StateConflict, SnapshotMoved):
            return await store.transact(work)
    return await store.transact(work)


def _undoes(memory: Memory, run: Run) -> bool:
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(run.workflow)
    return compiled is not None and compiled.document.on_failure is OnFailure.UNDO


def _waiting(transaction: Transaction, run: str) -> tuple[Action, ...]:
    """Return what was not sent yet and could still be; a question to a program that ended is not."""
    return tuple(
        action
        for action in actions.unsettled(transaction.connection, run=run)
        if action.cancellable and action.state is not ActionState.AWAITING_INPUT
    )
