"""One workflow, compiled: its grants, and all rules that can touch each granted tool, its own and the
organisation's, in one tuple per tool (A3, A5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interlock.core.confidence import Confidence, asked
from interlock.core.document.rule import Rule
from interlock.core.document.workflow import Workflow
from interlock.core.model import Capability
from interlock.core.policy.condition import Setting
from interlock.core.policy.flaw import Flaws
from interlock.core.policy.rule import CompiledRule, Zone, check_rule, compile_rule
from interlock.core.scope import CompiledCapabilities, CompiledGrant, compile_grant
from interlock.core.tool import CompiledTool, fields_of, unmeasured

ANY_TOOL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledWorkflow:
    """What one version of a workflow may do. `rules` is indexed by tool; "*" and policies are folded in.

    `confidence` is what it asks for before a write passes without a person, None where it asks for nothing.
    """

    document: Workflow
    version: int
    label: str
    grants: Mapping[str, CompiledGrant]
    rules: Mapping[str, tuple[CompiledRule, ...]]
    capabilities: CompiledCapabilities
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A declared rule and where its flaws are noted."""

    rule: Rule
    flaws: Flaws


def place(rules: Iterable[Rule], flaws: Flaws) -> list[PlacedRule]:
    """Return the rules of one document with their places."""
    return [PlacedRule(rule, flaws.at("spec", "rules", index)) for index, rule in enumerate(rules)]


def compile_workflow(
    document: Workflow,
    flaws: Flaws,
    *,
    version: int,
    tools: Mapping[str, CompiledTool],
    policies: list[PlacedRule],
    zone: Zone,
) -> CompiledWorkflow:
    """Compile a workflow with the organisation's rules; note every flaw."""
    placed = [*place(document.rules, flaws), *policies]
    for each in placed:
        setting = Setting(scope=document.scope, unmeasured=unmeasured(tools, each.rule.tool))
        check_rule(each.rule, each.flaws, setting, tool=fields_of(tools, each.rule.tool), zone=zone)
    grants: dict[str, CompiledGrant] = {}
    for index, grant in enumerate(document.tools):
        setting = Setting(scope=document.scope, unmeasured=unmeasured(tools, grant.tool))
        grants[grant.tool] = compile_grant(grant, flaws.at("spec", "tools", index), setting)
    return CompiledWorkflow(
        document=document,
        version=version,
        label=f"{document.name}@{version}",
        grants=grants,
        rules={tool: _rules(placed, tools[tool], document, zone) for tool in _reached(grants, tools)},
        capabilities=_capabilities(document),
        confidence=asked(document.autonomy),
    )


def _reached(grants: Iterable[str], tools: Mapping[str, CompiledTool]) -> set[str]:
    """Return what can be called for a workflow: its grants, and the second steps that these declare (E4)."""
    granted = {name for name in grants if name in tools}
    documents = (tools[name].document for name in granted)
    steps = (each.second for each in documents if each is not None)
    return granted | {each.tool for each in steps if each is not None and each.tool in tools}


def _rules(
    placed: list[PlacedRule], tool: CompiledTool, document: Workflow, zone: Zone
) -> tuple[CompiledRule, ...]:
    setting = Setting(scope=document.scope, fixed=tool.settled)
    compiled = (
        compile_rule(each.rule, Flaws(), setting, zone=zone)  # its flaws were noted by check_rule
        for each in placed
        if each.rule.tool in (ANY_TOOL, tool.name)
    )
    return tuple(rule for rule in compiled if rule is not None)


def _capabilities(document: Workflow) -> CompiledCapabilities:
    switches = {
        Capability.SAMPLING: document.sampling,
        Capability.ELICITATION: document.elicitation is True,
        Capability.COMPLETION: document.completion,
    }
    return CompiledCapabilities(
        resources=document.resources,
        prompts=document.prompts,
        switches=frozenset(name for name, on in switches.items() if on),
    )
