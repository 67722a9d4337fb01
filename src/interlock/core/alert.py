"""Which alerts there are, how loud each is, and what to do about it until a runbook says more (G1).

No alert exists without a failure-mode entry of its own (invariant 12). An entry says how the trouble shows,
what may cause it, what to look at, what to do and who may do it; each must say something. A workflow's
runbook may bring its own entry for an alert; where it does not, the template below counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from interlock.core.model import Json

TEMPLATE = "template"


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

    @property
    def severity(self) -> Severity:
        """How loud it is. Whatever halts work wakes somebody."""
        return Severity.PAGE if self in _PAGES else Severity.TICKET

    @property
    def opens_incident(self) -> bool:
        """Whether it opens an incident: work was halted."""
        return self in _PAGES


_PAGES = frozenset({AlertKind.BUDGET_KILL, AlertKind.KILL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One failure mode: how it shows, its likely cause, what to look at, what to do, who may do it."""

    sign: str
    cause: str
    check: str
    action: str
    who: str

    @property
    def missing(self) -> tuple[str, ...]:
        """What it does not say."""
        return tuple(each.name for each in fields(self) if not getattr(self, each.name).strip())


TEMPLATES: Mapping[AlertKind, Entry] = {
    AlertKind.BUDGET_SOFT: Entry(
        sign="Spend and what is on its way passed the soft limit of a budget. Nothing stops.",
        cause="More work than usual, longer contexts, a dearer model, or a loop that has just begun.",
        check="interlock budget show, then interlock budget explain RUN for the dearest run.",
        action="If the work is wanted, raise the limit by a reviewed change. If not, end the run: "
        "interlock runs end RUN, or freeze the workflow: interlock kill workflow NAME --level freeze.",
        who="The owner of the workflow.",
    ),
    AlertKind.BUDGET_HARD: Entry(
        sign="A budget is used up. Model calls are degraded, and their runs are marked partial.",
        cause="The limit is too low for the work, or a run repeats itself.",
        check="interlock budget explain RUN, and the x-interlock-degraded header of its replies.",
        action="Decide whether partial results are good enough until the window ends; else raise the limit "
        "by a reviewed change, or stop the workflow: interlock kill workflow NAME.",
        who="The owner of the workflow.",
    ),
    AlertKind.BUDGET_KILL: Entry(
        sign="Spend reached the kill ceiling. The run or the workflow is halted.",
        cause="A runaway loop, a price that changed, or a ceiling that never fitted the work.",
        check="interlock kill list, then interlock budget explain RUN.",
        action="Find the cause first. Two people resume: interlock kill resume ID --reason TEXT.",
        who="The owner of the workflow and an operator.",
    ),
    AlertKind.BUDGET_ANOMALY: Entry(
        sign="A provider charged more for a call than the upper bound that was held for it.",
        cause="Hidden tool fees, a price that changed, or a provider that ignores its output cap.",
        check="interlock budget history, and the provider's own usage export.",
        action="Correct the price: interlock prices update. Give the provider a declared ceiling.",
        who="An operator.",
    ),
    AlertKind.KILL: Entry(
        sign="Somebody, or a rule, pressed the kill switch.",
        cause="The reason stands in the incident.",
        check="interlock kill show ID: what was confirmed, what is in flight, what cannot be reached.",
        action="Deal with what could not be reached. Two people resume: interlock kill resume ID "
        "--reason TEXT.",
        who="The owner of what was stopped and an operator.",
    ),
}


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
    entry: Entry
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
        told = [self.summary, "", *(f"{name.capitalize()}: {getattr(self.entry, name)}" for name in _SAID)]
        facts = [f"{name}: {value}" for name, value in (self.facts or {}).items()]
        rest = [
            f"Subject: {self.subject}",
            f"Runbook: {self.runbook}",
            *([f"Incident: {self.incident}"] if self.incident else []),
            f"Event: {self.event}",
        ]
        return "\n".join([*told, "", *facts, *([""] if facts else []), *rest, ""])


_SAID = tuple(each.name for each in fields(Entry))
