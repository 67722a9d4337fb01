"""The declared documents as values (DESIGN.md, "The manifest"), after parsing and normalising.

Durations are seconds, money is nano-dollars, percentages are basis points. Conditions stay as declared
(`{"args.amount_cents": {"le": 50000}}`); `core.policy` compiles them. A document without an
environment applies to all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.core.model import EffectClass, Json, RiskTier, Source, Verdict

Conditions = Mapping[str, Json]


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What every document has: a name and, if it is meant for one only, an environment."""

    name: str
    environment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Document):
    """A human. Roles: viewer, auditor, developer, agent_owner, approver, policy_author, operator, admin."""

    email: str
    roles: tuple[str, ...] = ()
    channels: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits in nano-dollars per window; thresholds in basis points of each (B2 to B5)."""

    run: int | None = None
    day: int | None = None
    month: int | None = None
    currency: str = "USD"
    soft: int = 7_000
    hard: int = 10_000
    kill: int = 15_000
    on_hard: str = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(Document):
    """People who answer together."""

    members: tuple[str, ...] = ()
    rota: str | None = None
    budget: Budget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Upstream credentials by reference (`secret://env/NAME`), with an owner and an end (H2)."""

    env: Mapping[str, str] = field(default_factory=_nothing)
    headers: Mapping[str, str] = field(default_factory=_nothing)
    owner: str | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServer(Document):
    """An upstream that offers tools. `stateless` alone lets agents share one connection."""

    transport: str
    command: tuple[str, ...] = ()
    url: str | None = None
    credentials: Credentials = field(default_factory=Credentials)
    source: Source = Source.UNKNOWN
    stateless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Calls of one tool whose reach is smaller, and their smaller tier."""

    name: str
    when: Conditions
    tier: RiskTier


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """The widest reach of one call and what a wrong one costs (A1)."""

    widest_scope: str
    impact: str
    reversible: str
    records: Json = None
    recipients: Json = None
    money: Json = None
    services: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A call derived from another: its preview or its undo. `within` is seconds, for an undo."""

    tool: str
    arguments: Mapping[str, Json]
    within: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(Document):
    """One entry of the blast-radius map; `name` is `server.tool`. Without a tier it counts as unmapped."""

    tier: RiskTier | None = None
    effect: EffectClass | None = None
    blast_radius: BlastRadius | None = None
    variants: tuple[Variant, ...] = ()
    preview: Companion | None = None
    undo: Companion | None = None
    sinks: tuple[str, ...] = ()
    cost_per_call: int = 0
    delay: int = 0

    @property
    def mapped(self) -> bool:
        """Whether the entry is complete: tier, effect, widest scope, reversible, impact (A1)."""
        return self.tier is not None and self.effect is not None and self.blast_radius is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(Document):
    """A non-human identity with one accountable owner and a backup (H1, H3)."""

    owner: str
    backup: str | None = None
    purpose: str = ""
    review_every: int = 90 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One tool in a workflow's scope, with what its arguments must satisfy (A3)."""

    tool: str
    where: Conditions = field(default_factory=_nothing)
    max_calls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Local hours in which a rule does not apply: ISO days 1 to 7, `start` ≤ hour < `end`."""

    tz: str
    days: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule only tightens: when it matches, the verdict is at least `then`."""

    id: str
    tool: str
    then: Verdict
    when: Conditions = field(default_factory=_nothing)
    unless_hours: Hours | None = None
    examples: tuple[Mapping[str, Json], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Who decides what waits, and how long it may wait (F2). Durations in seconds."""

    approvers: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    escalation: tuple[str, ...] = ()
    sla: int = 900
    expire_after: int = 14_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Pinned models and what each may be degraded to."""

    pin: Mapping[str, str] = field(default_factory=_nothing)
    degrade: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When the breaker of this workflow trips (E2); `quality_floor` in basis points."""

    tool_failures: int = 3
    identical_calls: int = 5
    quality_floor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow(Document):
    """A registered unit of agent work: its scope, rules and who answers for it (A3, G7)."""

    agent: str
    owner: str
    tools: tuple[Grant, ...] = ()
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    sampling: bool = False
    elicitation: bool = False
    completion: bool = False
    scope: Mapping[str, Json] = field(default_factory=_nothing)
    rules: tuple[Rule, ...] = ()
    models: Models = field(default_factory=Models)
    budget: Budget | None = None
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    approvals: Approvals = field(default_factory=Approvals)
    runbook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Document):
    """Organisation-wide rules, in the same language."""

    rules: tuple[Rule, ...] = ()


AnyDocument = Person | Team | ToolServer | Tool | Agent | Workflow | Policy

KINDS: dict[str, type[AnyDocument]] = {
    kind.__name__: kind for kind in (Person, Team, ToolServer, Tool, Agent, Workflow, Policy)
}


def key(document: AnyDocument) -> tuple[str, str, str]:
    """Return what identifies a document: kind, name, environment ("" for all)."""
    return type(document).__name__, document.name, document.environment or ""
