"""Which action a caller means: by an approval's id, a key, the same call, or the state of a question."""

from __future__ import annotations

import hmac

import sqlalchemy as sa

from interlock.core.action import OPEN, Action, ActionState
from interlock.store.action_rows import action_of, object_of
from interlock.store.actions import live_of
from interlock.store.memory import LiveAction
from interlock.store.schema import actions, approvals, runs


def named(connection: sa.Connection, name: str) -> Action | None:
    """Return the action that an approval's id, or its own, is about."""
    asked = sa.select(approvals.c.action).where(approvals.c.id == name).scalar_subquery()
    row = (
        connection.execute(sa.select(actions).where(sa.or_(actions.c.id == name, actions.c.id == asked)))
        .mappings()
        .one_or_none()
    )
    return None if row is None else action_of(row)


def keyed(connection: sa.Connection, run: str, key: str) -> Action | None:
    """Return the action that `key` stands for in a run."""
    query = sa.select(actions).where(actions.c.run == run, actions.c.idempotency_key == key)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else action_of(row)


def open_call(connection: sa.Connection, run: str, tool: str, digest: str) -> Action | None:
    """Return the open action that a call without a key of its own is identical to."""
    query = sa.select(actions).where(
        actions.c.run == run, actions.c.tool == tool, actions.c.digest == digest,
        actions.c.state.in_([each.value for each in OPEN]),
        actions.c.idempotency_key.is_(None), actions.c.comp_of.is_(None), actions.c.follows.is_(None),
    )  # fmt: skip
    row = connection.execute(query.order_by(actions.c.id.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else action_of(row)


def asking(connection: sa.Connection, request_state: str) -> Action | None:
    """Return the action that gave out `request_state` and still waits for the input."""
    name, _, nonce = request_state.partition(".")
    found = named(connection, name)
    if found is None or found.state is not ActionState.AWAITING_INPUT or not nonce:
        return None
    kept = object_of(found.input_state)
    return found if hmac.compare_digest(str(kept["nonce"]).encode(), nonce.encode()) else None


def load_live(connection: sa.Connection) -> list[LiveAction]:
    """Return what identical calls attach to: open actions, and outcomes nobody collected in open runs."""
    wanted = sa.or_(
        actions.c.state.in_([each.value for each in OPEN]),
        sa.and_(
            actions.c.collected.is_(False),
            runs.c.state == "open",
            actions.c.comp_of.is_(None),
            actions.c.follows.is_(None),
        ),
    )
    query = sa.select(actions).outerjoin(runs, runs.c.id == actions.c.run).where(wanted)
    found = [action_of(row) for row in connection.execute(query.order_by(actions.c.id)).mappings()]
    pending = sa.select(approvals.c.id, approvals.c.expires_at).where(approvals.c.state == "pending")
    ends = {row[0]: row[1] for row in connection.execute(pending)}
    return [live_of(action, expires_at=ends.get(action.approval, 0)) for action in found]
