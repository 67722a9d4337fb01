"""Requests for a person's decision as they are put: their route, their timers, and who is told (F2).

The request, its timers and a notice for everybody who is asked are rows of one commit. A notice is raised
once for each request, stage and occasion, and says no argument's value. Functions never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from interlock.core import routing
from interlock.core.action import Action
from interlock.core.alert import AlertKind
from interlock.core.approval import NEVER, Approval, ApprovalState, Binding, Kind
from interlock.core.bundle import Bundle
from interlock.core.document.tool import PEOPLE
from interlock.core.document.workflow import Approvals
from interlock.core.model import SECOND, AtEnd, Decision, Json
from interlock.core.routing import Roster
from interlock.core.second_step import StepKind
from interlock.store import alert_events, approvals, runs, second_steps, timers
from interlock.store.alert_events import Raised
from interlock.store.database import Transaction
from interlock.store.memory import Memory

REMINDER, BREACH = "approval.reminder", "approval.breach"
"""The kinds of timers of a request: part of a stage's time has passed, and all of it has."""

VALUE = "value"
"""The tool of a server of people that asks for a value; any other asks for an answer in words."""
_OPEN_TO_ITSELF = "dev"
_MOST_TOLD = 20


def draft(transaction: Transaction, memory: Memory, action: Action, decision: Decision) -> Approval:
    """Return the request for a decision on `action`, bound to what was decided, put to its first stage."""
    who, kind = declared(memory, action.workflow), kind_of(memory, action.tool)
    binding = Binding(digest=action.digest, pin=decision.pin, bundle=decision.bundle)
    needs = 1 if kind.question else needed(who, decision)
    return begun(memory, replace(_routed(transaction, memory, action, binding), kind=kind, needs=needs))


def question(transaction: Transaction, memory: Memory, action: Action, asked: Mapping[str, Json]) -> Approval:
    """Return the request for what the server of `action` asks during the call, put to its first stage."""
    binding = Binding(digest=action.digest, pin=action.pin, bundle=action.bundle)
    routed = _routed(transaction, memory, action, binding)
    return begun(memory, replace(routed, kind=Kind.INPUT, arguments=asked))


def _routed(transaction: Transaction, memory: Memory, action: Action, binding: Binding) -> Approval:
    """Return a request with the route and the times that the workflow declares."""
    who, run = declared(memory, action.workflow), runs.find(transaction.connection, action.run)
    now = transaction.now
    ends_at = NEVER if who.at_end is AtEnd.PARK else now + routing.seconds(who.expire_after)
    return Approval(
        id=transaction.ids.new("apr"),
        action=action.id,
        state=ApprovalState.PENDING,
        binding=binding,
        requested_at=now,
        expires_at=_ends_at(transaction, action) or ends_at,
        agent=action.agent,
        stages=routing.stages(who, roster(memory.bundle)),
        level_at=now,
        sla=routing.seconds(who.sla),
        reminder=who.reminder,
        at_end=who.at_end,
        requester=run.started_by if run is not None else "",
    )


def _ends_at(transaction: Transaction, action: Action) -> int:
    """Return the deadline of a confirmation: until then somebody may give it; 0 for any other call."""
    step = second_steps.of(transaction.connection, action.follows) if action.follows else None
    return step.due_at if step is not None and step.kind is StepKind.CONFIRM else 0


def kind_of(memory: Memory, tool: str) -> Kind:
    """Return what a call of `tool` asks a person for."""
    server, _, name = tool.partition(".")
    document = memory.bundle.servers.get(server) if memory.bundle is not None else None
    if document is None or document.transport != PEOPLE:
        return Kind.APPROVE
    return Kind.INPUT if name == VALUE else Kind.ANSWER


def declared(memory: Memory, workflow: str) -> Approvals:
    """Return who decides for a workflow, as the policy in force says."""
    compiled = memory.bundle.workflows.get(workflow) if memory.bundle is not None else None
    return compiled.document.approvals if compiled is not None else Approvals()


def needed(who: Approvals, decision: Decision) -> int:
    """Return how many people it takes to let a call pass that was decided so (F2)."""
    return 2 if decision.tier in who.four_eyes else 1


def roster(bundle: Bundle | None) -> Roster:
    """Return who there is under a policy."""
    if bundle is None:
        return Roster(people=(), teams={}, rotas={})
    return Roster(people=bundle.people, teams=bundle.teams, rotas=bundle.rotas)


