"""The blast-radius map: tool servers, their tools, and how far a call of each may reach (A1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.document.named import Document
from interlock.core.document.rule import Conditions
from interlock.core.model import EffectClass, Json, RiskTier, Source

PEOPLE = "people"
"""The transport of a server that is no program: its tools put questions to the people of a workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Upstream credentials by reference (`secret://env/NAME`), with an owner and an end (H2)."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
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
class FollowUp:
    """A second call that makes a reversible one final: proposed `after` seconds, always confirmed (E4)."""

    tool: str
    arguments: Mapping[str, Json]
    after: int

    @property
    def call(self) -> Companion:
        """The call, as one that is derived from another."""
        return Companion(tool=self.tool, arguments=self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What settles a call that is provisional, or voids it once `within` seconds have passed (E4)."""

    confirm: Companion
    void: Companion
    within: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A read that says whether a call happened: by what its answer holds under the name in `says`."""

    tool: str
    arguments: Mapping[str, Json]
    says: str = "happened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """Where an undo is tried out: a server that stands in for the tool's own, and what the tool is given."""

    server: str
    arguments: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(Document):
    """One entry of the blast-radius map; `name` is `server.tool`. Without a tier it counts as unmapped.

    `dedupe` is how many seconds the tool remembers an idempotency key.
    """

    tier: RiskTier | None = None
    effect: EffectClass | None = None
    blast_radius: BlastRadius | None = None
    variants: tuple[Variant, ...] = ()
    preview: Companion | None = None
    undo: Companion | None = None
    sinks: tuple[str, ...] = ()
    cost_per_call: int = 0
    delay: int = 0
    dedupe: int | None = None
    probe: Probe | None = None
    exercise: Exercise | None = None
    follow_up: FollowUp | None = None
    settlement: Settlement | None = None

    @property
    def taken_back_by(self) -> Companion | None:
        """The call that takes one of this tool back: its undo, or what voids it before it is settled."""
        return self.settlement.void if self.settlement is not None else self.undo

    @property
    def second(self) -> Companion | None:
        """The call that makes one of this tool final, which a person confirms."""
        if self.settlement is not None:
            return self.settlement.confirm
        return None if self.follow_up is None else self.follow_up.call

    @property
    def mapped(self) -> bool:
        """Whether the entry is complete: tier, effect, widest scope, reversible, impact (A1)."""
        return self.tier is not None and self.effect is not None and self.blast_radius is not None
