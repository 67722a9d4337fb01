"""The ladder that a model call goes down when its budget has passed the hard limit, as values (B4).

A step turns the call into a cheaper one; `Price` says what a call is expected to cost, so that every step
states what it saves. `rung` knows what each step makes of a call, `degradation` which are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from interlock.core.conversation import WireFormat
from interlock.core.model import Ability, OnHard


class ServerTools(StrEnum):
    """What becomes of tools that the provider runs and charges for."""

    KEEP = "keep"
    LIMIT = "limit"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A model call as far as it costs money. Sizes are tokens, as expected; caps and effort as asked for.

    `cached` of the `input` are expected from the cache of the model that serves the run now; `fixed` of it
    cannot be trimmed. `reasoning` is a part of `output`. `server_tools` are expected calls by tool. `remote`
    says that the history is at the provider.
    """

    wire: WireFormat
    model: str
    input: int
    output: int
    cached: int = 0
    fixed: int = 0
    reasoning: int = 0
    output_cap: int | None = None
    effort: str | None = None
    thinking: int | None = None
    answers: int = 1
    service_tier: str = ""
    server_tools: Mapping[str, int] = field(default_factory=dict[str, int])
    needs: frozenset[Ability] = frozenset()
    remote: bool = False


Price = Callable[[Call], int | None]
"""Says what a call is expected to cost, in nano-dollars; None where its model has no price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model. What is not known does not speak against a mapping that a person reviewed."""

    window: int | None = None
    max_output: int | None = None
    reasons: bool | None = None
    lacks: frozenset[Ability] = frozenset()
    regions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a workflow is degraded. `swaps` maps a requested model to the one that may serve in its place.

    `margin` (per mille) is what a swap must save of the cost, `least` (nano-dollars) what any step must.
    `output_cap` is in tokens; where the model reasons, `reasoning_room` comes on top. `low_water` (per mille)
    is how far below its target a context is cut, so that the cut can stay; the last `keep_groups` stay whole.
    """

    mode: OnHard = OnHard.FULL
    swaps: Mapping[str, str] = field(default_factory=dict[str, str])
    margin: int = 200
    least: int = 50_000
    output_cap: int = 1_024
    reasoning_room: int = 4_096
    flex: bool = False
    server_tools: ServerTools = ServerTools.KEEP
    low_water: int = 500
    keep_groups: int = 4
    tell: bool = True
    shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a call is degraded in. `allowance` (nano-dollars) is what it may cost; None: no limit passed."""

    terms: Terms
    models: Mapping[str, ModelFacts]
    price: Price
    allowance: int | None

    def facts(self, model: str) -> ModelFacts:
        """Return what is known of a model."""
        return self.models.get(model, ModelFacts())


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapModel:
    """Let another model serve; what it cannot do (`reasons`) or write (`max_output`) is not asked of it."""

    name = "model"
    model: str
    max_output: int | None = None
    reasons: bool | None = None
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerEffort:
    """Think less: low effort, or the least thinking the provider allows."""

    name = "effort"
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapOutput:
    """Answer in at most so many tokens."""

    name = "max_tokens"
    tokens: int
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OneAnswer:
    """Give one answer where several were asked for."""

    name = "n"
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainTier:
    """Leave the dear service tier."""

    name = "service_tier"
    tier: str
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FewerServerTools:
    """Limit or remove the tools that the provider runs."""

    name = "server_tools"
    how: ServerTools
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimContext:
    """Cut the context where it is larger than `tokens`, down to `low` of them."""

    name = "context"
    tokens: int
    low: int
    saves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Tell the model to finish with what it has."""

    name = "message"
    saves: int = 0


Step = SwapModel | LowerEffort | CapOutput | OneAnswer | PlainTier | FewerServerTools | TrimContext | Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A step that was not taken, and why, for people."""

    step: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done to a call. `before` and `after` are nano-dollars, None without a price."""

    call: Call
    steps: tuple[Step, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    before: int | None = None
    after: int | None = None
    fits: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The steps in the words of headers, spans and ledger rows: `model`, `effort`, `max_tokens` ..."""
        return tuple(step.name for step in self.steps)
