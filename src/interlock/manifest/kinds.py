"""The manifest as it is written: one pydantic model per kind, exactly the fields of the manifest.

Models refuse unknown fields and convert nothing silently. Quantities become integers here (seconds, basis
points, nano-dollars); `manifest.freeze` turns a checked model into the documents of the core.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from interlock.core.model import EffectClass, OnHard, RiskTier, Source
from interlock.manifest import quantity

API_VERSION = "interlock/v1"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.[!-~]{1,128}")
_SECRET = re.compile(r"secret://env/[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")

THRESHOLD_PATTERN = r"^\d{1,3}(\.\d)?\s?%$"

Role = Literal[
    "viewer", "auditor", "developer", "agent_owner", "approver", "policy_author", "operator", "admin"
]


def _matching(pattern: re.Pattern[str], expected: str) -> Any:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


def _shown_as(convert: Any, schema: dict[str, Any]) -> tuple[Any, Any]:
    return BeforeValidator(convert), WithJsonSchema(schema)


_LETTERS = "letters, digits, - and _, at most 63 characters"
Name = Annotated[str, _matching(_NAME, f"a name of {_LETTERS}")]
PersonName = Annotated[str, _matching(_PERSON, "a name of letters, digits, dots, - and _")]
ToolName = Annotated[str, _matching(_TOOL, "a tool as server.tool, such as payments.refund")]
Variable = Annotated[str, _matching(_VARIABLE, "the name of an environment variable")]
Header = Annotated[str, _matching(re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), "the name of an HTTP header")]
Secret = Annotated[
    str, _matching(_SECRET, "a reference such as secret://env/NAME; a secret never stands in a manifest")
]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Duration = Annotated[
    int,
    *_shown_as(
        quantity.seconds,
        {"type": "string", "pattern": r"^(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2},
    ),
]
Percent = Annotated[
    int, *_shown_as(quantity.basis_points, {"type": "string", "pattern": r"^\d{1,4}(\.\d{1,2})?\s?%$"})
]
Threshold = Annotated[int, *_shown_as(quantity.per_mille, {"type": "string", "pattern": THRESHOLD_PATTERN})]
Share = Annotated[int, *_shown_as(quantity.share, {"type": ["number", "string"], "minimum": 0, "maximum": 1})]
Money = Annotated[int, *_shown_as(quantity.nano_dollars, {"type": ["number", "string"], "minimum": 0})]
Day = Annotated[int, *_shown_as(quantity.end_of_use, {"type": "string", "format": "date"})]
Json = Annotated[Any, BeforeValidator(quantity.json_value)]
JsonMap = dict[str, Json]
Tier = Annotated[RiskTier, Field(strict=False)]
Effect = Annotated[EffectClass, Field(strict=False)]
Origin = Annotated[Source, Field(strict=False)]
OnHardLimit = Annotated[OnHard, Field(strict=False)]


class Strict(BaseModel):
    """No unknown fields, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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


class PersonSpec(Strict):
    email: Annotated[str, _matching(_EMAIL, "an e-mail address")] = Field(
        description="where they are reached"
    )
    roles: list[Role] = Field(default=[], description="what they may do")
    channels: dict[str, Text] = Field(default={}, description="other ways to reach them, by name")


class TeamSpec(Strict):
    members: list[PersonName] = Field(default=[], description="the people of the team")
    rota: Name | None = Field(None, description="the rota that says who is on call")
    budget: BudgetSpec | None = Field(None, description="limits for the team as a whole")


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
    transport: Literal["stdio", "http"] = Field(description="how the server is reached")
    command: list[Text] = Field(default=[], description="stdio: the program and its arguments")
    url: Annotated[str, _matching(_URL, "a URL such as https://tools.example.com/mcp")] | None = Field(
        None, description="http: the address of the MCP endpoint"
    )
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


class AgentSpec(Strict):
    owner: PersonName = Field(description="the one accountable person")
    backup: PersonName | None = Field(None, description="who stands in")
    purpose: str = Field("", max_length=2000, description="what it is for, in words")
    review_every: Duration = Field(90 * 86_400, description="how often its access is reviewed")


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


class ApprovalsSpec(Strict):
    approvers: list[PersonName] = Field(default=[], description="people or teams who decide")
    fallback: list[PersonName] = Field(default=[], description="who decides when they are away")
    escalation: list[PersonName] = Field(default=[], description="who hears of a missed sla")
    sla: Duration = Field(900, description="how soon a decision is due")
    expire_after: Duration = Field(14_400, description="when a call that waits is given up")


class ModelsSpec(Strict):
    pin: dict[Name, Text] = Field(default={}, description="model by role")
    degrade: dict[Text, Text] = Field(default={}, description="what a model may be replaced with")


class BreakerSpec(Strict):
    tool_failures: int = Field(3, ge=1, le=1000, description="consecutive failures of one tool")
    identical_calls: int = Field(5, ge=1, le=1000, description="identical calls in one run")
    quality_floor: Share | None = Field(None, description="lowest quality score")


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
        default_factory=lambda: ModelsSpec.model_validate({}), description="pinned models"
    )
    budget: BudgetSpec | None = Field(None, description="limits")
    breaker: BreakerSpec = Field(
        default_factory=lambda: BreakerSpec.model_validate({}),
        description="when its breaker trips",
    )
    approvals: ApprovalsSpec = Field(
        default_factory=lambda: ApprovalsSpec.model_validate({}), description="who decides what waits"
    )
    runbook: Name | None = Field(None, description="what to do when it misbehaves")


class PolicySpec(Strict):
    rules: list[RuleSpec] = Field(default=[], description="they hold for every workflow")


class Metadata(Strict):
    name: Text = Field(description="unique within its kind and environment")
    environment: Name | None = Field(None, description="the one environment it is meant for; none means all")


SPECS: dict[str, type[Strict]] = {
    "Person": PersonSpec,
    "Team": TeamSpec,
    "ToolServer": ToolServerSpec,
    "Tool": ToolSpec,
    "Agent": AgentSpec,
    "Workflow": WorkflowSpec,
    "Policy": PolicySpec,
}
LATER = ("Organisation", "Provider", "Runbook", "AlertRule", "Rotation", "PromptVersion", "Dataset")
NAMES: dict[str, tuple[re.Pattern[str], str]] = {
    "Person": (_PERSON, "a name of letters, digits, dots, - and _"),
    "Tool": (_TOOL, "a tool as server.tool, such as payments.refund"),
}
ANY_NAME = (_NAME, f"a name of {_LETTERS}")
