"""A breaker trips: open, with its incident and its alert, in the commit of what tripped it (E1, E2).

Nothing that trips a breaker is on record without the opening, nor the other way round. Never commits.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.alert import AlertKind
from interlock.core.breaker import (
    AGENT_LIMIT,
    Breaker,
    BreakerKind,
    Trigger,
    opened,
    ran_clean,
    scored,
)
from interlock.core.document.workflow import BreakerLimits
from interlock.core.model import BreakerState
from interlock.store import alert_events, breakers, scores
from interlock.store.alert_events import Raised
from interlock.store.breakers import Record, Subject
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.run_rows import Run, RunState
from interlock.store.schema import actions, runs
from interlock.store.transaction import Transaction

INTERLOCK = "interlock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """What trips a breaker: why, in a sentence's words; through which run, of which workflow; by whom.

    `reason` is what a person said; agents are not told. `incident` is the one that is open for it already,
    `told_by` the alert event by which people hear of it.
    """

    kind: BreakerKind
    name: str
    cause: Trigger
    why: str
    run: str = ""
    workflow: str = ""
    by: str = INTERLOCK
    reason: str = ""
    incident: str = ""
    told_by: str = ""


def trip(transaction: Transaction, memory: Memory, what: Trip) -> Record | None:
    """Open a breaker, its incident and its alert; None where it was open. On commit calls are refused."""
    environment = memory.environment
    record = breakers.hold(transaction, environment, what.kind, what.name)
    if record.breaker.state is BreakerState.OPEN:
        return None
    now = opened(record.breaker)
    starter = _starter(transaction.connection, what.run)
    incident = _raise(transaction, memory, what, now)
    breakers.write_opening(
        transaction, environment, now, cause=what.cause, why=what.why, by=what.by, run=what.run,
        starter=starter, incident=incident,
    )  # fmt: skip
    body = {
        "breaker": now.label,
        "opening": now.opening,
        "from": record.breaker.state.value,
        "cause": what.cause.value,
        "why": what.why,
        "incident": incident,
    }
    body |= {"reason": what.reason[:2000]} if what.reason else {}
    person = "" if what.by == INTERLOCK else what.by
    columns = {"run": what.run, "workflow": what.workflow} | breakers.about(now)
    transaction.audit("breaker.opened", **columns, person=person, body=body)
    transaction.on_commit(lambda: memory.put_breaker(now.subject, BreakerState.OPEN, what.why))
    transaction.tell(Topic.BREAKER, now.label, environment=environment)
    if what.kind is BreakerKind.WORKFLOW:
        _spread(transaction, memory, what)
    return breakers.get(transaction.connection, environment, what.kind, what.name)


def run_ended(transaction: Transaction, memory: Memory, run: Run, *, state: RunState) -> None:
    """Count what the end of a run says: its score against the floor, and the evidence of a clean run."""
    limits = limits_of(memory, run.workflow)
    low = False
    if limits.quality_floor is not None:
        lowest = scores.lowest(transaction.connection, run.id)
        low = lowest is None or lowest < limits.quality_floor
        _score(transaction, memory, run, limits, lowest)
    if memory.breakers and state is RunState.CLOSED and not low:
        _count_clean(transaction, memory, run)


def limits_of(memory: Memory, workflow: str) -> BreakerLimits:
    """Return the limits of a workflow; of one that is not declared any more, the usual ones."""
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    return BreakerLimits() if compiled is None else compiled.document.breaker


def subjects_of(memory: Memory, *, run: str, workflow: str, agent: str, tool: str) -> list[Subject]:
    """Return every breaker that guards a call, those of the runs above among them (B9)."""
    facts = memory.runs.get(run)
    above = [] if facts is None else [each for _, each in facts.above]
    return [
        ("tool", tool),
        ("workflow", workflow),
        ("agent", agent),
        *(("workflow", each) for each in above),
        *(("agent", agent_of(memory, each)) for each in above),
    ]


def agent_of(memory: Memory, workflow: str) -> str:
    """Return the agent of a workflow; "" of one that is not declared any more."""
    compiled = None if memory.bundle is None else memory.bundle.workflows.get(workflow)
    return "" if compiled is None else compiled.document.agent


def _score(
    transaction: Transaction, memory: Memory, run: Run, limits: BreakerLimits, lowest: int | None
) -> None:
    assert limits.quality_floor is not None
    record = breakers.hold(transaction, memory.environment, BreakerKind.WORKFLOW, run.workflow)
    counted, cause = scored(record.breaker, lowest, floor=limits.quality_floor, runs=limits.quality_runs)
    if cause is not None:
        floor = f"{limits.quality_floor / 100:g} %"
        why = f"{counted.low_runs} runs in a row ended below the quality floor of {floor} or without a score"
        trip(
            transaction,
            memory,
            Trip(
                kind=BreakerKind.WORKFLOW, name=run.workflow, cause=cause, why=why, run=run.id,
                workflow=run.workflow,
            ),
        )  # fmt: skip
    elif counted != record.breaker:
        breakers.count(transaction, memory.environment, counted)


def _count_clean(transaction: Transaction, memory: Memory, run: Run) -> None:
    """Count a run that began, worked and ended while half-open: any failure had opened the breaker."""
    facts = memory.runs.get(run.id)
    idle = _never_sent(transaction.connection, run.id)
    used = (
        [] if facts is None else [tool for tool, times in facts.calls.items() if times and tool not in idle]
    )
    if not used:
        return
    subjects = {("workflow", run.workflow), ("agent", run.agent), *(("tool", tool) for tool in used)}
    probing = (each for each in subjects if memory.breakers.get(each) is BreakerState.HALF_OPEN)
    for kind, name in sorted(probing):
        record = breakers.hold(transaction, memory.environment, BreakerKind(kind), name)
        counted = ran_clean(record.breaker)
        if counted != record.breaker and run.opened_at >= record.changed_at:
            breakers.count(transaction, memory.environment, counted)


def _never_sent(connection: sa.Connection, run: str) -> set[str]:
    """Return the tools of which a run asked for calls and none was carried out; reads are no actions."""
    query = sa.select(actions.c.tool).where(actions.c.run == run, actions.c.comp_of.is_(None))
    return set(
        connection.execute(
            query.group_by(actions.c.tool).having(sa.func.max(actions.c.attempt) == 0)
        ).scalars()
    )


def _spread(transaction: Transaction, memory: Memory, what: Trip) -> None:
    """Open the agent's breaker too, once so many of its workflows are open."""
    if memory.bundle is None or not (agent := agent_of(memory, what.name)):
        return
    siblings = [name for name, each in memory.bundle.workflows.items() if each.document.agent == agent]
    found = breakers.open_among(transaction.connection, memory.environment, siblings)
    if len(found) < AGENT_LIMIT:
        return
    why = f"the breakers of its workflows {', '.join(found)} are open"
    trip(
        transaction,
        memory,
        Trip(
            kind=BreakerKind.AGENT, name=agent, cause=Trigger.WORKFLOWS_OPEN, why=why, run=what.run,
            workflow=what.workflow,
        ),
    )  # fmt: skip


def _raise(transaction: Transaction, memory: Memory, what: Trip, now: Breaker) -> str | None:
    event = alert_events.raise_alert(
        transaction,
        memory,
        Raised(
            kind=AlertKind.BREAKER,
            subject=now.label,
            period=f"opening:{now.opening}",
            summary=f"The breaker of the {now.kind.value} {now.name} is open: {what.why}",
            facts={"cause": what.cause.value, "opening": now.opening, "run": what.run or None},
            workflow=what.workflow,
            by=what.by,
            incident=what.incident,
            told_by=what.told_by,
        ),
    )
    return None if event is None else event.incident


def _starter(connection: sa.Connection, run: str) -> str:
    if not run:
        return ""
    found = connection.execute(sa.select(runs.c.started_by).where(runs.c.id == run)).scalar_one_or_none()
    return found or ""
