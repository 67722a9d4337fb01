"""Tool servers and their tools as the manifest writes them: the blast-radius map."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from interlock.core.model import Source
from interlock.manifest.field import (
    Day,
    Duration,
    Effect,
    Header,
    Json,
    JsonMap,
    Money,
    Name,
    Origin,
    PersonName,
    Secret,
    Strict,
    Text,
    Tier,
    ToolName,
    Url,
    Variable,
)


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


class FollowUpSpec(Strict):
    tool: ToolName = Field(description="the tool that makes it final, such as the hard delete")
    arguments: JsonMap = Field(default={}, description="$args.name and $result.name are filled in")
    after: Duration = Field(description="how long after the call it is proposed; a person always confirms it")


class CallSpec(Strict):
    tool: ToolName = Field(description="a registered tool, server.tool")
    arguments: JsonMap = Field(default={}, description="$args.name and $result.name are filled in")


class SettlementSpec(Strict):
    confirm: CallSpec = Field(description="the call that settles it, once a person has confirmed")
    void: CallSpec = Field(description="the call that takes it back, when nobody has or a person says so")
    within: Duration = Field(description="how long a person has to confirm it")


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
    follow_up: FollowUpSpec | None = Field(
        None, description="a second call that makes it final later, beside an undo that holds until then"
    )
    settlement: SettlementSpec | None = Field(
        None, description="it is provisional: settled by a second call that a person confirms, else voided"
    )
