"""All documents of one environment, compiled into the one value that decisions are made on (A3, A5).

Compiling reports every problem at once and yields nothing if there is one: a bundle that is not understood
never replaces a good one. Documents of other environments are left out; a document without an environment
applies to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar
from zoneinfo import ZoneInfo

from interlock.core.canonical import digest
from interlock.core.document.identity import Agent, Organisation, Person, Rotation, Team
from interlock.core.document.kind import AnyDocument, key
from interlock.core.document.provider import Provider
from interlock.core.document.rule import Policy
from interlock.core.document.runbook import Runbook
from interlock.core.document.tool import Tool, ToolServer
from interlock.core.document.workflow import Workflow
from interlock.core.duty import Rota
from interlock.core.model_reference import check_models, check_provider, served_by
from interlock.core.model_route import RoutingTable
from interlock.core.policy.condition import Setting
from interlock.core.policy.flaw import Flaws, Path
from interlock.core.policy.rule import Zone, check_rule
from interlock.core.reference import (
    Names,
    check_agent,
    check_credentials,
    check_organisation,
    check_policy,
    check_rotation,
    check_runbook,
    check_team,
    check_workflow,
)
from interlock.core.tool import CompiledTool, compile_tool, fields_of, server_of, unmeasured
from interlock.core.tool_reference import check_circles, check_tool
from interlock.core.workflow import CompiledWorkflow, PlacedRule, compile_workflow, place

Key = tuple[str, str, str]
_Kind = TypeVar("_Kind", bound=AnyDocument)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong: `document` is kind, name, environment; `path` leads from the document's root."""

    document: Key
    path: Path
    message: str
    near: str | None = None


class BundleInvalid(ValueError):
    """The documents do not make a bundle; `problems` lists everything that is wrong."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{len(problems)} problem(s): {problems[0].message}")
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What one environment is decided on. `digest` names its content, `routes` who serves which model."""

    digest: str
    environment: str
    documents: tuple[AnyDocument, ...]
    workflows: Mapping[str, CompiledWorkflow]
    tools: Mapping[str, CompiledTool]
    servers: Mapping[str, ToolServer]
    agents: Mapping[str, Agent]
    people: Mapping[str, Person]
    teams: Mapping[str, Team]
    rotas: Mapping[str, Rota]
    providers: Mapping[str, Provider]
    routes: RoutingTable = field(compare=False)
    runbooks: Mapping[str, Runbook]
    organisation: Organisation | None


def compile_bundle(
    documents: Iterable[AnyDocument],
    *,
    environment: str,
    versions: Mapping[str, int] | None = None,
    zone: Zone = ZoneInfo,
) -> Bundle:
    """Compile the documents that apply to `environment`; `versions` numbers the workflows (1 if not given).

    `zone` resolves time zone names, here and never later. Raises `BundleInvalid` with all problems.
    """
    everything = tuple(documents)
    return _Compiler(everything, environment, zone).compile(versions or {})


