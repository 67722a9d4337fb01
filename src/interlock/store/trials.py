"""Trials: what each action that ended says about its workflow, once nobody objects any more (F1, F3).

A trial that somebody is to look at is an item of a digest, and begins to mature when that digest is made.
Functions never commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from interlock.core.action import ActionState
from interlock.errors import NotFound
from interlock.store.prepared import Prepared
from interlock.store.schema import actions, trials
from interlock.store.transaction import Transaction

NEVER = 1 << 62
"""When a trial matures whose digest is still to be made."""


class Look(StrEnum):
    """Who looks at it: a person beforehand, a reviewer of the digest, an audit of the digest, nobody."""

    PERSON = "person"
    REVIEW = "review"
    AUDIT = "audit"
    NONE = "none"

    @property
    def listed(self) -> bool:
        """Whether it is an item of a digest."""
        return self in (Look.REVIEW, Look.AUDIT)


class TrialState(StrEnum):
    """Where a trial stands.

    `unseen`: its time ended well, but nobody had it before their eyes. `merged`: its run was counted by
    another one. `dropped`: it is about an earlier version or tier.
    """

    OPEN = "open"
    CLEAN = "clean"
    FAILED = "failed"
    UNSEEN = "unseen"
    MERGED = "merged"
    DROPPED = "dropped"


class Mark(StrEnum):
    """What a reviewer says about an item."""

    FINE = "fine"
    REVERSE = "reverse"
    NEEDS_RULE = "needs_rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One action as a trial. `basis` is the version it is evidence for, "" where it is for none."""

    action: str
    environment: str
    workflow: str
    tool: str
    run: str
    owner: str
    basis: str
    look: Look
    state: TrialState
    created_at: int
    matures_at: int
    digest: str | None = None
    mark: Mark | None = None
    marked_by: str | None = None
    marked_at: int | None = None
    reason: str = ""


_INSERT = Prepared(
    sa.text(
        "INSERT INTO trials (action, environment, workflow, tool, run, owner, basis, look, state, created_at,"
        " matures_at) VALUES (:action, :environment, :workflow, :tool, :run, :owner, :basis, :look, :state,"
        " :created_at, :matures_at) ON CONFLICT DO NOTHING"
    )
)
_COLUMNS = (
    "action", "environment", "workflow", "tool", "run", "owner", "basis", "look", "state", "created_at",
    "matures_at",
)  # fmt: skip


def note(transaction: Transaction, trial: Trial) -> bool:
    """Write a trial; say whether it is new."""
    values = asdict(trial)
    row = {name: values[name] for name in _COLUMNS}
    row |= {"look": trial.look.value, "state": trial.state.value}
    return _INSERT.run(transaction.connection, row).rowcount == 1


def find(connection: sa.Connection, action: str) -> Trial | None:
    """Return the trial of an action."""
    row = connection.execute(sa.select(trials).where(trials.c.action == action)).mappings().one_or_none()
    return None if row is None else _trial(row)


def get(connection: sa.Connection, action: str, environment: str) -> Trial:
    """Return an item of a digest by its action. Raises `NotFound`."""
    found = find(connection, action)
    if found is None or found.environment != environment or not found.look.listed:
        raise NotFound(f"There is no item {action[:60]!r} in any digest.", hint="interlock digest list")
    return found


def settle(transaction: Transaction, action: str, state: TrialState) -> None:
    """Write how a trial ended."""
    _set(transaction, [action], state=state.value)


def postpone(transaction: Transaction, action: str, until: int) -> None:
    """Let a trial mature later."""
    _set(transaction, [action], matures_at=until)


def put_in(transaction: Transaction, digest: str, items: Iterable[str], *, until: int) -> None:
    """Make trials the items of a digest; they mature at `until`."""
    _set(transaction, list(items), digest=digest, matures_at=until)


def label(transaction: Transaction, action: str, mark: Mark, *, by: str, reason: str) -> None:
    """Write what a reviewer says about an item."""
    _set(transaction, [action], mark=mark.value, marked_by=by, marked_at=transaction.now, reason=reason)


