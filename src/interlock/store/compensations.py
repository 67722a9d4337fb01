"""Undoing begins: the move, the undo that follows and the record, in one commit (E3). Never commits."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import compensation
from interlock.core.action import Action, ActionState
from interlock.core.compensation import Kept, Plan
from interlock.store import actions, approvals, runs, second_steps, undos
from interlock.store.memory import Memory
from interlock.store.run_rows import Run, RunState
from interlock.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """An action that is being undone, and the undo."""

    action: Action
    undo: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUndone:
    """What became of a run's actions: undone in this order, waited for, kept and why, cancelled."""

    run: Run
    undone: tuple[Undone, ...] = ()
    awaited: tuple[Action, ...] = ()
    kept: tuple[Kept, ...] = ()
    cancelled: tuple[str, ...] = ()


def begin(
    transaction: Transaction, memory: Memory, action: Action, *, by: str, reason: str, person: str
) -> Undone:
    """Begin to undo an action that can be undone; its undo is on record in the same commit."""
    if undos.registered(transaction.connection, action.id) is None:
        undo = undos.of(transaction.connection, memory, action)
        if undo is not None:
            undos.register(transaction, undo)
    moved = actions.move(
        transaction, action, ActionState.COMPENSATING, by=by, reason=reason, error="", due_at=0
    )
    actions.record(transaction, "undo.asked", moved, body={"reason": reason}, person=person)
    undo_action = undos.undoing(transaction.connection, action.id)
    assert undo_action is not None, "what follows from the move has written it"
    return Undone(action=moved, undo=undo_action)


def abort(
    transaction: Transaction, memory: Memory, run: Run, *, by: str, reason: str, person: str = ""
) -> RunUndone:
    """End a run with those it began, cancel what was not sent, undo what can be, the last first (E3).

    What is under way or in doubt is undone when it turns out to have happened.
    """
    family = undos.begin_abort(transaction, run)
    state = RunState.ENDED if person else RunState.CLOSED
    runs.end(transaction, memory, run, state=state, reason=reason, person=person)
    cancelled: list[str] = []
    for each in family:
        cancelled += approvals.cancel_open(transaction, memory, run=each, by=by, reason="the run is undone")
    second_steps.hold(transaction, family)
    found = undos.done_in(transaction.connection, family)
    planned = compensation.plan(
        [(each, undos.of(transaction.connection, memory, each)) for each in found], transaction.now
    )
    undone = tuple(
        begin(transaction, memory, each, by=by, reason=reason, person=person) for each in planned.undone
    )
    _record(transaction, run, planned, by=by, reason=reason, person=person)
    return RunUndone(
        run=runs.get(transaction.connection, run.id),
        undone=undone,
        awaited=planned.awaited,
        kept=planned.kept,
        cancelled=tuple(cancelled),
    )


def _record(transaction: Transaction, run: Run, planned: Plan, *, by: str, reason: str, person: str) -> None:
    body = {
        "by": by,
        "reason": reason,
        "undone": [each.id for each in planned.undone],
        "awaited": [each.id for each in planned.awaited],
        "kept": [[each.action, each.code] for each in planned.kept],
    }
    runs.record(transaction, "run.undone", run, body=body, person=person)