class _Compiler:
    """The working state of one compilation: documents by kind, and a list of flaws per document."""

    def __init__(self, everything: tuple[AnyDocument, ...], environment: str, zone: Zone) -> None:
        self.environment = environment
        self.zone = zone
        self.documents = tuple(sorted((d for d in everything if self._applies(d)), key=key))
        self.left_out = [d for d in everything if not self._applies(d)]
        self.flaws: dict[Key, Flaws] = {key(d): Flaws() for d in self.documents}
        self.tools = self._named(Tool)
        self.servers = self._named(ToolServer)
        self.providers = self._named(Provider)
        self.workflows = self._named(Workflow)
        self.policies = self._named(Policy)

    def _applies(self, document: AnyDocument) -> bool:
        return document.environment in (None, self.environment)

    def _all(self, kind: type[_Kind]) -> list[_Kind]:
        return [d for d in self.documents if isinstance(d, kind)]

    def _named(self, kind: type[_Kind]) -> dict[str, _Kind]:
        return {d.name: d for d in self._all(kind)}

    def compile(self, versions: Mapping[str, int]) -> Bundle:
        self._check_doubles()
        self._check_names()
        self._check_models()
        tools = self._compile_tools()
        workflows = self._compile_workflows(tools, versions)
        rotas = self._compile_rotas()
        problems = self._problems()
        if problems:
            raise BundleInvalid(problems)
        return Bundle(
            digest=digest([[*key(d)[:2], asdict(d)] for d in self.documents]),
            environment=self.environment,
            documents=self.documents,
            workflows=workflows,
            tools=tools,
            servers=self.servers,
            agents=self._named(Agent),
            people=self._named(Person),
            teams=self._named(Team),
            rotas=rotas,
            providers=self.providers,
            routes=RoutingTable(self.providers.values()),
            runbooks=self._named(Runbook),
            organisation=next(iter(self._all(Organisation)), None),
        )

    def _check_doubles(self) -> None:
        seen: set[tuple[str, str]] = set()
        for document in self.documents:
            kind, name, _ = key(document)
            if (kind, name) in seen:
                self._of(document).at("metadata", "name").add(
                    f"{kind} {name!r} is declared twice for {self.environment}"
                )
            seen.add((kind, name))

    def _check_names(self) -> None:
        names = self._names()
        for team in self._all(Team):
            check_team(team, names, self._of(team))
        for rotation in self._all(Rotation):
            check_rotation(rotation, names, self._of(rotation))
        for holder in (*self._all(ToolServer), *self._all(Provider)):
            check_credentials(holder, names, self._of(holder))
        for agent in self._all(Agent):
            check_agent(agent, names, self._of(agent))
        for tool in self._all(Tool):
            check_tool(tool, names, self._of(tool))
        for workflow in self._all(Workflow):
            check_workflow(workflow, names, self._of(workflow))
        for policy in self._all(Policy):
            check_policy(policy, names, self._of(policy))
        for runbook in self._all(Runbook):
            check_runbook(runbook, names, self._of(runbook))
        organisations = self._named(Organisation)
        for organisation in organisations.values():
            check_organisation(organisation, organisations, names, self._of(organisation))
        check_circles(self.tools, {name: self._of(tool) for name, tool in self.tools.items()})

    def _check_models(self) -> None:
        elsewhere = [each for each in self.left_out if isinstance(each, Provider)]
        served = served_by(self.providers.values(), elsewhere)
        for provider in self.providers.values():
            check_provider(provider, served, self._of(provider))
        for workflow in self.workflows.values():
            check_models(workflow, served, self._of(workflow))

    def _names(self) -> Names:
        return Names(
            environment=self.environment,
            people=self._named(Person),
            teams=self._named(Team),
            rotations=self._named(Rotation),
            agents=self._named(Agent),
            servers=self.servers,
            tools=self.tools,
            runbooks=self._named(Runbook),
            granted=self._granted(),
            policy_rules=self._policy_rules(),
            elsewhere={key(d)[:2]: d.environment or "" for d in self.left_out},
        )

    def _granted(self) -> set[str]:
        return {grant.tool for workflow in self.workflows.values() for grant in workflow.tools}

    def _policy_rules(self) -> dict[str, str]:
        """Return which policy a rule id belongs to: the first by name, if several use it."""
        policies = reversed(self.policies.values())
        return {rule.id: policy.name for policy in policies for rule in policy.rules}

    def _compile_tools(self) -> dict[str, CompiledTool]:
        return {
            name: compile_tool(
                name,
                self.tools.get(name),
                self.servers.get(server_of(name)),
                self._of(self.tools[name]).at("spec") if name in self.tools else Flaws(),
                environment=self.environment,
            )
            for name in sorted(self._granted() | set(self.tools))
        }

    def _compile_workflows(
        self, tools: Mapping[str, CompiledTool], versions: Mapping[str, int]
    ) -> dict[str, CompiledWorkflow]:
        policies = self._place_policies(tools)
        return {
            name: compile_workflow(
                workflow,
                self._of(workflow),
                version=versions.get(name, 1),
                tools=tools,
                policies=policies,
                zone=self.zone,
            )
            for name, workflow in self.workflows.items()
        }

    def _compile_rotas(self) -> dict[str, Rota]:
        found: dict[str, Rota] = {}
        for rotation in self._all(Rotation):
            try:
                found[rotation.name] = Rota(rotation=rotation, zone=self.zone(rotation.tz))
            except (KeyError, ValueError, OSError):
                self._of(rotation).at("spec", "tz").add(f"unknown time zone {rotation.tz!r}")
        return found

    def _place_policies(self, tools: Mapping[str, CompiledTool]) -> list[PlacedRule]:
        placed = [each for policy in self.policies.values() for each in place(policy.rules, self._of(policy))]
        for each in placed:
            setting = Setting(scope=None, unmeasured=unmeasured(tools, each.rule.tool))
            fields = fields_of(tools, each.rule.tool)
            check_rule(each.rule, each.flaws, setting, tool=fields, zone=self.zone)
        return placed

    def _of(self, document: AnyDocument) -> Flaws:
        return self.flaws[key(document)]

    def _problems(self) -> tuple[Problem, ...]:
        found = (
            Problem(document=document, path=flaw.path, message=flaw.message, near=flaw.near)
            for document, flaws in self.flaws.items()
            for flaw in flaws.found
        )
        return tuple(dict.fromkeys(found))  # a policy is compiled once for each workflow