def due(
    connection: sa.Connection, environment: str, workflow: str, tool: str, now: int, *, limit: int = 500
) -> list[tuple[Trial, ActionState]]:
    """Return the trials of a record whose time is over, oldest first, and how their actions stand."""
    query = (
        sa.select(trials, actions.c.state.label("action_state"))
        .join(actions, actions.c.id == trials.c.action)
        .where(*_of(environment, workflow, tool, TrialState.OPEN), trials.c.matures_at <= now)
    )
    rows = connection.execute(query.order_by(trials.c.matures_at, trials.c.action).limit(limit)).mappings()
    return [(_trial(row), ActionState(row["action_state"])) for row in rows]


def next_due(connection: sa.Connection, environment: str, workflow: str, tool: str) -> int | None:
    """Return when the next trial of a record matures, or None where none does."""
    found: int | None = connection.execute(
        sa.select(sa.func.min(trials.c.matures_at)).where(
            *_of(environment, workflow, tool, TrialState.OPEN), trials.c.matures_at < NEVER
        )
    ).scalar_one()
    return found


def waiting(connection: sa.Connection, environment: str, workflow: str, tool: str) -> int:
    """Return how many trials of a record are not mature yet."""
    query = sa.select(sa.func.count()).select_from(trials)
    count: int = connection.execute(
        query.where(*_of(environment, workflow, tool, TrialState.OPEN))
    ).scalar_one()
    return count


def of_run(connection: sa.Connection, run: str, tool: str) -> list[Trial]:
    """Return the trials of one run with a tool."""
    query = sa.select(trials).where(trials.c.run == run, trials.c.tool == tool)
    return [_trial(row) for row in connection.execute(query.order_by(trials.c.action)).mappings()]


def newest(
    connection: sa.Connection, environment: str, workflow: str, tool: str, *, limit: int = 3000
) -> list[Trial]:
    """Return the trials that were counted, the newest first: what is shown of a record."""
    told = [TrialState.CLEAN.value, TrialState.FAILED.value]
    query = sa.select(trials).where(
        trials.c.environment == environment,
        trials.c.workflow == workflow,
        trials.c.tool == tool,
        trials.c.state.in_(told),
    )
    rows = connection.execute(query.order_by(trials.c.created_at.desc()).limit(limit)).mappings()
    return [_trial(row) for row in rows]


def to_review(connection: sa.Connection, environment: str, owner: str) -> list[Trial]:
    """Return what the next digest of an owner holds."""
    query = sa.select(trials).where(
        trials.c.environment == environment,
        trials.c.owner == owner,
        trials.c.state == TrialState.OPEN.value,
        trials.c.digest.is_(None),
        trials.c.look.in_([Look.REVIEW.value, Look.AUDIT.value]),
    )
    return [_trial(row) for row in connection.execute(query.order_by(trials.c.action)).mappings()]


def items(connection: sa.Connection, digest: str) -> list[tuple[Trial, ActionState, int]]:
    """Return the items of a digest, how each action stands, and until when it can be undone."""
    query = (
        sa.select(trials, actions.c.state.label("action_state"), actions.c.undo_until)
        .join(actions, actions.c.id == trials.c.action)
        .where(trials.c.digest == digest)
    )
    rows = connection.execute(query.order_by(trials.c.action)).mappings()
    return [(_trial(row), ActionState(row["action_state"]), row["undo_until"] or 0) for row in rows]


def _set(transaction: Transaction, names: list[str], **values: Any) -> None:
    transaction.execute(sa.update(trials).where(trials.c.action.in_(names)).values(values))


def _of(environment: str, workflow: str, tool: str, state: TrialState) -> list[sa.ColumnElement[bool]]:
    return [
        trials.c.environment == environment,
        trials.c.workflow == workflow,
        trials.c.tool == tool,
        trials.c.state == state.value,
    ]


def _trial(row: sa.RowMapping) -> Trial:
    values: dict[str, Any] = {name: row[name] for name in Trial.__slots__}
    values["look"], values["state"] = Look(row["look"]), TrialState(row["state"])
    values["mark"] = None if row["mark"] is None else Mark(row["mark"])
    return Trial(**values)
