"""Whether what documents name exists: people, teams, agents, servers, tools, runbooks.

Every name that resolves to nothing is a problem with a near name, said before anything is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from interlock.core.document.identity import Agent, Organisation, Rotation, Team
from interlock.core.document.provider import Provider
from interlock.core.document.rule import Policy, Rule
from interlock.core.document.runbook import Runbook
from interlock.core.document.spending import Budget
from interlock.core.document.tool import Tool, ToolServer
from interlock.core.document.workflow import Workflow
from interlock.core.policy.flaw import Flaws, near
from interlock.core.tool import server_of
from interlock.core.workflow import ANY_TOOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What exists in this environment, by kind. `elsewhere` maps a left-out kind and name to where it is,
    `policy_rules` a rule id to the policy that has it.
    """

    environment: str
    people: Collection[str]
    teams: Collection[str]
    rotations: Collection[str]
    agents: Collection[str]
    servers: Collection[str]
    tools: Mapping[str, Tool]
    runbooks: Mapping[str, Runbook]
    granted: Collection[str]
    policy_rules: Mapping[str, str]
    elsewhere: Mapping[tuple[str, str], str]

    def need(self, kind: str, name: str, known: Collection[str], flaws: Flaws) -> None:
        """Note a flaw when `name` is not known."""
        if name in known:
            return
        other = self.elsewhere.get((kind, name))
        where = f": it is declared for {other}, this is {self.environment}" if other else ""
        flaws.add(f"unknown {kind} {name!r}{where}", near=near(name, known))

    def need_person(self, name: str | None, flaws: Flaws) -> None:
        """Note a flaw when a named person does not exist."""
        if name is not None:
            self.need("Person", name, self.people, flaws)

    def need_answering(self, names: Iterable[str], flaws: Flaws) -> None:
        """Note a flaw for each name that is neither a person nor a team."""
        known = (*self.people, *self.teams)
        for index, name in enumerate(names):
            self.need("Person or Team", name, known, flaws.at(index))

    def need_asked(self, names: Iterable[str], flaws: Flaws) -> None:
        """Note a flaw for each name that is neither a person, a team nor a rotation."""
        known = (*self.people, *self.teams, *self.rotations)
        for index, name in enumerate(names):
            self.need("Person, Team or Rotation", name, known, flaws.at(index))

    def need_tool(self, name: str, known: Collection[str], flaws: Flaws) -> None:
        """Note a flaw when a tool has neither an entry nor a server that could offer it."""
        if name not in known and server_of(name) not in self.servers:
            self.need("Tool", name, known, flaws)


def check_team(team: Team, names: Names, flaws: Flaws) -> None:
    """Check the members of a team, its rota, and who hears of its budget."""
    for index, member in enumerate(team.members):
        names.need_person(member, flaws.at("spec", "members", index))
    if team.rota is not None:
        names.need("Rotation", team.rota, names.rotations, flaws.at("spec", "rota"))
    _check_budget(team.budget, names, flaws)


def check_rotation(rotation: Rotation, names: Names, flaws: Flaws) -> None:
    """Check the members of a rota, and that no team or person has its name (F2)."""
    spec = flaws.at("spec")
    for index, member in enumerate(rotation.members):
        names.need_person(member, spec.at("members", index))
    if rotation.name in names.people or rotation.name in names.teams:
        taken = "person" if rotation.name in names.people else "team"
        flaws.at("metadata", "name").add(f"a {taken} is called {rotation.name!r} too")


def check_organisation(
    organisation: Organisation, others: Collection[str], names: Names, flaws: Flaws
) -> None:
    """Check that there is one organisation, and who hears of its budget."""
    if organisation.name != min(others):
        flaws.at("metadata", "name").add(f"there is one organisation, and {min(others)!r} is it")
    _check_budget(organisation.budget, names, flaws)


def check_credentials(holder: ToolServer | Provider, names: Names, flaws: Flaws) -> None:
    """Check the owner of the credentials of a server or provider (H2)."""
    names.need_person(holder.credentials.owner, flaws.at("spec", "credentials", "owner"))


