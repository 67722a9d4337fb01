"""The checks that only a second step meets: declared, not granted, and always confirmed (E4).

It belongs to no open run and to no token: those may have ended. What stops the agent, its workflow or the
tool stops it, and rules tighten it, as they do the agent's own calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from interlock.core import refusal
from interlock.core.case import CONTENT, Case, Said
from interlock.core.gate import read_facts
from interlock.core.model import PRODUCTION
from interlock.core.snapshot import RunFacts


def declared(follows: str) -> Callable[[Case], Said]:
    """Return the check that the manifest in force names the tool as the second step of `follows`."""

    def check(case: Case) -> Said:
        name, principal = case.request.tool, case.request.principal
        found = case.bundle.workflows.get(principal.workflow)
        if found is None:
            return (refusal.unknown_workflow(principal.workflow),)
        first = case.bundle.tools.get(follows)
        second = None if first is None or first.document is None else first.document.second
        if second is None or second.tool != name or follows not in found.grants:
            return (refusal.not_declared(name, follows),)
        tool = case.bundle.tools[name]
        if not tool.mapped and case.snapshot.environment == PRODUCTION:
            return (refusal.unmapped(name),)
        run = case.snapshot.run
        case.run = run or RunFacts(run=principal.run, workflow=found.document.name, version=found.version)
        case.workflow, case.line, case.tool, case.effect = found, [(case.run, found)], tool, tool.effect
        case.request = replace(case.request, principal=replace(principal, agent=found.document.agent))
        return CONTENT

    return check


def reached(case: Case) -> Said:
    """No grant limits it; the tier of this very call is known."""
    facts = read_facts(case)
    case.tier = case.tool.tier_of(facts) if case.tool.variants else case.tool.tier
    facts.tool = case.tool.fields[case.tier.rank]
    return CONTENT


def confirmed(_case: Case) -> Said:
    """A person always confirms it, whatever was earned."""
    return (refusal.SECOND_STEP,)
