"""What may be spent on models, which ones, and what is done to spend less (B1 to B7).

Money is nano-dollars, a budget's thresholds are per mille of each limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.model import OnHard, Shortening


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

    pin: Mapping[str, str] = field(default_factory=dict[str, str])
    degrade: Mapping[str, str] = field(default_factory=dict[str, str])
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