def check_runbook(runbook: Runbook, names: Names, flaws: Flaws) -> None:
    """Check the people a runbook names, and that each of its failure modes has a name of its own (G1)."""
    spec = flaws.at("spec")
    names.need_person(runbook.owner, spec.at("owner"))
    names.need_answering(runbook.escalation, spec.at("escalation"))
    seen: set[str] = set()
    for index, mode in enumerate(runbook.failure_modes):
        if mode.name in seen:
            spec.at("failure_modes", index, "name").add(f"the failure mode {mode.name!r} stands there twice")
        seen.add(mode.name)


def _check_budget(budget: Budget | None, names: Names, flaws: Flaws) -> None:
    if budget is not None:
        names.need_answering(budget.route, flaws.at("spec", "budget", "route"))


def check_agent(agent: Agent, names: Names, flaws: Flaws) -> None:
    """Check that an agent has an accountable owner, and a backup who is somebody else (H1, H3)."""
    names.need_person(agent.owner, flaws.at("spec", "owner"))
    names.need_person(agent.backup, flaws.at("spec", "backup"))
    if agent.backup == agent.owner:
        flaws.at("spec", "backup").add("the backup is the owner: name another person, or nobody")
    _check_budget(agent.budget, names, flaws)


def check_workflow(workflow: Workflow, names: Names, flaws: Flaws) -> None:
    """Check what a workflow names: agent, owner, tools, approvers, runbook (A3, G1, G7)."""
    spec = flaws.at("spec")
    names.need("Agent", workflow.agent, names.agents, spec.at("agent"))
    names.need_person(workflow.owner, spec.at("owner"))
    seen: set[str] = set()
    for index, grant in enumerate(workflow.tools):
        here = spec.at("tools", index, "tool")
        names.need_tool(grant.tool, names.tools, here)
        if grant.tool in seen:
            here.add(f"the tool {grant.tool} is granted twice: put all its constraints in one grant")
        seen.add(grant.tool)
    approvals = workflow.approvals
    for level in ("approvers", "fallback", "escalation"):
        names.need_asked(getattr(approvals, level), spec.at("approvals", level))
    _check_budget(workflow.budget, names, flaws)
    _check_named_runbook(workflow.runbook, names, spec.at("runbook"))
    for index, shorter in enumerate(workflow.compression):
        if shorter.tool != ANY_TOOL:
            names.need_tool(shorter.tool, names.tools, spec.at("compression", index, "tool"))
    _check_rules(workflow.rules, names, spec.at("rules"), {*names.tools, *seen}, policy=None)


def _check_named_runbook(name: str | None, names: Names, flaws: Flaws) -> None:
    if name is None:
        return
    names.need("Runbook", name, names.runbooks, flaws)
    found = names.runbooks.get(name)
    if found is not None and found.missing:
        flaws.add(f"the runbook {name} is not complete: it lacks {', '.join(found.missing)}")


def check_policy(policy: Policy, names: Names, flaws: Flaws) -> None:
    """Check the tools that organisation-wide rules name."""
    known = {*names.tools, *names.granted}
    _check_rules(policy.rules, names, flaws.at("spec", "rules"), known, policy=policy.name)


def _check_rules(
    rules: Iterable[Rule], names: Names, flaws: Flaws, known: Collection[str], *, policy: str | None
) -> None:
    """Check each rule's tool, and that its id names one rule in all that can apply together."""
    seen: set[str] = set()
    for index, rule in enumerate(rules):
        if rule.tool != ANY_TOOL:
            names.need("Tool", rule.tool, known, flaws.at(index, "tool"))
        owner = names.policy_rules.get(rule.id, policy)
        if rule.id in seen:
            flaws.at(index, "id").add(f"the rule id {rule.id!r} is used twice")
        elif owner != policy:
            flaws.at(index, "id").add(f"the rule id {rule.id!r} is used by the Policy {owner} already")
        seen.add(rule.id)
