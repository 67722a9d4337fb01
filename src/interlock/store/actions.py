"""Actions: every proposed call that is more than an allowed read, and every move it made.

A move is a compare-and-set on (state, fence) with its row in `action_moves` in the same commit: whoever
was overtaken gets a `StateConflict` and changes nothing (invariants 1, 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from interlock.core.action import OPEN, Action, ActionState, advance
from interlock.core.model import Decision, Json, Principal, Request
from interlock.errors import NotFound, StateConflict
from interlock.store.action_rows import (
    MOVES_ALWAYS,
    MOVES_DECIDED,
    action_of,
    decided,
    fixed,
    move_of,
    moving,
    text_of,
)
from interlock.store.database import Transaction
from interlock.store.memory import LiveAction
from interlock.store.news import Topic
from interlock.store.prepared import Prepared
from interlock.store.schema import action_moves, actions, run_calls, runs

_NEVER = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step of an action's history; `from_state` is "" for the first."""

    seq: int
    from_state: str
    to_state: str
    at: int
    by: str
    reason: str


_INSERT = Prepared(sa.insert(actions))
_INSERT_MOVE = Prepared(sa.insert(action_moves))


def _compare_and_set(names: tuple[str, ...]) -> Prepared:
    return Prepared(
        sa.update(actions)
        .where(
            actions.c.id == sa.bindparam("of_id"),
            actions.c.state == sa.bindparam("of_state"),
            actions.c.fence == sa.bindparam("of_fence"),
        )
        .values({name: sa.bindparam(name) for name in names})
    )


_MOVE = _compare_and_set(MOVES_ALWAYS)
_MOVE_DECIDED = _compare_and_set(MOVES_ALWAYS + MOVES_DECIDED)
_COUNT = Prepared(
    sa.text(
        "INSERT INTO run_calls (run, tool, count) VALUES (:run, :tool, :times) "
        "ON CONFLICT (run, tool) DO UPDATE SET count = run_calls.count + excluded.count RETURNING count"
    )
)
_UNCOUNT = (
    sa.update(run_calls)
    .where(
        run_calls.c.run == sa.bindparam("of_run"),
        run_calls.c.tool == sa.bindparam("of_tool"),
        run_calls.c["count"] > 0,
    )
    .values({"count": run_calls.c["count"] - 1})
)


def insert(transaction: Transaction, action: Action, *, process: str, reason: str = "") -> None:
    """Write a new action and its first move.

    Raises `StateConflict` where its key was used, what it undoes has an undo, or an identical call is open.
    """
    try:
        _INSERT.run(transaction.connection, fixed(action) | moving(action, process) | decided(action))
    except DBAPIError as error:
        if not isinstance(error.orig, transaction.connection.dialect.loaded_dbapi.IntegrityError):
            raise
        raise StateConflict("Such an action is on record already.", hint="Look at it.") from error
    _journal(transaction, action, "", by=action.agent, reason=reason)
    transaction.moved(None, action)


def move(
    transaction: Transaction,
    action: Action,
    to: ActionState,
    *,
    by: str,
    process: str = "",
    reason: str = "",
    **changes: Any,
) -> Action:
    """Move `action` on, with `changes` to its fields, if it still is where the caller saw it.

    Raises `StateConflict` when somebody else moved it first, or when the machine has no such move.
    """
    if transaction.landing is not None:
        to, more = transaction.landing(transaction, action, to, changes)
        changes = {**changes, **more}
    if not action.may_become(to):
        raise StateConflict(f"The action {action.id} is {action.state.value}; it cannot become {to.value}.")
    moved = advance(action, to, now=transaction.now, **changes)
    anew = "decision" in changes
    values = moving(moved, process) | (decided(moved) if anew else {})
    values |= {"of_id": action.id, "of_state": action.state.value, "of_fence": action.fence}
    statement = _MOVE_DECIDED if anew else _MOVE
    if statement.run(transaction.connection, values).rowcount != 1:
        raise StateConflict(f"The action {action.id} has moved on meanwhile.", hint="Look at it again.")
    _journal(transaction, moved, action.state.value, by=by, reason=reason)
    transaction.moved(action, moved)
    return moved


def record(
    transaction: Transaction, kind: str, action: Action, *, body: Mapping[str, Json] | str, person: str = ""
) -> None:
    """Put on record what happened to `action`, and through whom where that was a person (A6)."""
    transaction.audit(
        kind,
        run=action.run,
        agent=action.agent,
        workflow=action.workflow,
        tool=action.tool,
        action=action.id,
        person=person,
        body=body,
    )


def count_call(transaction: Transaction, run: str, tool: str, times: int = 1) -> int:
    """Count calls of `tool` in `run`; return how many there are now, whichever process made them."""
    row = _COUNT.run(transaction.connection, {"run": run, "tool": tool, "times": times}).fetchone()
    return 0 if row is None else row[0]


def uncount_call(transaction: Transaction, run: str, tool: str) -> None:
    """Give a counted call back: it never happened."""
    transaction.execute(_UNCOUNT, {"of_run": run, "of_tool": tool})


