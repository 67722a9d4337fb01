"""Which actions are there to be taken up: their lease has ended, they are ready, or they are parked.

Claims are safe on several processes without a leader: what another one holds is passed over, and every move
is a compare-and-set.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from interlock.core.action import OPEN, Action, ActionState
from interlock.store import actions
from interlock.store.action_rows import action_of
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.schema import actions as rows
from interlock.store.schema import runs

AT_ONCE = 100
_EXECUTING = ActionState.EXECUTING.value


def overdue(
    transaction: Transaction, environment: str, *, process: str, alone: bool, busy: Collection[str] = ()
) -> list[Action]:
    """Claim actions that were being executed by a process that is dead or was overtaken, oldest first.

    That is known by the end of their leases; where this process is `alone`, whatever another one left is.
    What this one is `busy` with is not meant. At most `AT_ONCE`; ask again until there are none.
    """
    ended = rows.c.lease_until <= transaction.now
    dead = sa.or_(rows.c.owner_process.is_(None), rows.c.owner_process != process)
    query = (
        _here(environment)
        .where(rows.c.state == _EXECUTING, sa.or_(ended, dead) if alone else ended, rows.c.id.not_in(busy))
        .order_by(rows.c.id)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True, of=rows)
    )
    return [action_of(row) for row in transaction.execute(query).mappings()]


def any_overdue(connection: sa.Connection, environment: str, now: int, busy: Collection[str]) -> bool:
    """Whether a lease has ended at `now` on what nobody here is `busy` with: a look before a claim."""
    query = _here(environment).where(
        rows.c.state == _EXECUTING, rows.c.lease_until <= now, rows.c.id.not_in(busy)
    )
    return connection.execute(query.limit(1)).first() is not None


def open_states(connection: sa.Connection, environment: str) -> dict[str, ActionState]:
    """Return where every open action of an environment stands."""
    query = (
        sa.select(rows.c.id, rows.c.state)
        .join(runs, runs.c.id == rows.c.run)
        .where(runs.c.environment == environment, rows.c.state.in_([each.value for each in OPEN]))
    )
    return {row[0]: ActionState(row[1]) for row in connection.execute(query)}


def release_parked(
    transaction: Transaction, memory: Memory, *, agent: str = "", workflow: str = "", tool: str = ""
) -> list[Action]:
    """Let what is parked go on to its next decision, when a breaker has left open. Call it in that commit.

    Only what matches every name that is given; another breaker that is still open parks it anew.
    """
    query = _here(memory.environment).where(rows.c.state == ActionState.PARKED.value).order_by(rows.c.id)
    if agent:  # a second step is nobody's, and is looked at again whoever's breaker it was
        query = query.where(sa.or_(rows.c.agent == agent, rows.c.follows.is_not(None)))
    for name, value in (("workflow", workflow), ("tool", tool)):
        query = query.where(rows.c[name] == value) if value else query
    found = transaction.execute(query.with_for_update(of=rows)).mappings().all()
    return [_release(transaction, memory, action_of(row)) for row in found]


def _release(transaction: Transaction, memory: Memory, action: Action) -> Action:
    moved = actions.move(
        transaction, action, ActionState.APPROVED, by="interlock", reason="the breaker is not open any more",
        error="",
    )  # fmt: skip
    actions.record(transaction, "action.released", moved, body={"digest": moved.digest})
    live = actions.live_of(moved)
    transaction.on_commit(lambda: memory.put_action(live))
    return moved


def _here(environment: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(rows).join(runs, runs.c.id == rows.c.run).where(runs.c.environment == environment)
