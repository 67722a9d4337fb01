"""Runs: one invocation of one workflow at the version it had when it opened (A3, H2).

A run stays open while somebody renews its token. `lease_until` is the end of the newest token; once it
has passed the clock ends the run. An `attended` run has a launcher that would renew while it lives, so a
lapsed lease means that it died; another run may lapse while an approval it asked for is still open.
`direct_models`: its launcher said that the program calls models by itself, so those calls are not governed.
`ungoverned`: its launcher said that the program ended without a single request to the gateway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from interlock.core.admission import RunFacts
from interlock.core.kill import belongs_to, standing
from interlock.core.missing import no_workflow
from interlock.core.model import Principal
from interlock.errors import NotFound, NotPermitted, StateConflict
from interlock.store import agents, revocations
from interlock.store.agents import AgentState
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.schema import run_calls, runs


class RunState(StrEnum):
    """Where a run stands: `closed` ended by its own launcher, `ended` by somebody or something else."""

    OPEN = "open"
    CLOSED = "closed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as the store knows it."""

    id: str
    workflow: str
    workflow_version: int
    agent: str
    environment: str
    state: RunState
    started_by: str
    opened_at: int
    closed_at: int | None
    reason: str
    parent: str | None
    labels: tuple[str, ...]
    lease_until: int
    deadline_at: int | None
    attended: bool
    direct_models: bool
    ungoverned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """Who wants to open a run of which workflow. `agent` is who proved itself; it must be the workflow's."""

    workflow: str
    agent: str
    started_by: str
    lease_until: int
    deadline_at: int | None = None
    attended: bool = False
    direct_models: bool = False
    parent: str | None = None


def start(transaction: Transaction, memory: Memory, request: RunStart) -> tuple[Run, agents.AgentRecord]:
    """Open a run at the workflow's present version; on commit the decision knows it.

    Raises `NotFound` for an unknown workflow, `NotPermitted` when it is another agent's, `StateConflict`
    when the agent is suspended or retired, or what it belongs to is stopped.
    """
    bundle = memory.bundle
    compiled = None if bundle is None else bundle.workflows.get(request.workflow)
    if compiled is None:
        unknown = no_workflow(request.workflow, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    if compiled.document.agent != request.agent:
        raise NotPermitted(f"The workflow {request.workflow!r} is not one of the agent {request.agent!r}.")
    _not_stopped(memory, request)
    agent = active_agent(transaction.connection, request.agent)
    parent = memory.runs.get(request.parent) if request.parent is not None else None
    run = Run(
        id=transaction.ids.new("run"),
        workflow=request.workflow,
        workflow_version=compiled.version,
        agent=request.agent,
        environment=memory.environment,
        state=RunState.OPEN,
        started_by=request.started_by,
        opened_at=transaction.now,
        closed_at=None,
        reason="",
        parent=request.parent,
        labels=() if parent is None else tuple(sorted(parent.labels)),
        lease_until=request.lease_until,
        deadline_at=request.deadline_at,
        attended=request.attended,
        direct_models=request.direct_models,
    )
    _insert(transaction, run)
    transaction.audit(
        "run.opened",
        run=run.id,
        agent=run.agent,
        workflow=run.workflow,
        body={
            "version": run.workflow_version,
            "started_by": run.started_by,
            "attended": run.attended,
            "direct_models": run.direct_models,
            "parent": run.parent,
        },
    )
    above = _above(memory, run.parent)
    transaction.on_commit(lambda: memory.open_run(facts_of(run, {}, above)))
    return run, agent


def _not_stopped(memory: Memory, request: RunStart) -> None:
    """Refuse a run of what was stopped, at whatever level (B5). Raises `StateConflict`."""
    subjects = belongs_to(
        environment=memory.environment,
        agent=request.agent,
        workflow=request.workflow,
        above=_above(memory, request.parent),
    )
    for subject, level in standing(memory.kill, subjects).items():
        raise StateConflict(
            f"No new run may start: {subject} is under a kill of level {level.value}.",
            hint="interlock kill list; two people resume.",
        )


def _above(memory: Memory, parent: str | None) -> tuple[tuple[str, str], ...]:
    facts = None if parent is None else memory.runs.get(parent)
    return () if facts is None else ((facts.run, facts.workflow), *facts.above)


def descendants(connection: sa.Connection, run: str) -> list[str]:
    """Return the runs that `run` began, and those that they began."""
    found: list[str] = []
    frontier = [run]
    while frontier:
        rows = connection.execute(sa.select(runs.c.id).where(runs.c.parent.in_(frontier)))
        frontier = [each for each in rows.scalars() if each not in found and each != run]
        found += frontier
    return found


def active_agent(connection: sa.Connection, name: str) -> agents.AgentRecord:
    """Return an agent that may run now. Raises `StateConflict` when it is suspended or retired."""
    agent = agents.get(connection, name)
    if agent.state is not AgentState.ACTIVE:
        raise StateConflict(
            f"The agent {name!r} is {agent.state}: it cannot run.", hint="interlock agents show"
        )
    return agent


def principal_of(
    run: Run,
    agent: agents.AgentRecord,
    *,
    token_id: str,
    key_id: str,
    expires_at: int,
    scope: frozenset[str] | None = None,
    actors: tuple[str, ...] = (),
) -> Principal:
    """Return who a token of `run` speaks for."""
    return Principal(
        agent=run.agent,
        owner=agent.owner,
        workflow=run.workflow,
        workflow_version=run.workflow_version,
        run=run.id,
        environment=run.environment,
        token_id=token_id,
        key_id=key_id,
        epoch=agent.epoch,
        expires_at=expires_at,
        scope=scope,
        actors=actors,
    )


def facts_of(run: Run, calls: dict[str, int], above: tuple[tuple[str, str], ...] = ()) -> RunFacts:
    """Return what a decision reads of a run; `above` are those that it was started from, nearest first."""
    return RunFacts(
        run=run.id,
        workflow=run.workflow,
        version=run.workflow_version,
        open=run.state is RunState.OPEN,
        calls=calls,
        labels=frozenset(run.labels),
        started_at=run.opened_at,
        above=above,
    )


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
    transaction.audit(
        "run.ended",
        run=run.id,
        agent=run.agent,
        workflow=run.workflow,
        person=person,
        body={"state": state.value, "reason": reason, "ungoverned": ungoverned},
    )
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
    transaction.audit(
        "run.detached", run=run.id, agent=run.agent, workflow=run.workflow, body={"reason": reason}
    )
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


def find(connection: sa.Connection, run: str) -> Run | None:
    """Return a run, or None."""
    row = connection.execute(sa.select(runs).where(runs.c.id == run)).mappings().one_or_none()
    return None if row is None else _run(row)


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
    return [_run(row) for row in connection.execute(query).mappings()]


def open_runs(connection: sa.Connection, *, agent: str = "", parent: str = "") -> list[Run]:
    """Return the runs that are open: of one agent, or started by one run, if given."""
    query = sa.select(runs).where(runs.c.state == RunState.OPEN.value)
    for column, wanted in ((runs.c.agent, agent), (runs.c.parent, parent)):
        query = query.where(column == wanted) if wanted else query
    return [_run(row) for row in connection.execute(query).mappings()]


def lapsed(connection: sa.Connection, now: int) -> list[Run]:
    """Return the open runs whose newest token, or whose deadline, has passed."""
    over = sa.or_(runs.c.lease_until <= now, runs.c.deadline_at <= now)
    rows = connection.execute(sa.select(runs).where(runs.c.state == RunState.OPEN.value, over))
    return [_run(row) for row in rows.mappings()]


def load_facts(connection: sa.Connection) -> Iterable[RunFacts]:
    """Return what decisions read of every open run, as counted on disk; calls count in the runs above too."""
    counts: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        sa.select(run_calls.c.run, run_calls.c.tool, run_calls.c["count"])
        .join(runs, runs.c.id == run_calls.c.run)
        .where(runs.c.state == RunState.OPEN.value)
    ):
        counts.setdefault(row[0], {})[row[1]] = row[2]
    found, sums = open_runs(connection), dict[str, Counter[str]]()
    lines = {run.id: _line(connection, run) for run in found}
    for run in found:
        for above, _ in lines[run.id]:
            sums.setdefault(above, Counter()).update(counts.get(run.id, {}))
    return [
        facts_of(run, dict(Counter(counts.get(run.id, {})) + sums.get(run.id, Counter())), lines[run.id])
        for run in found
    ]


