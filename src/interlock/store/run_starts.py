"""How a run begins: at its workflow's present version, for an agent and under runs that may still run."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.kill import belongs_to, standing
from interlock.core.missing import no_workflow
from interlock.core.workflow import CompiledWorkflow
from interlock.errors import NotFound, NotPermitted, StateConflict
from interlock.store import agents, runs
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.run_facts import facts_of
from interlock.store.run_rows import Run, RunState, row_of
from interlock.store.schema import runs as run_table


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
    workflow = _workflow(memory, request)
    _not_stopped(memory, request)
    agent = agents.active(transaction.connection, request.agent)
    run = _opened(transaction, memory, request, version=workflow.version)
    transaction.execute(sa.insert(run_table).values(row_of(run)))
    body = {
        "version": run.workflow_version,
        "started_by": run.started_by,
        "attended": run.attended,
        "direct_models": run.direct_models,
        "parent": run.parent,
    }
    runs.record(transaction, "run.opened", run, body=body)
    above = _above(memory, run.parent)
    transaction.tell(Topic.RUN, run.id, environment=run.environment)
    transaction.on_commit(lambda: memory.open_run(facts_of(run, {}, above)))
    return run, agent


def _workflow(memory: Memory, request: RunStart) -> CompiledWorkflow:
    bundle = memory.bundle
    compiled = None if bundle is None else bundle.workflows.get(request.workflow)
    if compiled is None:
        unknown = no_workflow(request.workflow, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)
    if compiled.document.agent != request.agent:
        raise NotPermitted(f"The workflow {request.workflow!r} is not one of the agent {request.agent!r}.")
    return compiled


def _opened(transaction: Transaction, memory: Memory, request: RunStart, *, version: int) -> Run:
    parent = None if request.parent is None else runs.get(transaction.connection, request.parent)
    return Run(
        id=transaction.ids.new("run"),
        workflow=request.workflow,
        workflow_version=version,
        agent=request.agent,
        environment=memory.environment,
        state=RunState.OPEN,
        started_by=request.started_by,
        opened_at=transaction.now,
        closed_at=None,
        reason="",
        parent=request.parent,
        labels=() if parent is None else parent.labels,
        lease_until=request.lease_until,
        deadline_at=request.deadline_at,
        attended=request.attended,
        direct_models=request.direct_models,
    )


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
