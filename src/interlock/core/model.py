"""The words of Interlock as values: tiers, verdicts, principals, requests, reasons, decisions.

Everything is frozen. Times are integers, microseconds since the Unix epoch; money is integer
nano-dollars; `Json` is what `json.loads` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self, TypeVar, dataclass_transform

Json = Any

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PRODUCTION = "production"
"""The environment in which more is asked for: maps that are complete, undos that were tried out."""

_Value = TypeVar("_Value")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[_Value]) -> type[_Value]:
    """Make a frozen dataclass of the call path: the type checker keeps it frozen, at no cost per call.

    The guard that `frozen=True` adds at run time makes such a value two to three times dearer to make.
    """
    make: Callable[[type[_Value]], type[_Value]] = dataclass(slots=True, kw_only=True, unsafe_hash=True)
    return make(cls)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def placed(cls: type[_Value]) -> type[_Value]:
    """Make a `value` that one hot place makes by position, in less than half the time; others name fields."""
    make: Callable[[type[_Value]], type[_Value]] = dataclass(slots=True, unsafe_hash=True)
    return make(cls)


class Ranked(StrEnum):
    """Words in an order, declared from the mildest to the strictest. `rank` is 0 for the first."""

    rank: int

    def __new__(cls, value: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.rank = len(cls.__members__)
        return member


class RiskTier(Ranked):
    """How far one call of a tool can reach (A2). Ours, never the tool server's claim."""

    READ_ONLY = "read_only"
    LIMITED_WRITE = "limited_write"
    HIGH_BLAST_RADIUS = "high_blast_radius"


class EffectClass(StrEnum):
    """What may be done when the outcome of a call is not known."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    PROBEABLE = "probeable"
    ONCE = "once"


class Verdict(Ranked):
    """The answer to a request, from the mildest to the strictest; the strictest wins (A5)."""

    ALLOW = "allow"
    ALLOW_WITH_REVIEW = "allow_with_review"
    REQUIRE_APPROVAL = "require_approval"
    DENY = "deny"

    def strictest(self, other: Verdict) -> Verdict:
        """Return the stricter of the two."""
        return self if self.rank >= other.rank else other


_DENY = Verdict.DENY  # a global is read four times as fast as a member of its enumeration


class AutonomyTier(Ranked):
    """What a workflow has earned for one tool, from the freest to the strictest (F1)."""

    AUTONOMOUS = "autonomous"
    ASYNC_REVIEW = "async_review"
    SYNC_APPROVAL = "sync_approval"


class BreakerState(StrEnum):
    """The circuit breaker of a workflow, tool or agent (E1)."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Source(StrEnum):
    """Where a tool server's output comes from: the taint label of what it returns (H7)."""

    INTERNAL = "internal"
    WEB = "web"
    EMAIL = "email"
    TICKET = "ticket"
    FILE = "file"
    UNKNOWN = "unknown"


class WireFamily(StrEnum):
    """Whose wire format a model provider speaks. Nothing is translated from one to the other."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Ability(StrEnum):
    """What a model can do, as its provider's document says."""

    TOOLS = "tools"
    VISION = "vision"
    STRUCTURED = "structured"
    REASONING = "reasoning"


class AtEnd(StrEnum):
    """What becomes of a call that nobody decided in time: it expires, or it waits until somebody does.

    Neither is an approval, and neither is a refusal (F2).
    """

    EXPIRE = "expire"
    PARK = "park"


class OnFailure(StrEnum):
    """What becomes of what a run did when it has failed: it is kept, or undone where it can be (E3)."""

    KEEP = "keep"
    UNDO = "undo"


class OnHard(StrEnum):
    """What happens beyond a budget's hard limit: calls are refused, made cheaper, or all that can be done.

    Refusing is the opt-out, so `never` reads: never degrade (B4).
    """

    NEVER = "never"
    SOFT = "soft"
    FULL = "full"


class Shortening(StrEnum):
    """How a large tool result is made smaller before it enters the context (B7)."""

    TRUNCATE = "truncate"
    SUMMARISE = "summarise"


class Gate(StrEnum):
    """The checks of the one decision, in their order."""

    TOKEN = "token"
    ENVIRONMENT = "environment"
    SCOPE = "scope"
    SCHEMA = "schema"
    CONSTRAINTS = "constraints"
    BREAKER = "breaker"
    BUDGET = "budget"
    TAINT = "taint"
    RULES = "rules"
    APPROVAL = "approval"


class Capability(StrEnum):
    """What a workflow can be granted beside tools."""

    RESOURCE = "resource"
    PROMPT = "prompt"
    SAMPLING = "sampling"
    ELICITATION = "elicitation"
    COMPLETION = "completion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling, as a verified run token says it (H1, H2). `scope` None means the whole workflow."""

    agent: str
    owner: str
    workflow: str
    workflow_version: int
    run: str
    environment: str
    token_id: str
    key_id: str
    epoch: int
    expires_at: int
    scope: frozenset[str] | None = None
    actors: tuple[str, ...] = ()


@value
class Request:
    """One proposed tool call. `arguments` is canonical JSON already; `digest` is its SHA-256 (hex)."""

    tool: str
    arguments: Mapping[str, Json]
    digest: str
    principal: Principal


@value
class NearMiss:
    """What would have been allowed, for the reader of a refusal: "up to 50000; this was 90000"."""

    field: str
    expected: str
    actual: str


@value
class Reason:
    """One gate's say: a stable code, a sentence for people and models, the rule where there is one."""

    gate: Gate
    code: str
    message: str
    verdict: Verdict
    rule: str | None = None
    near_misses: tuple[NearMiss, ...] = ()


@placed
class Decision:
    """The answer to one request, with everything that made it (A5).

    `reasons` holds what determined the verdict first, then what else was hit. `tier` is the tier of
    this very call (its variant's, where one matched). `bundle` and `pin` are what it was decided on.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    tier: RiskTier
    effect: EffectClass
    bundle: str
    pin: str
    decided_at: int
    digest: str
    read: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @property
    def reason(self) -> Reason:
        """The reason that determined the verdict."""
        return self.reasons[0]

    @property
    def denied(self) -> bool:
        """Whether the call must not happen."""
        return self.verdict is _DENY


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A tool as it was registered: a hash over name, description and input schema. Drift disables it."""

    tool: str
    digest: str
    seen: str | None = None

    @property
    def drifted(self) -> bool:
        """Whether the server now offers something else than what was registered."""
        return self.seen is not None and self.seen != self.digest
