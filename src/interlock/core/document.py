"""The declared documents as values (DESIGN.md, "The manifest"), after parsing and normalising.

Durations are seconds, money is nano-dollars, prices are pico-dollars per token, shares are basis points, a
budget's thresholds per mille. Conditions stay as declared (`{"args.amount_cents": {"le": 50000}}`);
`core.policy` compiles them. A document without an environment applies to all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from interlock.core.model import (
    Ability,
    EffectClass,
    Json,
    OnHard,
    RiskTier,
    Shortening,
    Source,
    Verdict,
    WireFamily,
)

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
    """Limits in nano-dollars per window; thresholds per mille of each (B2 to B5).

    `route` names the people and teams that hear of it. In `shadow` nothing is degraded or refused, only
    recorded; `strict` writes every hold down before the call is sent.
    """

    run: int | None = None
    hour: int | None = None
    day: int | None = None
    month: int | None = None
    currency: str = "USD"
    soft: int = 700
    hard: int = 1_000
    kill: int = 1_500
    on_hard: OnHard = OnHard.FULL
    shadow: bool = False
    strict: bool = False
    route: tuple[str, ...] = ()


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
    budget: Budget | None = None


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
class Degraded:
    """What a call is cut down to beyond the hard limit (B4). `output_cap` is tokens; `server_tools` is
    `keep`, `limit` or `remove`; `flex` takes the provider's slow tier; `tell` asks the model to finish.
    """

    output_cap: int = 1_024
    server_tools: str = "keep"
    flex: bool = False
    tell: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models in scope: `pin` by role, `allow` by name, and what `degrade` puts in their place (B4).

    A model is `name` or `provider/name`; in `allow` also `*` and `provider/*`. None at all means no model.
    `output_cap` is the most tokens any call may ask for.
    """

    pin: Mapping[str, str] = field(default_factory=_nothing)
    degrade: Mapping[str, str] = field(default_factory=_nothing)
    allow: tuple[str, ...] = ()
    output_cap: int | None = None
    degraded: Degraded = field(default_factory=Degraded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Results of `tool` (`*` for any) larger than `above` bytes are shortened to `to` bytes (B7).

    The original stays retrievable. `model` writes the summary where it is `summarise`.
    """

    tool: str
    above: int
    to: int
    how: Shortening = Shortening.TRUNCATE
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Where the customer label of a call comes from (B1): a header of the request, or one fixed value."""

    header: str | None = None
    value: str | None = None


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
    customer: Customer | None = None
    compression: tuple[Compression, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Document):
    """Organisation-wide rules, in the same language."""

    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation(Document):
    """The whole: its budget, and how long the originals of shortened tool results are kept (B2, B7)."""

    budget: Budget | None = None
    keep_originals: int = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCredentials:
    """What a provider is given, by reference, with an owner and an end (H2).

    `api_key` goes where the wire format puts it; `headers` are sent as they are.
    """

    api_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=_nothing)
    owner: str | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRates:
    """Pico-dollars per token. What is not said follows from `input` and `output`."""

    input: int
    output: int = 0
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTier:
    """The rates of a call with more than `above` input tokens."""

    above: int
    rates: DeclaredRates


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPrice:
    """A price stated by the manifest instead of the price list. `tools` is pico-dollars per call."""

    rates: DeclaredRates
    tiers: tuple[DeclaredTier, ...] = ()
    tools: Mapping[str, int] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderModel:
    """A model that a provider serves, and what a swap to it may rely on. Sizes are tokens.

    `price` overrides the price list; `ceiling` stands in where the list has none.
    """

    name: str
    price: DeclaredPrice | None = None
    ceiling: DeclaredPrice | None = None
    window: int | None = None
    max_output: int | None = None
    abilities: tuple[Ability, ...] | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to connect, until the first byte of the answer, and between two bytes."""

    connect: int = 10
    first_byte: int = 600
    idle: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Document):
    """An upstream that serves models. `base_url` is what an SDK would be given; `address` says what it means.

    `fallbacks` maps a model to the `provider/model` names tried in its place, in order. `usage_in_stream`
    says that it takes `stream_options.include_usage`; `drain` is for how many seconds a stream whose
    client left is read on, for its true usage.
    """

    base_url: str
    wire_formats: tuple[WireFamily, ...]
    models: tuple[ProviderModel, ...] = ()
    credentials: ProviderCredentials = field(default_factory=ProviderCredentials)
    timeouts: Timeouts = field(default_factory=Timeouts)
    concurrency: int = 256
    usage_in_stream: bool = True
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    drain: int = 5

    def address(self, family: WireFamily) -> str:
        """Return the base URL as the SDK of one family takes it: only OpenAI's ends with a version."""
        base = self.base_url.rstrip("/")
        if family is WireFamily.ANTHROPIC:
            return base.removesuffix("/v1")
        _, _, place = base.partition("://")
        return base if "/" in place else f"{base}/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What healthy looks like: share of runs that succeed (basis points), the time of a run that 95 % stay
    under (µs), nano-dollars a run, runs an hour (G1).
    """

    success_rate: int | None = None
    latency: int | None = None
    cost_per_run: int | None = None
    runs_per_hour: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMode:
    """One way to fail: how it shows, what to do first, and when to call the next person."""

    name: str
    symptoms: str
    first_action: str
    escalate_when: str


_NEEDED = ("failure_modes", "escalation", "rollback", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook(Document):
    """What a person who is woken needs (G1). `escalation` names people and teams in their order."""

    owner: str | None = None
    baseline: Baseline = field(default_factory=Baseline)
    failure_modes: tuple[FailureMode, ...] = ()
    escalation: tuple[str, ...] = ()
    rollback: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """What it still needs before an alert may rest on it; nothing when it is complete."""
        needed = {f"baseline.{each.name}": getattr(self.baseline, each.name) for each in fields(Baseline)}
        needed |= {name: getattr(self, name) or None for name in _NEEDED}
        return tuple(name for name, said in needed.items() if said is None)


AnyDocument = (
    Person | Team | ToolServer | Tool | Agent | Workflow | Policy | Organisation | Provider | Runbook
)

KINDS: dict[str, type[AnyDocument]] = {
    kind.__name__: kind
    for kind in (
        Person,
        Team,
        ToolServer,
        Tool,
        Agent,
        Workflow,
        Policy,
        Organisation,
        Provider,
        Runbook,
    )
}


def key(document: AnyDocument) -> tuple[str, str, str]:
    """Return what identifies a document: kind, name, environment ("" for all)."""
    return type(document).__name__, document.name, document.environment or ""
