"""Workflows as the manifest writes them: scope, approvals, breakers, autonomy."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from interlock.core.confidence import MOST_TRIALS
from interlock.core.model import AtEnd, OnFailure
from interlock.manifest.field import (
    Duration,
    End,
    Failure,
    HookUrl,
    JsonMap,
    Name,
    PersonName,
    Secret,
    Share,
    Strict,
    Text,
    Tier,
    ToolName,
)
from interlock.manifest.rule import RuleSpec
from interlock.manifest.spending import BudgetSpec, CompressionSpec, CustomerSpec, ModelsSpec


class GrantSpec(Strict):
    tool: ToolName = Field(description="a registered tool, server.tool")
    where: JsonMap = Field(default={}, description="conditions its arguments must satisfy")
    max_calls: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="how often it may be called in one run"
    )


class FourEyesSpec(Strict):
    tiers: list[Tier] = Field(min_length=1, description="the tiers of which two people approve each call")


class ApprovalsSpec(Strict):
    approvers: list[PersonName] = Field(default=[], description="people, teams or rotations asked first")
    fallback: list[PersonName] = Field(default=[], description="asked as well when they missed the sla")
    escalation: list[PersonName] = Field(default=[], description="asked as well when that was missed too")
    sla: Duration = Field(900, description="how soon each stage owes a decision; a miss begins the next one")
    reminder: Share = Field(5_000, description="the share of the sla after which a stage is reminded")
    expire_after: Duration = Field(14_400, description="when a call that waits is given up")
    at_end: End = Field(
        AtEnd.EXPIRE, description="what becomes of it then: expire, or park until somebody decides"
    )
    four_eyes: bool | FourEyesSpec = Field(
        False, description="two different people must approve: true for all calls, or the tiers it is for"
    )

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.sla < 1:
            raise ValueError("expected an sla of at least 1s")
        return self


class BreakerSpec(Strict):
    tool_failures: int = Field(3, ge=1, le=1000, description="failures in a row that open a tool's breaker")
    identical_calls: int = Field(
        5,
        ge=2,
        le=1_000_000,
        description="identical calls in a tree of runs that open the workflow's breaker",
    )
    quality_floor: Share | None = Field(
        None, description="a run is low that ends with a lower score, or without one; none means no floor"
    )
    quality_runs: int = Field(
        3, ge=1, le=1000, description="low runs in a row that open the workflow's breaker"
    )


class AutonomySpec(Strict):
    audit: Share = Field(
        300, description="the share of what runs unseen that enters the daily digest all the same: 2 % to 5 %"
    )
    window: Duration = Field(
        86_400, description="how long an action can be objected to before it counts as a clean trial"
    )
    confidence_floor: Share | None = Field(
        None,
        description="a write of a run with a lower quality score, or with none yet, needs a person; "
        "none means no floor",
    )
    familiar_after: int | None = Field(
        None,
        ge=1,
        le=MOST_TRIALS,
        description="a write with a tool needs a person until it has so many clean trials in this version of "
        "the workflow; none means that it does not matter",
    )

    @model_validator(mode="after")
    def _watched(self) -> Self:
        if not 200 <= self.audit <= 500:
            raise ValueError("expected an audit share from 2 % to 5 %")
        if not 3_600 <= self.window <= 14 * 86_400:
            raise ValueError("expected a window from 1h to 14d")
        return self


class WebhookSpec(Strict):
    url: HookUrl = Field(description="where a signed message is posted; https, at a public address")
    key: Secret | None = Field(None, description="what signs it, by reference; else INTERLOCK_WEBHOOK_KEY")


class WorkflowSpec(Strict):
    agent: Name = Field(description="the agent that runs it")
    owner: PersonName = Field(description="the person who answers for it")
    tools: list[GrantSpec] = Field(default=[], description="its scope; what is not here is denied")
    resources: list[Text] = Field(default=[], description="MCP resources in scope")
    prompts: list[Text] = Field(default=[], description="MCP prompts in scope")
    sampling: bool = Field(False, description="whether servers may ask the client's model")
    elicitation: bool | Literal["client", "people"] = Field(
        False,
        description="whom servers may ask during a call: client (or true) is the client's user, people are "
        "this workflow's approvers",
    )
    completion: bool = Field(False, description="whether argument completion passes")
    scope: JsonMap = Field(default={}, description="values that conditions refer to as $scope.name")
    rules: list[RuleSpec] = Field(default=[], description="they only tighten")
    models: ModelsSpec = Field(
        default_factory=lambda: ModelsSpec.model_validate({}),
        description="the models in scope; none means no model call",
    )
    budget: BudgetSpec | None = Field(None, description="limits")
    breaker: BreakerSpec = Field(
        default_factory=lambda: BreakerSpec.model_validate({}),
        description="when its breaker trips",
    )
    approvals: ApprovalsSpec = Field(
        default_factory=lambda: ApprovalsSpec.model_validate({}), description="who decides what waits"
    )
    on_failure: Failure = Field(
        OnFailure.KEEP, description="what becomes of what a failed run did: keep, or undo what can be undone"
    )
    autonomy: AutonomySpec = Field(
        default_factory=lambda: AutonomySpec.model_validate({}),
        description="how closely it is looked at what it does with the freedom it earned",
    )
    runbook: Name | None = Field(None, description="what to do when it misbehaves: a complete Runbook")
    customer: CustomerSpec | None = Field(None, description="where the customer label of a call comes from")
    compression: list[CompressionSpec] = Field(
        default=[], description="large tool results are shortened; the first rule that fits counts"
    )
    webhook: WebhookSpec | None = Field(
        None, description="where a program is told what became of each action beyond reads"
    )
