"""Undos: what was registered to undo an action, which come before which, and runs that are being undone.

An undo is built when its action succeeds, from the manifest in force then, so that nothing that changes later
takes it away. It is carried out as an action of its own, one for each at most (invariant 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from interlock.core import compensation, second_step
from interlock.core.action import OPEN, Action, ActionState
from interlock.core.compensation import Undo
from interlock.core.document.tool import Companion
from interlock.core.model import Json
from interlock.core.second_step import StepKind
from interlock.store import runs, second_steps
from interlock.store.action_rows import action_of, object_of, text_of
from interlock.store.memory import Memory
from interlock.store.prepared import Prepared
from interlock.store.run_rows import Run
from interlock.store.schema import actions as rows
from interlock.store.schema import runs as run_rows
from interlock.store.schema import undos
from interlock.store.transaction import Transaction

_SENT = frozenset({ActionState.EXECUTING, ActionState.IN_DOUBT})
_ABORTING = Prepared(
    sa.select(run_rows.c.aborting).where(run_rows.c.id == sa.bindparam("run")).with_for_update()
)
_LATEST = 1 << 62
_OPEN = [each.value for each in OPEN]


def declared(memory: Memory, tool: str) -> Companion | None:
    """Return what takes a call of `tool` back, as the manifest in force says: its undo, or its void."""
    document = second_steps.declared(memory, tool)
    return None if document is None else document.taken_back_by


def landing(
    transaction: Transaction,
    memory: Memory,
    action: Action,
    to: ActionState,
    result: Mapping[str, Json] | None,
) -> tuple[ActionState, dict[str, Any]]:
    """Register what takes an action back that succeeds, and what makes it final.

    What is provisional is pending settlement; where its run is being undone, it is undone at once.

    That is asked under the lock of the run's row, in the commit of the outcome, so nothing that succeeds late
    is missed. So is what may have been sent and cannot be sent again, if its undo needs no result.
    """
    late = to is ActionState.SUCCEEDED and action.state in _SENT
    stuck = to is ActionState.IN_DOUBT and action.state is ActionState.RETRY
    if action.comp_of or not (late or stuck):
        return to, {}
    document = second_steps.declared(memory, action.tool)
    known = None if document is None else document.taken_back_by
    if document is None or known is None:
        return to, {}
    aborting = _ABORTING.run(transaction.connection, {"run": action.run}).fetchone()
    undone = aborting is not None and bool(aborting[0])
    if not (late or undone):
        return to, {}
    undo = compensation.build(action, known, result, ended_at=transaction.now)
    register(transaction, undo)
    step = second_steps.register(transaction, action, document, result)
    if undone and not undo.problem:
        return ActionState.COMPENSATING, {"undo_until": undo.until}
    if late and step is not None and step.kind is StepKind.CONFIRM:
        return ActionState.PENDING_SETTLEMENT, {"undo_until": undo.until, "due_at": step.due_at}
    return to, {"undo_until": undo.until}


def register(transaction: Transaction, undo: Undo) -> None:
    """Write down what undoes an action; what was registered before is replaced."""
    transaction.execute(sa.delete(undos).where(undos.c.action == undo.action))
    transaction.execute(
        sa.insert(undos).values(
            action=undo.action,
            tool=undo.tool,
            arguments=None if undo.arguments is None else text_of(undo.arguments),
            digest=undo.digest,
            problem=undo.problem,
            until=undo.until,
        )
    )


def registered(connection: sa.Connection, action: str) -> Undo | None:
    """Return the undo that was registered for an action, or None."""
    row = connection.execute(sa.select(undos).where(undos.c.action == action)).one_or_none()
    if row is None:
        return None
    arguments = None if row.arguments is None else object_of(row.arguments)
    return Undo(
        action=row.action, tool=row.tool, arguments=arguments, digest=row.digest, problem=row.problem,
        until=row.until,
    )  # fmt: skip


def of(connection: sa.Connection, memory: Memory, action: Action) -> Undo | None:
    """Return what undoes an action: as registered, else as the manifest in force says; None for nothing.

    Once its second step may have happened, the problem says so.
    """
    undo = registered(connection, action.id)
    if undo is None and (now := declared(memory, action.tool)) is not None:
        undo = compensation.build(action, now, action.result, ended_at=action.ended_at or action.updated_at)
    if undo is None:
        return None
    second = second_steps.proposed(connection, second_steps.of(connection, action.id))
    if second is not None and second_step.may_have_happened(second):
        return replace(undo, arguments=None, problem=second_step.made_final(second))
    return undo


def undoing(connection: sa.Connection, action: str) -> Action | None:
    """Return the action that undoes `action`, or None where none was begun."""
    row = connection.execute(sa.select(rows).where(rows.c.comp_of == action)).mappings().one_or_none()
    return None if row is None else action_of(row)


def next_of(connection: sa.Connection, run: str) -> Action | None:
    """Return the undo whose turn it is among those of a run, and of what is undone with it; None if none.

    The order is that of `compensation.in_order`: what ended last is undone first.
    """
    undo = rows.alias("undo")
    query = (
        sa.select(undo)
        .join(rows, rows.c.id == undo.c.comp_of)
        .where(undo.c.state.in_(_OPEN), undo.c.run.in_(_together(run)))
        .order_by(
            sa.func.coalesce(rows.c.ended_at, _LATEST).desc(),
            sa.func.coalesce(rows.c.began_at, 0).desc(),
            rows.c.id.desc(),
        )
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else action_of(row)


def _together(run: str) -> sa.Select[tuple[str]]:
    mark = sa.select(run_rows.c.aborting).where(run_rows.c.id == run).scalar_subquery()
    same = sa.and_(run_rows.c.aborting != "", run_rows.c.aborting == mark)
    return sa.select(run_rows.c.id).where(sa.or_(run_rows.c.id == run, same))


def begin_abort(transaction: Transaction, run: Run) -> list[str]:
    """Mark a run, and those that it began, as being undone; return their ids. Locks their rows, in order.

    From this commit on what succeeds late in them is undone too.
    """
    family = sorted([run.id, *runs.descendants(transaction.connection, run.id)])
    query = sa.select(run_rows.c.id).where(run_rows.c.id.in_(family)).order_by(run_rows.c.id)
    transaction.execute(query.with_for_update()).all()
    transaction.execute(sa.update(run_rows).where(run_rows.c.id.in_(family)).values(aborting=run.id))
    return family


def done_in(connection: sa.Connection, family: list[str]) -> list[Action]:
    """Return every action of these runs but undos, oldest first."""
    query = sa.select(rows).where(rows.c.run.in_(family), rows.c.comp_of.is_(None))
    return [action_of(row) for row in connection.execute(query.order_by(rows.c.id)).mappings()]
