"""Upstreams that serve models, and the prices a manifest states itself, in pico-dollars per token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.core.document.named import Document
from interlock.core.model import Ability, WireFamily


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCredentials:
    """What a provider is given, by reference, with an owner and an end (H2).

    `api_key` goes where the wire format puts it; `headers` are sent as they are.
    """

    api_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
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
    tools: Mapping[str, int] = field(default_factory=dict[str, int])


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
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    drain: int = 5

    def address(self, family: WireFamily) -> str:
        """Return the base URL as the SDK of one family takes it: only OpenAI's ends with a version."""
        base = self.base_url.rstrip("/")
        if family is WireFamily.ANTHROPIC:
            return base.removesuffix("/v1")
        _, _, place = base.partition("://")
        return base if "/" in place else f"{base}/v1"
