"""What the manifest says about models and money: budgets, models in scope, shorter results, the customer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from interlock.core.model import OnHard, Shortening
from interlock.manifest.field import (
    Bytes,
    Header,
    How,
    ModelName,
    Money,
    Name,
    OnHardLimit,
    PersonName,
    Strict,
    Text,
    Threshold,
    Tokens,
)

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


class BudgetSpec(Strict):
    run: Money | None = Field(None, description="limit of one run, in the currency; 2.00 is two dollars")
    hour: Money | None = Field(None, description="limit of an hour, in UTC")
    day: Money | None = Field(None, description="limit of a day")
    month: Money | None = Field(None, description="limit of a month")
    currency: Literal["USD"] = Field("USD", description="USD is the only one so far")
    soft: Threshold = Field(700, description="where an alert goes out; nothing stops")
    hard: Threshold = Field(1_000, description="from where calls are degraded")
    kill: Threshold = Field(
        1_500, description="what is never passed, and where the run is halted: 100% to 200%"
    )
    on_hard: OnHardLimit = Field(
        OnHard.FULL,
        description="beyond the hard limit: never degrade but refuse, make calls cheaper, do all that helps",
    )
    shadow: bool = Field(False, description="record what would be degraded or refused, and do nothing")
    strict: bool = Field(False, description="write every hold to disk before its call is sent")
    route: list[PersonName] = Field(default=[], description="people and teams that are told; else the owner")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.soft < self.hard < self.kill:
            raise ValueError("expected soft < hard < kill")
        if not 1_000 <= self.kill <= 2_000:
            raise ValueError("expected kill between 100% and 200%")
        return self


class DegradedSpec(Strict):
    output_cap: Tokens = Field(1_024, description="the most tokens an answer may have then")
    server_tools: Literal["keep", "limit", "remove"] = Field(
        "keep", description="what becomes of tools that the provider runs and charges for"
    )
    flex: bool = Field(False, description="take the provider's slow and cheap tier")
    tell: bool = Field(True, description="ask the model to finish with what it has")


class ModelsSpec(Strict):
    pin: dict[Name, ModelName] = Field(default={}, description="model by role")
    allow: list[ModelName] = Field(
        default=[], description='models it may call: name, provider/name, provider/* or "*"'
    )
    degrade: dict[ModelName, ModelName] = Field(
        default={}, description="what may serve in a model's place beyond the hard limit"
    )
    output_cap: Tokens | None = Field(None, description="the most tokens any answer may have")
    degraded: DegradedSpec = Field(
        default_factory=lambda: DegradedSpec.model_validate({}),
        description="how calls are cut beyond the hard limit",
    )


class CompressionSpec(Strict):
    tool: Text = Field(description='a tool, or "*" for all')
    above: Bytes = Field(description="results larger than this are shortened, such as 16KiB")
    to: Bytes = Field(description="to about this size; the original stays retrievable")
    how: How = Field(Shortening.TRUNCATE, description="keep head and tail, or let a model summarise")
    model: ModelName | None = Field(None, description="summarise: the model that does it")

    @model_validator(mode="after")
    def _smaller(self) -> Self:
        if not 0 < self.to <= self.above:
            raise ValueError("expected to between 1 and above")
        if (self.how is Shortening.SUMMARISE) != (self.model is not None):
            raise ValueError("summarise needs a model, and truncate takes none")
        return self


class CustomerSpec(Strict):
    header: Header | None = Field(None, description="the request header that names the customer")
    value: Text | None = Field(None, description="one customer for all calls")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.header is None) == (self.value is None):
            raise ValueError("expected a header or a value")
        if self.header is not None and self.header.lower() in _SECRET_HEADERS:
            raise ValueError("expected a header that holds no secret")
        return self
