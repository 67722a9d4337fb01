"""Rules as the manifest writes them, of a workflow or of everybody."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from interlock.manifest.field import (
    JsonMap,
    Name,
    Strict,
    Text,
    need_zone,
)


class HoursSpec(Strict):
    tz: Text = Field(description="an IANA time zone")
    days: list[Annotated[int, Field(ge=1, le=7)]] = Field(min_length=1, description="1 is Monday, 7 Sunday")
    start: int = Field(alias="from", ge=0, le=23, description="from this hour on the rule does not apply")
    end: int = Field(alias="to", ge=1, le=24, description="from this hour on it applies again")

    @model_validator(mode="after")
    def _real(self) -> Self:
        need_zone(self.tz)
        if self.start >= self.end:
            raise ValueError("expected from < to; write two rules for hours over midnight")
        return self


class RuleSpec(Strict):
    id: Name = Field(description="the name that decisions give as their reason")
    tool: Text = Field(description='a tool, or "*" for all')
    when: JsonMap = Field(default={}, description="conditions; none means always")
    unless_hours: HoursSpec | None = Field(None, description="local hours in which the rule does not apply")
    then: Literal["allow_with_review", "require_approval", "deny"] = Field(
        description="the verdict is at least this; rules only tighten"
    )
    examples: list[JsonMap] = Field(default=[], description="calls that the rule must catch, checked at load")


class PolicySpec(Strict):
    rules: list[RuleSpec] = Field(default=[], description="they hold for every workflow")
