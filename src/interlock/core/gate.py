"""The checks of the one decision, each a function from the case to what it has to say (A5).

A check that says nothing is content. Later checks rely on what earlier ones found: `case.workflow`,
`case.grant`, `case.tool` and `case.facts` exist because nothing before them denied. `core.admission` has
them in their order.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.core import breaker, confidence, kill, refusal, taint
from interlock.core.budget import Clamp, Granted, answer
from interlock.core.budget import refused as in_words
from interlock.core.case import CONTENT, Case, Said
from interlock.core.ground import killed, tripped
from interlock.core.identity import check_environment, check_token
from interlock.core.model import (
    PRODUCTION,
    EffectClass,
    Gate,
    Json,
    RiskTier,
    Verdict,
)
from interlock.core.policy.condition import misses
from interlock.core.policy.field import Facts

_UNMEASURED: Mapping[str, Json] = {}


def token(case: Case) -> Said:
    """The token counts, and its run is open and of the workflow version that the token names."""
    principal, run = case.request.principal, case.snapshot.run
    refused = check_token(principal, case.snapshot.revoked, case.now)
    if refused is not None:
        return (refused,)
    if run is None or run.run != principal.run:
        return (refusal.UNKNOWN_RUN,)
    if not run.open or not all(above.open for above in case.snapshot.above):
        return (refusal.CLOSED_RUN,)
    if run.workflow != principal.workflow or run.version != principal.workflow_version:
        return (refusal.FOREIGN_RUN,)
    case.run = run
    return CONTENT


def environment(case: Case) -> Said:
    """Token, gateway, policy and tool are all of one environment (invariant 10)."""
    snapshot, bundle = case.snapshot, case.snapshot.bundle
    refused = check_environment(case.request.principal, snapshot.environment)
    if refused is not None:
        return (refused,)
    if bundle is None:
        return (refusal.NO_BUNDLE,)
    if bundle.environment != snapshot.environment:
        return (refusal.foreign("policy", bundle.environment, snapshot.environment),)
    tool = bundle.tools.get(case.request.tool)
    if tool is not None and tool.environment != snapshot.environment:
        return (refusal.foreign("tool", tool.environment, snapshot.environment),)
    case.bundle = bundle
    return CONTENT


def workflow(case: Case) -> Said:
    """The workflow is the agent's and stands in the very version that the token was issued for."""
    principal = case.request.principal
    found = case.bundle.workflows.get(principal.workflow)
    if found is None:
        return (refusal.unknown_workflow(principal.workflow),)
    if found.version != principal.workflow_version:
        held = f"{principal.workflow}@{principal.workflow_version}"
        return (refusal.workflow_moved(held, found.label),)
    if found.document.agent != principal.agent:
        return (refusal.other_agent(found.label),)
    case.workflow = found
    return _above(case)


def _above(case: Case) -> Said:
    """Every run above stands in its version too: nobody starts a run that may do more (invariant 3)."""
    line = [(case.run, case.workflow)]
    for run in case.snapshot.above:
        found = case.bundle.workflows.get(run.workflow)
        if found is None:
            return (refusal.unknown_workflow(run.workflow),)
        if found.version != run.version:
            return (refusal.workflow_moved(f"{run.workflow}@{run.version}", found.label),)
        line.append((run, found))
    case.line = line
    return CONTENT


def scope(case: Case) -> Said:
    """The frozen workflow grants the tool, the token holds it, and it is mapped where that is required."""
    refused = workflow(case)
    if refused:
        return refused
    name, held = case.request.tool, case.request.principal.scope
    for _, granting in case.line:
        if name not in granting.grants:
            return (refusal.not_in_scope(granting.label, name, granting.grants),)
    if held is not None and name not in held:
        return (refusal.narrowed_away(name),)
    tool = case.bundle.tools[name]
    if not tool.mapped and case.snapshot.environment == PRODUCTION:
        return (refusal.unmapped(name),)
    case.grant, case.tool, case.effect = case.workflow.grants[name], tool, tool.effect
    return CONTENT


def schema(case: Case) -> Said:
    """The tool is what was registered, and the arguments fit its pinned schema."""
    pin, check = case.snapshot.pin, case.snapshot.schema_problem
    if pin is None or pin.tool != case.request.tool:
        return (refusal.NO_PIN,)
    if pin.drifted:
        return (refusal.DRIFTED,)
    if check is None:
        return (refusal.NO_SCHEMA,)
    case.pin = pin
    problem = check(case.request.arguments)
    return CONTENT if problem is None else (refusal.arguments_invalid(problem),)


def constraints(case: Case) -> Said:
    """The call meets every grant, and each run has one left; then the tier of this very call is known."""
    tool, facts = case.tool, read_facts(case)
    for run, granting in case.line:
        grant = granting.grants[tool.name]
        missed = misses(grant.where, facts)
        if missed:
            return (refusal.out_of_scope(granting.label, tool.name, missed, unmeasured=facts.unmeasured),)
        if grant.max_calls is not None and run.calls.get(tool.name, 0) >= grant.max_calls:
            return (refusal.too_many_calls(granting.label, tool.name, grant.max_calls),)
    case.tier = tool.tier
    if tool.variants:
        case.tier = tool.tier_of(facts)
        facts.tool = tool.fields[case.tier.rank]
    return CONTENT