def _line(connection: sa.Connection, run: Run) -> tuple[tuple[str, str], ...]:
    """Return the runs above, nearest first."""
    line: list[tuple[str, str]] = []
    while run.parent is not None and (above := find(connection, run.parent)) is not None:
        line.append((above.id, above.workflow))
        run = above
    return tuple(line)


def calls_of(connection: sa.Connection, run: str) -> dict[str, int]:
    """Return how often each tool was called in a run."""
    rows = connection.execute(
        sa.select(run_calls.c.tool, run_calls.c["count"])
        .where(run_calls.c.run == run)
        .order_by(run_calls.c.tool)
    )
    return {row[0]: row[1] for row in rows}


def _insert(transaction: Transaction, run: Run) -> None:
    transaction.execute(
        sa.insert(runs).values(
            id=run.id,
            workflow=run.workflow,
            workflow_version=run.workflow_version,
            agent=run.agent,
            environment=run.environment,
            state=run.state.value,
            started_by=run.started_by,
            opened_at=run.opened_at,
            reason=run.reason,
            parent=run.parent,
            labels=msgspec.json.encode(run.labels).decode(),
            lease_until=run.lease_until,
            deadline_at=run.deadline_at,
            attended=int(run.attended),
            direct_models=int(run.direct_models),
        )
    )


def _run(row: sa.RowMapping) -> Run:
    return Run(
        id=row["id"],
        workflow=row["workflow"],
        workflow_version=row["workflow_version"],
        agent=row["agent"],
        environment=row["environment"],
        state=RunState(row["state"]),
        started_by=row["started_by"] or "",
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        reason=row["reason"] or "",
        parent=row["parent"],
        labels=tuple(msgspec.json.decode(row["labels"] or "[]", type=list[str])),
        lease_until=row["lease_until"] or 0,
        deadline_at=row["deadline_at"],
        attended=bool(row["attended"]),
        direct_models=bool(row["direct_models"]),
        ungoverned=bool(row["ungoverned"]),
    )
