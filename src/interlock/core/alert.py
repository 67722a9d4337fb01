"""Which alerts there are, how loud each is, and what to do about it until a runbook says more (G1).

No alert exists without a failure-mode entry of its own (invariant 12): how the trouble shows, what to do
first, when to call the next person. A workflow's runbook may bring its own entry, named after the alert;
where it does not, the template below counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from interlock.core.document.runbook import FailureMode, Runbook
from interlock.core.model import Json


class Severity(StrEnum):
    """How loud an alert is: a page wakes somebody, a ticket waits for the morning."""

    PAGE = "page"
    TICKET = "ticket"


class AlertKind(StrEnum):
    """The alerts that there are."""

    BUDGET_SOFT = "budget.soft"
    BUDGET_HARD = "budget.hard"
    BUDGET_KILL = "budget.kill"
    BUDGET_ANOMALY = "budget.anomaly"
    KILL = "kill.pressed"
    BREAKER = "breaker.opened"
    UNDO_FAILED = "undo.failed"
    CONTEXT_GROWTH = "context.growth"
    DIGEST_READY = "digest.ready"
    AUTONOMY_PROPOSED = "autonomy.proposed"
    AUTONOMY_LOST = "autonomy.lost"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_REMINDER = "approval.reminder"
    APPROVAL_ESCALATED = "approval.escalated"
    APPROVAL_UNANSWERED = "approval.unanswered"
    SECOND_STEP_LEFT = "second-step.left"

    @property
    def severity(self) -> Severity:
        """How loud it is. Whatever halts work wakes somebody, and so does a call that nobody decides."""
        return Severity.PAGE if self in _PAGES else Severity.TICKET

    @property
    def mode(self) -> str:
        """The name of its entry in a runbook."""
        return self.value.replace(".", "-")

    @property
    def opens_incident(self) -> bool:
        """Whether it opens an incident: work was halted, or waits for people who do not answer."""
        return self in _PAGES


_PAGES = frozenset(
    {
        AlertKind.BUDGET_KILL,
        AlertKind.KILL,
        AlertKind.BREAKER,
        AlertKind.UNDO_FAILED,
        AlertKind.APPROVAL_UNANSWERED,
    }
)


TEMPLATES: Mapping[AlertKind, FailureMode] = {
    AlertKind.BUDGET_SOFT: FailureMode(
        name="budget-soft",
        symptoms="Spend, and what is on its way, passed the soft limit of a budget. Nothing stops. More work "
        "than usual, longer contexts, a dearer model, or a loop that has just begun.",
        first_action="Look at interlock budget show, then at the dearest run: interlock budget explain RUN. "
        "If the work is wanted, raise the limit by a reviewed change; if not: interlock runs end RUN.",
        escalate_when="It passes the hard limit, or the cause is not found within the hour: then the owner "
        "freezes the workflow: interlock kill workflow NAME --level freeze.",
    ),
    AlertKind.BUDGET_HARD: FailureMode(
        name="budget-hard",
        symptoms="A budget is used up: model calls are degraded and their runs are marked partial. The limit "
        "is too low for the work, or a run repeats itself.",
        first_action="interlock budget explain RUN shows what was spent on what. Decide whether partial "
        "results do until the window ends; else raise the limit by a reviewed change.",
        escalate_when="Spend still grows: then the owner stops the workflow: interlock kill workflow NAME.",
    ),
    AlertKind.BUDGET_KILL: FailureMode(
        name="budget-kill",
        symptoms="Spend reached the kill ceiling, and the run or the workflow was halted. A runaway loop, a "
        "price that changed, or a ceiling that never fitted the work.",
        first_action="Find the cause before anything goes on: interlock kill list, interlock budget explain "
        "RUN. Two people resume: interlock kill resume ID --reason TEXT.",
        escalate_when="The cause is not found within fifteen minutes, or customers wait for the results.",
    ),
    AlertKind.BUDGET_ANOMALY: FailureMode(
        name="budget-anomaly",
        symptoms="A provider charged more for a call than the upper bound held for it: hidden tool fees, a "
        "price that changed, or an output cap that it does not honour.",
        first_action="Compare interlock budget history with the provider's own usage export, and correct the "
        "price: interlock prices update.",
        escalate_when="It happens again with the price corrected: then freeze the workflow that calls it.",
    ),
    AlertKind.KILL: FailureMode(
        name="kill-pressed",
        symptoms="Somebody, or a rule, pressed the kill switch. The reason stands in the incident.",
        first_action="interlock kill show ID says what was confirmed, what is in flight and what cannot be "
        "reached. Deal with the last two. Two people resume: interlock kill resume ID --reason TEXT.",
        escalate_when="Something in flight does not end, or its effect must be undone by hand.",
    ),
    AlertKind.CONTEXT_GROWTH: FailureMode(
        name="context-growth",
        symptoms="The contexts of a workflow grew between deployments: longer prompts, larger tool results, "
        "or a history that is never shortened. Every call costs more, and answers get worse.",
        first_action="interlock signals context WORKFLOW shows by how much and since which version. Compare "
        "what that version changed; shorten large tool results by a compression rule.",
        escalate_when="The 95th percentile fills most of the model's window, or a budget alert follows.",
    ),
    AlertKind.DIGEST_READY: FailureMode(
        name="digest-ready",
        symptoms="Your daily digest is made: what ran without asking a person first. Nothing is wrong yet.",
        first_action="Go through it: interlock digest show ID, then say for each item fine, reverse or "
        "needs-rule: interlock digest mark ACTION reverse --reason TEXT.",
        escalate_when="An item did harm that cannot be undone, or broke a rule: mark it with --severe.",
    ),
    AlertKind.AUTONOMY_PROPOSED: FailureMode(
        name="autonomy-proposed",
        symptoms="A workflow has proved that it needs less supervision with a tool. Nothing changes until a "
        "person says so.",
        first_action="interlock autonomy show WORKFLOW TOOL has the figures. If you agree: interlock "
        "autonomy promote WORKFLOW TOOL --reason TEXT. If not, do nothing.",
        escalate_when="You do not answer for this workflow any more: correct its owner in the manifest.",
    ),
    AlertKind.AUTONOMY_LOST: FailureMode(
        name="autonomy-lost",
        symptoms="A workflow failed more often with a tool than its freedom allows, or did something severe. "
        "It has less freedom now; its calls wait for people, or are looked at afterwards.",
        first_action="interlock autonomy history WORKFLOW says when and why. Look at what failed: interlock "
        "actions list --workflow WORKFLOW. Mend the cause; it earns its freedom back by clean trials.",
        escalate_when="Calls that wait pile up, or what failed did harm: interlock kill workflow NAME.",
    ),
    AlertKind.APPROVAL_REQUESTED: FailureMode(
        name="approval-requested",
        symptoms="An agent asks for a call that a person has to decide on, and you are asked. It waits.",
        first_action="interlock approvals show ID says all that is needed to decide. Then approve, modify or "
        "reject it: interlock approvals approve ID; the last two need --reason.",
        escalate_when="You cannot judge it, or asked for it yourself. The next stage is asked by the clock.",
    ),
    AlertKind.APPROVAL_REMINDER: FailureMode(
        name="approval-reminder",
        symptoms="A call still waits for your decision, and part of the time for it has passed.",
        first_action="Decide now: interlock approvals show ID, then approve, modify or reject it.",
        escalate_when="You cannot judge it. When the time is over the next stage is asked as well.",
    ),
    AlertKind.APPROVAL_ESCALATED: FailureMode(
        name="approval-escalated",
        symptoms="Whoever was asked before you did not decide in time. You may decide now; so may they.",
        first_action="interlock approvals show ID says who was asked before. Decide, or agree who does.",
        escalate_when="The last stage misses its time too: an incident is opened then.",
    ),
    AlertKind.APPROVAL_UNANSWERED: FailureMode(
        name="approval-unanswered",
        symptoms="Every stage missed its time, or nobody is left who may decide. The call waits; only a "
        "person lets it pass, and when its time is over it expires or stays parked, as its workflow says.",
        first_action="Find somebody who may decide: interlock approvals show ID names them. If nobody is "
        "there, stop the call (interlock actions cancel ID) and correct the workflow's approvals.",
        escalate_when="It happens again for this workflow: its approvers, rota or sla do not fit the work.",
    ),
    AlertKind.SECOND_STEP_LEFT: FailureMode(
        name="second-step-left",
        symptoms="What was to make an action final did not happen: nobody confirmed it in time, the policy "
        "forbids it, or its tool refused. What was provisional is voided at its deadline; the rest stays.",
        first_action="interlock actions show ACTION says what became of it. If it is still wanted, have it "
        "asked for again: interlock actions follow-up ACTION --reason TEXT.",
        escalate_when="It happens again for this workflow: its approvers do not see what they are asked for.",
    ),
    AlertKind.UNDO_FAILED: FailureMode(
        name="undo-failed",
        symptoms="An action was to be undone, and its undo failed or got no answer often enough. What the "
        "action did still stands, in whole or in part, and the breaker of its tool is open.",
        first_action="interlock undo show ACTION says what was tried and why it failed. Look at the tool "
        "server. Have it tried again: interlock undo action ACTION --reason TEXT; or undo it by hand and "
        "say so: interlock undo done ACTION --reason TEXT.",
        escalate_when="It fails again, or somebody outside already relies on what the action did.",
    ),
    AlertKind.BREAKER: FailureMode(
        name="breaker-opened",
        symptoms="The breaker of a tool, a workflow or an agent opened: its calls are refused. Failures in a "
        "row, a loop, a run beyond its ceiling, low scores, an approval nobody gave, or an undo that failed.",
        first_action="interlock breaker show BREAKER says why and through which run; interlock audit show "
        "RUN has its calls. Mend the cause. Then try it under supervision: interlock breaker sign-off "
        "BREAKER --to half-open --reason TEXT, and close it once runs end clean.",
        escalate_when="The cause is not found within thirty minutes, it opens again while half-open, or an "
        "undo has failed and its effect must be undone by hand.",
    ),
}


TEMPLATE = Runbook(
    name="template",
    failure_modes=tuple(TEMPLATES.values()),
    owner="operators",
    escalation=("operators",),
    rollback="Nothing is to be rolled back: an alert changes nothing.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One alert event as it is told: what happened to what, and what to do about it."""

    event: str
    kind: str
    severity: Severity
    environment: str
    subject: str
    window: str
    at: int
    summary: str
    entry: FailureMode
    runbook: str
    incident: str = ""
    facts: Mapping[str, Json] | None = None

    @property
    def title(self) -> str:
        """The one line that a person reads first."""
        return f"[{self.severity.value}] {self.environment}: {self.summary}"

    def payload(self, delivery: str) -> dict[str, Json]:
        """Return the notice as a program reads it; `delivery` is the same however often it is sent."""
        return {
            "delivery": delivery,
            "event": self.event,
            "kind": self.kind,
            "severity": self.severity.value,
            "environment": self.environment,
            "subject": self.subject,
            "window": self.window,
            "at": self.at,
            "summary": self.summary,
            "incident": self.incident or None,
            "runbook": {"name": self.runbook, **{name: getattr(self.entry, name) for name in _SAID}},
            "facts": dict(self.facts or {}),
        }

    def text(self) -> str:
        """Return the notice as a person reads it."""
        said = (f"{name.capitalize().replace('_', ' ')}: {getattr(self.entry, name)}" for name in _SAID)
        told = [self.summary, "", *said]
        facts = [f"{name}: {value}" for name, value in (self.facts or {}).items()]
        rest = [
            f"Subject: {self.subject}",
            f"Runbook: {self.runbook}",
            *([f"Incident: {self.incident}"] if self.incident else []),
            f"Event: {self.event}",
        ]
        return "\n".join([*told, "", *facts, *([""] if facts else []), *rest, ""])


_SAID = ("symptoms", "first_action", "escalate_when")
