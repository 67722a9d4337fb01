"""The manifest as it is written: one pydantic model per kind, exactly the fields of the manifest.

Models refuse unknown fields and convert nothing silently. Quantities become integers here (seconds, basis
points, nano-dollars); `manifest.freeze` turns a checked model into the documents of the core.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from interlock.core.model import AtEnd, OnFailure, Source
from interlock.manifest.field import (
    LETTERS,
    NAME,
    PERSON,
    SECRET,
    TOOL,
    URL,
    Day,
    Duration,
    Effect,
    Email,
    End,
    Failure,
    Header,
    Json,
    JsonMap,
    Money,
    Name,
    Origin,
    PersonName,
    Secret,
    Share,
    Strict,
    Text,
    Tier,
    ToolName,
    Url,
    Variable,
)
from interlock.manifest.provider import ProviderSpec
from interlock.manifest.runbook import RunbookSpec
from interlock.manifest.spending import BudgetSpec, CompressionSpec, CustomerSpec, ModelsSpec

API_VERSION = "interlock/v1"

Role = Literal[
    "viewer", "auditor", "developer", "agent_owner", "approver", "policy_author", "operator", "admin"
]


class DigestSpec(Strict):
    hour: int = Field(8, ge=0, le=23, description="the local hour at which it is made")
    tz: Text = Field("UTC", description="an IANA time zone, such as Europe/Berlin")

    @model_validator(mode="after")
    def _real(self) -> Self:
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin in tz") from None
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


class CredentialsSpec(Strict):
    env: dict[Variable, Secret] = Field(default={}, description="environment of a stdio server, by reference")
    headers: dict[Header, Secret] = Field(default={}, description="headers of an http server, by reference")
    owner: PersonName | None = Field(None, description="the person who answers for these credentials")
    expires: Day | None = Field(None, description="warned about before, refused from 00:00 UTC of this date")

    @model_validator(mode="after")
    def _owned(self) -> Self:
        if (self.env or self.headers) and (self.owner is None or self.expires is None):
            raise ValueError("static credentials need an owner and an expires date")
        return self


class ToolServerSpec(Strict):
    transport: Literal["stdio", "http", "sdk", "people"] = Field(
        description="how the server is reached; sdk: its tools are functions that programs register; "
        "people: they put a question to the people who decide for the workflow"
    )
    command: list[Text] = Field(default=[], description="stdio: the program and its arguments")
    url: Url | None = Field(None, description="http: the address of the MCP endpoint")
    credentials: CredentialsSpec = Field(
        default_factory=lambda: CredentialsSpec.model_validate({}), description="what the server is given"
    )
    source: Origin = Field(Source.UNKNOWN, description="taint label of what it returns")
    stateless: bool = Field(False, description="whether agents may share one connection")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.transport == "stdio" and (not self.command or self.url is not None):
            raise ValueError("transport stdio needs a command, and no url")
        if self.transport == "http" and (self.command or self.url is None):
            raise ValueError("transport http needs a url, and no command")
        if self.transport == "stdio" and self.credentials.headers:
            raise ValueError("transport stdio takes credentials as env, not as headers")
        if self.transport == "http" and self.credentials.env:
            raise ValueError("transport http takes credentials as headers, not as env")
        if self.transport == "sdk" and (
            self.command or self.url or self.credentials.env or self.credentials.headers
        ):
            raise ValueError("transport sdk takes no command, url or credentials: it is the agent's program")
        if self.transport == "people" and (
            self.command or self.url or self.credentials.env or self.credentials.headers
        ):
            raise ValueError("transport people takes no command, url or credentials: people answer")
        return self


class VariantSpec(Strict):
    name: Name
    when: JsonMap = Field(min_length=1, description="conditions that make the reach smaller")
    tier: Tier = Field(description="the smaller tier")


class BlastRadiusSpec(Strict):
    widest_scope: Text = Field(description="the widest scope one call can reach, in words")
    impact: Text = Field(description="what a wrong call at that scope costs")
    reversible: Text = Field(description="whether it can be undone: always, window, none, or in words")
    records: Json = Field(None, description="how many records: a number or an argument, $args.name")
    recipients: Json = Field(None, description="how many people are reached")
    money: Json = Field(None, description="how much money moves")
    services: Json = Field(None, description="how many services are touched, or their names")


class PreviewSpec(Strict):
    tool: ToolName = Field(description="a read-only tool that answers with recipients, records, money, …")
    arguments: JsonMap = Field(default={}, description="its arguments; $args.name takes one of the call")


class UndoSpec(Strict):
    tool: ToolName = Field(description="the tool that undoes this one; two tools may undo each other")
    arguments: JsonMap = Field(default={}, description="$args.name and $result.name are filled in")
    within: Duration | None = Field(None, description="how long the undo works")


class ProbeSpec(Strict):
    tool: ToolName = Field(description="a read-only tool that can say whether a call happened")
    arguments: JsonMap = Field(default={}, description="$args.name and $key, the call's key, are filled in")
    says: Text = Field(
        "happened", description="what in its answer says so: missing is not known, empty is no"
    )


class ExerciseSpec(Strict):
    server: Name = Field(description="a ToolServer that stands in: staging, or a stub of the same tools")
    arguments: JsonMap = Field(default={}, description="what the tool is given when it is tried out")


class CostSpec(Strict):
    per_call: Money = Field(description="what one call costs; counts against budgets")


class ToolSpec(Strict):
    tier: Tier | None = Field(None, description="how far one call can reach")
    variants: list[VariantSpec] = Field(default=[], description="calls whose reach is smaller")
    effect: Effect | None = Field(None, description="what may be done when the outcome is unknown")
    blast_radius: BlastRadiusSpec | None = Field(None, description="the map entry")
    preview: PreviewSpec | None = Field(None, description="a read-only call that measures the reach")
    undo: UndoSpec | None = Field(None, description="the call that undoes it")
    sinks: list[Text] = Field(default=[], description="arguments that decide who is reached, as args.name")
    cost: CostSpec | None = Field(None, description="what a call costs")
    delay: Duration = Field(0, description="cancellable until this long after the decision")
    dedupe: Duration | None = Field(None, description="effect idempotent: how long it remembers keys (24h)")
    probe: ProbeSpec | None = Field(None, description="effect probeable: what to ask when no answer came")
    exercise: ExerciseSpec | None = Field(None, description="where its undo is tried out, and with what")


class AgentSpec(Strict):
    owner: PersonName = Field(description="the one accountable person")
    backup: PersonName | None = Field(None, description="who stands in")
    purpose: str = Field("", max_length=2000, description="what it is for, in words")
    review_every: Duration = Field(90 * 86_400, description="how often its access is reviewed")
    budget: BudgetSpec | None = Field(None, description="limits for all its workflows together")


class GrantSpec(Strict):
    tool: ToolName = Field(description="a registered tool, server.tool")
    where: JsonMap = Field(default={}, description="conditions its arguments must satisfy")
    max_calls: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="how often it may be called in one run"
    )


class HoursSpec(Strict):
    tz: Text = Field(description="an IANA time zone")
    days: list[Annotated[int, Field(ge=1, le=7)]] = Field(min_length=1, description="1 is Monday, 7 Sunday")
    start: int = Field(alias="from", ge=0, le=23, description="from this hour on the rule does not apply")
    end: int = Field(alias="to", ge=1, le=24, description="from this hour on it applies again")

    @model_validator(mode="after")
    def _real(self) -> Self:
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin in tz") from None
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

    @model_validator(mode="after")
    def _watched(self) -> Self:
        if not 200 <= self.audit <= 500:
            raise ValueError("expected an audit share from 2 % to 5 %")
        if not 3_600 <= self.window <= 14 * 86_400:
            raise ValueError("expected a window from 1h to 14d")
        return self


class WorkflowSpec(Strict):
    agent: Name = Field(description="the agent that runs it")
    owner: PersonName = Field(description="the person who answers for it")
    tools: list[GrantSpec] = Field(default=[], description="its scope; what is not here is denied")
    resources: list[Text] = Field(default=[], description="MCP resources in scope")
    prompts: list[Text] = Field(default=[], description="MCP prompts in scope")
    sampling: bool = Field(False, description="whether servers may ask the client's model")
    elicitation: bool = Field(False, description="whether servers may ask the client's user")
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


class PolicySpec(Strict):
    rules: list[RuleSpec] = Field(default=[], description="they hold for every workflow")


class OrganisationSpec(Strict):
    budget: BudgetSpec | None = Field(None, description="limits for all workflows together")
    keep_originals: Duration = Field(
        7 * 86_400, description="how long the originals of shortened tool results are kept"
    )


class Metadata(Strict):
    name: Text = Field(description="unique within its kind and environment")
    environment: Name | None = Field(None, description="the one environment it is meant for; none means all")


SPECS: dict[str, type[Strict]] = {
    "Person": PersonSpec,
    "Team": TeamSpec,
    "Rotation": RotationSpec,
    "ToolServer": ToolServerSpec,
    "Tool": ToolSpec,
    "Agent": AgentSpec,
    "Workflow": WorkflowSpec,
    "Policy": PolicySpec,
    "Organisation": OrganisationSpec,
    "Provider": ProviderSpec,
    "Runbook": RunbookSpec,
}
LATER = ("AlertRule", "PromptVersion", "Dataset")
NAMES: dict[str, tuple[re.Pattern[str], str]] = {
    "Person": (PERSON, "a name of letters, digits, dots, - and _"),
    "Tool": (TOOL, "a tool as server.tool, such as payments.refund"),
}
ANY_NAME = (NAME, f"a name of {LETTERS}")
