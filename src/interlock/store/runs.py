"""Runs: one invocation of one workflow at the version it had when it opened (A3, H2).

A run stays open while somebody renews its token. `lease_until` is the end of the newest token; once it
has passed the clock ends the run. An `attended` run has a launcher that would renew while it lives, so a
lapsed lease means that it died; another run may lapse while an approval it asked for is still open.
`direct_models`: its launcher said that the program calls models by itself, so those calls are not governed.
`ungoverned`: its launcher said that the program ended without a single request to the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from interlock.core.model import Json
from interlock.errors import NotFound, StateConflict
from interlock.store import openings, revocations
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.run_rows import Run, RunState, run_of
from interlock.store.schema import runs


def end(
    transaction: Transaction,
    memory: Memory,
    run: Run,
    *,
    state: RunState,
    reason: str,
    person: str = "",
    ungoverned: bool = False,
) -> bool:
    """End an open run and revoke its tokens at once; False when it had ended before."""
    done = transaction.execute(
        sa.update(runs)
        .where(runs.c.id == run.id, runs.c.state == RunState.OPEN.value)
        .values(state=state.value, closed_at=transaction.now, reason=reason, ungoverned=int(ungoverned))
    )
    if done.rowcount == 0:
        return False
    revocations.add(transaction, memory, revocations.Revoked.RUN, run.id)
    body = {"state": state.value, "reason": reason, "ungoverned": ungoverned}
    record(transaction, "run.ended", run, body=body, person=person)
    openings.run_ended(transaction, memory, run, state=state)
    transaction.tell(Topic.RUN, run.id, environment=run.environment)
    transaction.on_commit(lambda: memory.close_run(run.id))
    for below in open_runs(transaction.connection, parent=run.id):  # what a run started ends with it (B9)
        end(transaction, memory, below, state=RunState.ENDED, reason="the run that started it ended")
    return True


def detach(transaction: Transaction, run: Run, *, reason: str) -> bool:
    """Let an open run go on without its launcher; False when it has ended. The clock ends it later.

    `reason` is kept with the run: why nobody renews it any more.
    """
    done = transaction.execute(
        sa.update(runs)
        .where(runs.c.id == run.id, runs.c.state == RunState.OPEN.value)
        .values(attended=0, lease_until=transaction.now, reason=reason)
    )
    if done.rowcount == 0:
        return False
    record(transaction, "run.detached", run, body={"reason": reason})
    return True


def end_all(transaction: Transaction, memory: Memory, *, agent: str, reason: str, person: str) -> list[str]:
    """End every open run of an agent; return their ids."""
    return [
        run.id
        for run in open_runs(transaction.connection, agent=agent)
        if end(transaction, memory, run, state=RunState.ENDED, reason=reason, person=person)
    ]


def renew(transaction: Transaction, run: str, lease_until: int) -> None:
    """Keep a run open until its newest token ends. Raises `StateConflict` when it has ended."""
    done = transaction.execute(
        sa.update(runs)
        .where(runs.c.id == run, runs.c.state == RunState.OPEN.value)
        .values(
            lease_until=sa.case((runs.c.lease_until > lease_until, runs.c.lease_until), else_=lease_until)
        )
    )
    if done.rowcount == 0:
        raise StateConflict("The run has ended.", hint="Open a new run.")


def record(
    transaction: Transaction, kind: str, run: Run, *, body: Mapping[str, Json], person: str = ""
) -> None:
    """Put on record what happened to `run`, and through whom where that was a person (A6)."""
    transaction.audit(kind, run=run.id, agent=run.agent, workflow=run.workflow, person=person, body=body)


def find(connection: sa.Connection, run: str) -> Run | None:
    """Return a run, or None."""
    row = connection.execute(sa.select(runs).where(runs.c.id == run)).mappings().one_or_none()
    return None if row is None else run_of(row)


def get(connection: sa.Connection, run: str) -> Run:
    """Return a run. Raises `NotFound`."""
    found = find(connection, run)
    if found is None:
        raise NotFound(f"There is no run {run!r}.", hint="interlock runs list")
    return found


def listed(
    connection: sa.Connection,
    *,
    workflow: str = "",
    agent: str = "",
    state: str = "",
    before: str = "",
    limit: int = 50,
) -> list[Run]:
    """Return runs, newest first; `before` is the id of the last one of the page before."""
    query = sa.select(runs).order_by(runs.c.id.desc()).limit(limit)
    for column, wanted in ((runs.c.workflow, workflow), (runs.c.agent, agent), (runs.c.state, state)):
        query = query.where(column == wanted) if wanted else query
    query = query.where(runs.c.id < before) if before else query
    return [run_of(row) for row in connection.execute(query).mappings()]


def open_runs(connection: sa.Connection, *, agent: str = "", parent: str = "") -> list[Run]:
    """Return the runs that are open: of one agent, or started by one run, if given."""
    query = sa.select(runs).where(runs.c.state == RunState.OPEN.value)
    for column, wanted in ((runs.c.agent, agent), (runs.c.parent, parent)):
        query = query.where(column == wanted) if wanted else query
    return [run_of(row) for row in connection.execute(query).mappings()]


def lapsed(connection: sa.Connection, now: int) -> list[Run]:
    """Return the open runs whose newest token, or whose deadline, has passed."""
    over = sa.or_(runs.c.lease_until <= now, runs.c.deadline_at <= now)
    rows = connection.execute(sa.select(runs).where(runs.c.state == RunState.OPEN.value, over))
    return [run_of(row) for row in rows.mappings()]


def descendants(connection: sa.Connection, run: str) -> list[str]:
    """Return the runs that `run` began, and those that they began."""
    found: list[str] = []
    frontier = [run]
    while frontier:
        rows = connection.execute(sa.select(runs.c.id).where(runs.c.parent.in_(frontier)))
        frontier = [each for each in rows.scalars() if each not in found and each != run]
        found += frontier
    return found