def read_facts(case: Case) -> Facts:
    """Know what rules and conditions read of the call, and return it."""
    run, tool, snapshot = case.run, case.tool, case.snapshot
    facts = case.facts = Facts(  # made by position, which takes half the time
        case.request.arguments,
        tool.fields[tool.tier.rank],
        _UNMEASURED if snapshot.reach is None else snapshot.reach,
        case.request.principal,
        run.calls,
        run.labels,
        run.started_at,
        case.now,
    )
    if tool.preview is not None and snapshot.reach is None:
        facts.unmeasured = refusal.not_measured(tool.preview.tool, snapshot.unmeasured or "it was not asked")
    return facts


def to_be_measured(case: Case) -> Said:
    """Whatever needs no reach to be told about the grant is met: else the preview is not even asked (A1)."""
    told = tuple(each for each in case.grant.where if not each.refers and not each.field.startswith("reach."))
    missed, limit = misses(told, read_facts(case)), case.grant.max_calls
    if missed:
        return (refusal.out_of_scope(case.workflow.label, case.tool.name, missed),)
    if limit is not None and case.run.calls.get(case.tool.name, 0) >= limit:
        return (refusal.too_many_calls(case.workflow.label, case.tool.name, limit),)
    case.tier = RiskTier.READ_ONLY
    return (refusal.TO_BE_MEASURED,)


def preview(case: Case) -> Said:
    """A preview needs no grant, for who reviewed the map declared it; it must be a mapped read (A1)."""
    tool = case.bundle.tools.get(case.request.tool)
    reads = (RiskTier.READ_ONLY, EffectClass.READ)
    if tool is None or not tool.mapped or (tool.tier, tool.effect) != reads:
        return (refusal.not_a_preview(case.request.tool),)
    case.tool, case.tier, case.effect = tool, tool.tier, tool.effect
    return (refusal.TO_BE_MEASURED,)


def circuit(case: Case) -> Said:
    """No kill of what this call belongs to refuses it, and no breaker of it is open or half-open (B5, E1)."""
    snapshot = case.snapshot
    if snapshot.kill:
        reads = case.tier is RiskTier.READ_ONLY and case.effect is EffectClass.READ
        for subject, level in killed(snapshot, case.request).items():
            if kill.refuses(level, reads=reads):
                return (refusal.killed(subject, level),)
    if not snapshot.breakers:
        return CONTENT
    return tuple(
        refusal.tripped(kind, name, state, verdict, snapshot.tripped.get((kind, name), ""))
        for (kind, name), state in tripped(snapshot, case.request).items()
        if (verdict := breaker.stance(state, case.tier)) is not Verdict.ALLOW
    )


def budget(case: Case) -> Said:
    """What the call costs fits every account that pays for it (B2)."""
    cost, accounts = case.tool.cost_per_call, tuple(case.snapshot.accounts)
    if not cost or not accounts:
        return CONTENT
    said = answer(accounts, exp=cost, most=cost)
    if isinstance(said, Granted | Clamp):  # never a clamp: a tool's cost is what it is
        return CONTENT
    why = in_words(said)
    return (refusal.deny(Gate.BUDGET, why.code, why.message),)


def tainted(case: Case) -> Said:
    """What the run has read from outsiders leaves this much freedom (H7)."""
    floors = case.snapshot.taint_floors
    if not floors:
        return CONTENT
    verdict = taint.floor(case.run.labels, case.tier, floors)
    return CONTENT if verdict is Verdict.ALLOW else (refusal.tainted(case.run.labels, verdict),)


def rules(case: Case) -> Said:
    """Every rule of the workflow and the organisation that can touch this tool; they only tighten."""
    facts, name, said = case.facts, case.tool.name, CONTENT
    for _, ruled in case.line:
        for rule in ruled.rules[name]:
            reason = rule.judge(facts)
            if reason is not None:
                said = (*said, reason)
    return said


def approval(case: Case) -> Said:
    """The floor of the tier or of earned autonomy; what cannot be undone always needs a person (E5).

    Nothing is earned for a tool that is not mapped: nobody has said how far it reaches.
    """
    if case.tool.person:
        return (refusal.QUESTION,)
    floor = refusal.floor(case.tier, case.snapshot.autonomy if case.tool.mapped else None)
    if case.tier is not RiskTier.READ_ONLY and (doubts := _doubts(case)):
        floor = (*floor, *doubts)
    if case.facts.unmeasured:
        floor = (*floor, refusal.widest(case.facts.unmeasured))
    if case.tool.irreversible(case.tier):
        return (refusal.IRREVERSIBLE, *floor)
    return (refusal.UNEXERCISED, *floor) if _unexercised(case) else floor


def _doubts(case: Case) -> Said:
    """What the workflows of the line ask for before a write passes without a person, and do not find (F1).

    A run above counts with its own score; what is new to a workflow is for it alone to try.
    """
    said = CONTENT
    for run, each in case.line:
        asked = each.confidence
        if asked is None:
            continue
        own, trials = run is case.run, case.snapshot.trials
        known = case.confidence = case.confidence or {"scores": {}}
        known["scores"][run.run] = run.score
        if own:
            known["trials"] = trials
        if low := confidence.low_score(asked, run.score):
            said = (*said, refusal.doubted("low_confidence", low))
        if own and (new := confidence.novel(asked, case.tool.name, trials)):
            said = (*said, refusal.doubted("novel_call", new))
    return said


def _unexercised(case: Case) -> bool:
    """Whether nothing but an undo that nobody tried out would take the call back, in production (E5)."""
    if case.tier is RiskTier.READ_ONLY or case.effect is EffectClass.READ or not case.tool.rests_on_undo:
        return False
    return case.snapshot.environment == PRODUCTION and not case.snapshot.exercised
