"""A unit of agent work: what it may use, under which rules, and who decides what waits (A3, F2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from interlock.core.document.named import Document
from interlock.core.document.rule import Conditions, Rule
from interlock.core.document.spending import Budget, Compression, Customer, Models
from interlock.core.model import AtEnd, Json, OnFailure, RiskTier


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One tool in a workflow's scope, with what its arguments must satisfy (A3)."""

    tool: str
    where: Conditions = field(default_factory=dict[str, Json])
    max_calls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Who decides what waits, and how long it may wait (F2). Durations in seconds.

    Each stage has one `sla` and is reminded after the share `reminder` of it (basis points). `four_eyes`
    names the tiers for which two people must agree. At the end a request expires, or is parked until
    somebody decides.
    """

    approvers: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    escalation: tuple[str, ...] = ()
    sla: int = 900
    reminder: int = 5_000
    expire_after: int = 14_400
    at_end: AtEnd = AtEnd.EXPIRE
    four_eyes: tuple[RiskTier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a breaker trips (E2): `quality_floor` in basis points, `quality_runs` low runs in a row."""

    tool_failures: int = 3
    identical_calls: int = 5
    quality_floor: int | None = None
    quality_runs: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Autonomy:
    """How closely what was earned is looked at (F1): the share that is audited, and the time to object.

    `audit` in basis points, of what runs without anybody looking; `window` in seconds. A write of a run whose
    score is below `confidence_floor` (basis points), or of a tool with fewer clean trials than
    `familiar_after`, needs a person.
    """

    audit: int = 300
    window: int = 86_400
    confidence_floor: int | None = None
    familiar_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where a program is told what became of the workflow's actions (E1). `key` refers to what signs it."""

    url: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow(Document):
    """A registered unit of agent work: its scope, rules and who answers for it (A3, G7).

    `elicitation`: what a tool server asks for during a call goes to the client's user, or to people.
    """

    agent: str
    owner: str
    tools: tuple[Grant, ...] = ()
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    sampling: bool = False
    elicitation: bool | Literal["people"] = False
    completion: bool = False
    scope: Mapping[str, Json] = field(default_factory=dict[str, Json])
    rules: tuple[Rule, ...] = ()
    models: Models = field(default_factory=Models)
    budget: Budget | None = None
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    approvals: Approvals = field(default_factory=Approvals)
    autonomy: Autonomy = field(default_factory=Autonomy)
    on_failure: OnFailure = OnFailure.KEEP
    runbook: str | None = None
    customer: Customer | None = None
    compression: tuple[Compression, ...] = ()
    webhook: Webhook | None = None