def collect(transaction: Transaction, ids: Sequence[str]) -> None:
    """Note that somebody was told how these ended: an identical call is a new one from now on."""
    transaction.execute(sa.update(actions).where(actions.c.id.in_(ids)).values(collected=True))


def label_run(transaction: Transaction, run: str, labels: Sequence[str]) -> None:
    """Add taint labels to a run, whatever other processes have added meanwhile; none is taken away (H7)."""
    held = sa.select(runs.c.labels).where(runs.c.id == run).with_for_update()
    known = msgspec.json.decode(transaction.execute(held).scalar_one_or_none() or "[]", type=list[str])
    every = text_of(sorted({*known, *labels}))
    transaction.execute(sa.update(runs).where(runs.c.id == run).values(labels=every))
    transaction.tell(Topic.RUN, run)


def get(connection: sa.Connection, action: str) -> Action:
    """Return an action. Raises `NotFound`."""
    row = connection.execute(sa.select(actions).where(actions.c.id == action)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no action {action}.", hint="interlock actions list")
    return action_of(row)


def held(transaction: Transaction, action: str) -> Action:
    """Return an action that nobody else moves before this commit, nor makes final. Raises `NotFound`."""
    query = sa.select(actions.c.id).where(actions.c.id == action).with_for_update()
    transaction.execute(query).all()
    return get(transaction.connection, action)


def free_key(transaction: Transaction, action: Action) -> None:
    """Let the key of an action stand for nothing: what was never sent may be asked for again under it."""
    if action.idempotency_key:
        statement = sa.update(actions).where(actions.c.id == action.id)
        transaction.execute(statement.values(idempotency_key=None))


def moves(connection: sa.Connection, action: str) -> list[Move]:
    """Return the history of an action, oldest first."""
    rows = connection.execute(
        sa.select(action_moves).where(action_moves.c.action == action).order_by(action_moves.c.seq)
    )
    return [
        Move(
            seq=row.seq, from_state=row.from_state or "", to_state=row.to_state, at=row.at, by=row.by,
            reason=row.reason,
        )
        for row in rows
    ]  # fmt: skip


def listed(
    connection: sa.Connection,
    *,
    run: str = "",
    agent: str = "",
    workflow: str = "",
    state: str = "",
    before: str = "",
    limit: int = 50,
) -> list[Action]:
    """Return actions, newest first; `before` is the id of the last one of the page before."""
    query = sa.select(actions).order_by(actions.c.id.desc()).limit(limit)
    wanted = {"run": run, "agent": agent, "workflow": workflow, "state": state}
    for name, value in wanted.items():
        query = query.where(actions.c[name] == value) if value else query
    query = query.where(actions.c.id < before) if before else query
    return [action_of(row) for row in connection.execute(query).mappings()]


def in_state(connection: sa.Connection, *states: ActionState) -> list[Action]:
    """Return the actions in any of `states`, oldest first."""
    query = sa.select(actions).where(actions.c.state.in_([each.value for each in states]))
    return [action_of(row) for row in connection.execute(query.order_by(actions.c.id)).mappings()]


def unsettled(connection: sa.Connection, *, run: str = "", agent: str = "") -> list[Action]:
    """Return the open actions of a run or an agent, oldest first: undos and second steps are nobody's."""
    query = sa.select(actions).where(
        actions.c.state.in_([each.value for each in OPEN]),
        actions.c.comp_of.is_(None),
        actions.c.follows.is_(None),
    )
    for name, value in (("run", run), ("agent", agent)):
        query = query.where(actions.c[name] == value) if value else query
    return [action_of(row) for row in connection.execute(query.order_by(actions.c.id)).mappings()]


def live_of(action: Action, *, expires_at: int = 0) -> LiveAction:
    """Return what memory keeps of an action."""
    return LiveAction(
        id=action.id,
        run=action.run,
        tool=action.tool,
        digest=action.digest,
        agent=action.agent,
        state=action.state,
        approval=action.approval,
        expires_at=expires_at,
        due_at=action.due_at,
        successor=action.successor,
        idempotency_key=action.idempotency_key,
        comp_of=action.comp_of,
        follows=action.follows,
    )


def principal_of(action: Action) -> Principal:
    """Return the caller the action was proposed by."""
    return msgspec.convert(action.principal, Principal)


def request_of(action: Action) -> Request:
    """Return the request an action stands for, in the name of its run.

    The token proved who asked when it was proposed. It may have expired while a person thought; the run,
    the agent and the key are checked as they stand now, its end is not.
    """
    principal = replace(principal_of(action), expires_at=_NEVER)
    return Request(tool=action.tool, arguments=action.arguments, digest=action.digest, principal=principal)


def decision_of(action: Action) -> Decision:
    """Return the last decision on the action."""
    return msgspec.convert(action.decision, Decision)


def plain(value: Principal | Decision) -> dict[str, Json]:
    """Return a value as plain JSON."""
    found: dict[str, Json] = msgspec.to_builtins(value)
    return found


def _journal(transaction: Transaction, action: Action, was: str, *, by: str, reason: str) -> None:
    row = move_of(action, was, at=action.updated_at, by=by, reason=reason)
    _INSERT_MOVE.run(transaction.connection, row)
