"""A runbook as the manifest declares it: what a person who is woken needs (G1)."""

from __future__ import annotations

from pydantic import Field

from interlock.manifest.field import Latency, Money, Name, PersonName, Share, Strict, Text


class BaselineSpec(Strict):
    success_rate: Share | None = Field(None, description="share of runs that succeed, such as 0.99")
    latency: Latency | None = Field(None, description="95 of 100 runs take less, such as 800ms or 45s")
    cost_per_run: Money | None = Field(None, description="dollars a run")
    runs_per_hour: int | None = Field(None, ge=0, le=10_000_000, description="runs an hour")


class FailureModeSpec(Strict):
    name: Name = Field(description="what alerts name")
    symptoms: Text = Field(description="how it shows")
    first_action: Text = Field(description="what to do first")
    escalate_when: Text = Field(description="when to call the next person")


class RunbookSpec(Strict):
    owner: PersonName | None = Field(None, description="the person who answers for the business")
    baseline: BaselineSpec = Field(
        default_factory=lambda: BaselineSpec.model_validate({}), description="what healthy looks like"
    )
    failure_modes: list[FailureModeSpec] = Field(default=[], description="how it fails, and what to do")
    escalation: list[PersonName] = Field(default=[], description="people and teams, in the order of calling")
    rollback: str = Field("", max_length=2000, description="how to go back, or that it cannot be done")