def begun(memory: Memory, asked: Approval) -> Approval:
    """Return a request in the stage that it begins in: the first with enough people who may decide."""
    excluded = _excluded(memory, asked)
    level = max(asked.level, routing.opening(asked.stages, needs=asked.needs, excluded=excluded))
    return replace(asked, level=level, approvers=routing.deciders(asked.stages, level))


def put(transaction: Transaction, memory: Memory, asked: Approval, action: Action) -> None:
    """Write a new request; one that waits is told to whoever is asked first, and its timers are set.

    Where too few are left who may decide, that is told instead, to those who answer for the workflow.
    """
    approvals.insert(transaction, asked)
    if asked.state is not ApprovalState.PENDING:
        return
    begin(transaction, asked)
    if routing.answerable(asked.stages, needs=asked.needs, excluded=_excluded(memory, asked)):
        tell(transaction, memory, asked, action, AlertKind.APPROVAL_REQUESTED, range(asked.level + 1))
    else:
        tell(transaction, memory, asked, action, AlertKind.APPROVAL_UNANSWERED, ())


def begin(transaction: Transaction, asked: Approval) -> None:
    """Set the timers of the stage that has begun. They are not taken back: they see what was decided."""
    remind_at = routing.reminder_at(asked.level_at, asked.sla, asked.reminder)
    if asked.level_at < remind_at < asked.level_at + asked.sla:
        timers.put(transaction, REMINDER, asked.id, remind_at)
    timers.put(transaction, BREACH, asked.id, asked.level_at + asked.sla)


def tell(
    transaction: Transaction,
    memory: Memory,
    asked: Approval,
    action: Action,
    kind: AlertKind,
    stages: Iterable[int],
) -> None:
    """Tell whoever is on duty in these stages; what wakes people reaches those who answer for it as well."""
    alert_events.raise_alert(
        transaction,
        memory,
        Raised(
            kind=kind,
            subject=f"approval:{asked.id}",
            period=f"level:{asked.level}",
            summary=_SUMMARY[kind].format(what=_what(asked, action)),
            facts=_facts(asked, action),
            workflow=action.workflow,
            route=_told(memory, asked, stages, transaction.now),
            by="approvals",
        ),
    )


_SUMMARY = {
    AlertKind.APPROVAL_REQUESTED: "{what} waits for your decision",
    AlertKind.APPROVAL_REMINDER: "{what} still waits for your decision",
    AlertKind.APPROVAL_ESCALATED: "{what} waits; who was asked before did not decide in time",
    AlertKind.APPROVAL_UNANSWERED: "{what} waits, and nobody decides",
}


def _facts(asked: Approval, action: Action) -> dict[str, Json]:
    """Return what a notice says of a request: names and times, never a value that the agent chose."""
    return {
        "approval": asked.id,
        **({"follows": action.follows} if action.follows else {}),
        "kind": asked.kind.value,
        "tool": action.tool,
        "tier": action.tier.value,
        "workflow": action.workflow,
        "agent": action.agent,
        "stage": asked.stage,
        "approved": f"{len(asked.votes)} of {asked.needs}",
        "decide_by": _moment(asked.level_at + asked.sla),
        "expires": "never" if asked.expires_at == NEVER else _moment(asked.expires_at),
        "decide": f"interlock approvals show {asked.id}",
    }


def _what(asked: Approval, action: Action) -> str:
    return f"{'a question' if asked.kind.question else action.tool} of {action.workflow}"


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, tz=UTC):%Y-%m-%d %H:%M:%SZ}"


def _told(memory: Memory, asked: Approval, stages: Iterable[int], now: int) -> Sequence[str]:
    found = roster(memory.bundle)
    if not asked.stages and memory.bundle is not None:
        holders = (name for name, each in memory.bundle.people.items() if "approver" in each.roles)
        return [each for each in holders if each not in asked.excluded][:_MOST_TOLD]
    absent = _excluded(memory, asked) | {each.person for each in asked.votes}
    return routing.told(asked.stages, stages, found, at=now, absent=absent)[:_MOST_TOLD]


def _excluded(memory: Memory, asked: Approval) -> frozenset[str]:
    """Return who cannot let it pass. In dev a requester may be allowed to, so they are asked as well."""
    if memory.environment == _OPEN_TO_ITSELF:
        return asked.excluded - {asked.requester}
    return asked.excluded
