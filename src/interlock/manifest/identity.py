"""People, teams, rotas and agents as the manifest writes them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from interlock.manifest.field import (
    SECRET,
    URL,
    Day,
    Duration,
    Email,
    Name,
    PersonName,
    Strict,
    Text,
    need_zone,
)
from interlock.manifest.spending import BudgetSpec

Role = Literal[
    "viewer", "auditor", "developer", "agent_owner", "approver", "policy_author", "operator", "admin"
]


class DigestSpec(Strict):
    hour: int = Field(8, ge=0, le=23, description="the local hour at which it is made")
    tz: Text = Field("UTC", description="an IANA time zone, such as Europe/Berlin")

    @model_validator(mode="after")
    def _real(self) -> Self:
        need_zone(self.tz)
        return self


class PersonSpec(Strict):
    email: Email = Field(description="where they are reached")
    roles: list[Role] = Field(default=[], description="what they may do")
    channels: dict[str, Text] = Field(
        default={}, description="other ways to reach them: webhook is a URL, webhook_key what signs it"
    )
    digest: DigestSpec = Field(
        default_factory=lambda: DigestSpec.model_validate({}),
        description="when they get the daily digest of what ran without asking them first",
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not URL.fullmatch(self.channels.get("webhook", "https://unset")):
            raise ValueError("expected channels.webhook to be a URL")
        if not SECRET.fullmatch(self.channels.get("webhook_key", "secret://env/UNSET")):
            raise ValueError("expected channels.webhook_key to be a reference such as secret://env/NAME")
        return self


class TeamSpec(Strict):
    members: list[PersonName] = Field(default=[], description="the people of the team")
    rota: Name | None = Field(None, description="the Rotation that says who of them is asked at a time")
    budget: BudgetSpec | None = Field(None, description="limits for the team as a whole")


class RotationSpec(Strict):
    members: list[PersonName] = Field(min_length=1, description="the people, in the order of their turns")
    tz: Text = Field(description="an IANA time zone, such as Europe/Berlin")
    first: Day = Field(
        description="the day on which the first member's first shift begins; the weekday counts"
    )
    hour: int = Field(9, ge=0, le=23, description="the local hour of the handover")
    every: Duration = Field(7 * 86_400, description="how long a shift is, in whole days: 1d, 7d, 2w")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.every % 86_400 or not 1 <= self.every // 86_400 <= 366:
            raise ValueError("expected a shift of whole days, from 1d to 366d, in every")
        return self


class AgentSpec(Strict):
    owner: PersonName = Field(description="the one accountable person")
    backup: PersonName | None = Field(None, description="who stands in")
    purpose: str = Field("", max_length=2000, description="what it is for, in words")
    review_every: Duration = Field(90 * 86_400, description="how often its access is reviewed")
    budget: BudgetSpec | None = Field(None, description="limits for all its workflows together")
