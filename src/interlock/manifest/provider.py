"""A model provider as the manifest declares it: where it is, what it serves and at what price (B1, H2)."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from interlock.core.model import WireFamily
from interlock.manifest.field import (
    Able,
    BaseUrl,
    Day,
    Duration,
    Header,
    ModelName,
    Name,
    PerCall,
    PerMillion,
    PersonName,
    Secret,
    Strict,
    Tokens,
    Wire,
)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_WIRE: dict[str, Any] = {"enum": [each.value for each in WireFamily]}
Wires = Annotated[
    list[Wire],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [_WIRE, {"type": "array", "items": _WIRE, "minItems": 1}]}),
]


class ProviderCredentialsSpec(Strict):
    api_key: Secret | None = Field(None, description="sent where the wire format puts it, by reference")
    headers: dict[Header, Secret] = Field(default={}, description="other headers, by reference")
    owner: PersonName | None = Field(None, description="the person who answers for these credentials")
    expires: Day | None = Field(None, description="warned about before, refused from 00:00 UTC of this date")

    @model_validator(mode="after")
    def _owned(self) -> Self:
        if (self.api_key or self.headers) and (self.owner is None or self.expires is None):
            raise ValueError("static credentials need an owner and an expires date")
        return self


class RatesSpec(Strict):
    """Dollars per million tokens."""

    input: PerMillion = Field(description="dollars per million input tokens")
    output: PerMillion = Field(0, description="dollars per million output tokens")
    cache_read: PerMillion | None = Field(None, description="read from the cache; else as input")
    cache_write_5m: PerMillion | None = Field(None, description="written for 5 minutes; else as input")
    cache_write_1h: PerMillion | None = Field(None, description="written for an hour; else as for 5 minutes")
    reasoning: PerMillion | None = Field(None, description="reasoning; else as output")


class PriceTierSpec(RatesSpec):
    above: Tokens = Field(description="holds for calls with more input tokens than this")


class PriceSpec(RatesSpec):
    tiers: list[PriceTierSpec] = Field(default=[], description="other rates for long inputs, in rising order")
    tools: dict[Name, PerCall] = Field(default={}, description="dollars per call of a tool of the provider")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        lengths = [tier.above for tier in self.tiers]
        if lengths != sorted(set(lengths)):
            raise ValueError("expected tiers in rising order of above")
        return self


class ProviderModelSpec(Strict):
    name: ModelName = Field(description="the model as the provider calls it")
    price: PriceSpec | None = Field(None, description="overrides the price list")
    ceiling: PriceSpec | None = Field(None, description="stands in where the price list has no price")
    window: Tokens | None = Field(None, description="tokens of its context window")
    max_output: Tokens | None = Field(None, description="the most output tokens of one answer")
    abilities: list[Able] | None = Field(None, description="what it can do; nothing said means not known")
    regions: list[Name] = Field(default=[], description="where its data stays")


class TimeoutsSpec(Strict):
    connect: Duration = Field(10, description="to connect")
    first_byte: Duration = Field(600, description="until the answer begins; all of it where it is no stream")
    idle: Duration = Field(120, description="between two bytes of an answer")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.connect and self.first_byte and self.idle):
            raise ValueError("expected each timeout to be at least 1s")
        return self


class ProviderSpec(Strict):
    base_url: BaseUrl = Field(description="the address as the provider's own SDK takes it")
    wire_formats: Wires = Field(alias="wire_format", description="what it speaks: one of these, or a list")
    credentials: ProviderCredentialsSpec = Field(
        default_factory=lambda: ProviderCredentialsSpec.model_validate({}),
        description="what the provider is given",
    )
    models: list[ProviderModelSpec] = Field(min_length=1, description="the models it serves")
    timeouts: TimeoutsSpec = Field(
        default_factory=lambda: TimeoutsSpec.model_validate({}), description="how long it may take"
    )
    concurrency: int = Field(256, ge=1, le=100_000, description="calls under way at once")
    usage_in_stream: bool = Field(True, description="whether it takes stream_options.include_usage")
    fallbacks: dict[ModelName, list[ModelName]] = Field(
        default={}, description="provider/name of what is tried in a model's place, in order"
    )
    drain: Duration = Field(
        5, description="how long a stream whose client left is read on, for its true usage"
    )
