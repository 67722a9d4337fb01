"""The worst valid call that a workflow could make today, tool by tool, as a concrete request (A4).

For every grant, arguments are built that satisfy its conditions and reach as far as they allow; a few
alternatives are put through the decision, and the one that reaches furthest without being denied is
reported with its reach, what a wrong call costs and what guards it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from interlock.core.bundle import Bundle
from interlock.core.confidence import BEST, MOST_TRIALS
from interlock.core.document.tool import Tool
from interlock.core.document.workflow import Grant
from interlock.core.model import PRODUCTION, Decision, EffectClass, Json, RiskTier, Verdict
from interlock.core.outlay import Ceiling, ceilings, models_in_scope
from interlock.core.reach import of_call
from interlock.core.snapshot import SchemaCheck, any_arguments
from interlock.core.tool import REAL_DELAY
from interlock.core.trial import Trial, ask
from interlock.core.witness import ARGS, Schema, arguments
from interlock.core.workflow import CompiledWorkflow

_MEASURES = ("records", "recipients", "money", "services")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCall:
    """The worst valid call of one tool. `reach` has the measures of A1 that are declared.

    `unbounded` names arguments that decide the reach and that nothing limits. Money is nano-dollars. The
    verdict is that of a run with the best score and a familiar tool; `confidence` says what is else (F1).
    """

    tool: str
    arguments: Mapping[str, Json]
    tier: RiskTier
    effect: EffectClass
    mapped: bool
    widest_scope: str
    reach: Mapping[str, Json]
    unbounded: tuple[str, ...]
    reversible: str
    impact: str
    verdict: Verdict
    because: str
    rules: tuple[str, ...]
    max_calls: int | None
    cost_per_call: int
    confidence: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the call passes; where it does not, no call of this tool was found that would."""
        return self.verdict is not Verdict.DENY


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadiusReport:
    """All of a workflow's worst calls, worst first, and what it may use beside tools.

    `models` are those it may call, `ceilings` what stops its spending. `unchecked` names the tools whose
    input schema is not known: arguments that it requires may be missing.
    """

    workflow: str
    environment: str
    calls: tuple[WorstCall, ...]
    capabilities: tuple[str, ...]
    models: tuple[str, ...]
    ceilings: tuple[Ceiling, ...]
    unchecked: tuple[str, ...] = ()


def report(
    bundle: Bundle,
    workflow: CompiledWorkflow,
    now: int,
    *,
    schemas: Mapping[str, Schema] | None = None,
    checks: Mapping[str, SchemaCheck] | None = None,
    exercised: Collection[str] = (),
) -> BlastRadiusReport:
    """Return the worst calls of `workflow` at `now`; `schemas` and `checks` are of the registered tools.

    `exercised` names the tools whose undo was tried out (E5).
    """
    known, tests = schemas or {}, checks or {}
    calls = [
        _worst(
            bundle,
            workflow,
            grant,
            now,
            known.get(grant.tool, {}),
            tests.get(grant.tool, any_arguments),
            exercised=grant.tool in exercised,
        )
        for grant in workflow.document.tools
    ]
    calls.sort(key=_severity, reverse=True)
    return BlastRadiusReport(
        workflow=workflow.label,
        environment=bundle.environment,
        calls=tuple(calls),
        capabilities=_capabilities(workflow),
        models=models_in_scope(bundle, workflow),
        ceilings=ceilings(bundle, workflow, now),
        unchecked=tuple(grant.tool for grant in workflow.document.tools if grant.tool not in tests),
    )


def _capabilities(workflow: CompiledWorkflow) -> tuple[str, ...]:
    document = workflow.document
    named = [f"resource {each}" for each in document.resources]
    named += [f"prompt {each}" for each in document.prompts]
    switches = ("sampling", "elicitation", "completion")
    return (*named, *(each for each in switches if getattr(document, each)))


def _severity(call: WorstCall) -> tuple[bool, int, float, int]:
    return call.valid, call.tier.rank, _size(call.reach), -call.verdict.rank


def _size(reach: Mapping[str, Json]) -> float:
    return float(sum(each for each in reach.values() if isinstance(each, int) and not isinstance(each, bool)))


def _worst(
    bundle: Bundle,
    workflow: CompiledWorkflow,
    grant: Grant,
    now: int,
    schema: Schema,
    check: SchemaCheck,
    *,
    exercised: bool,
) -> WorstCall:
    def call(given: Mapping[str, Json]) -> WorstCall:
        trial = Trial(
            workflow=workflow.document.name,
            tool=grant.tool,
            arguments=given,
            now=now,
            exercised=exercised,
            score=BEST,
            trials=MOST_TRIALS,
        )
        decision = ask(bundle, trial, check=check)
        return _call(bundle, workflow, grant, given, decision, exercised=exercised)

    tool = bundle.tools[grant.tool].document
    tried = arguments(
        grant.where,
        scope=workflow.document.scope,
        schema=schema,
        measures=_measured(tool),
        sinks=tool.sinks if tool else (),
    )
    return max((call(each) for each in tried), key=_severity)


def _call(
    bundle: Bundle,
    workflow: CompiledWorkflow,
    grant: Grant,
    given: Mapping[str, Json],
    decision: Decision,
    *,
    exercised: bool,
) -> WorstCall:
    compiled = bundle.tools[grant.tool]
    entry = compiled.document.blast_radius if compiled.document else None
    rules = workflow.rules.get(grant.tool, ())
    return WorstCall(
        tool=grant.tool,
        arguments=given,
        tier=decision.tier if decision.verdict is not Verdict.DENY else compiled.tier,
        effect=compiled.effect,
        mapped=compiled.mapped,
        widest_scope=entry.widest_scope if entry else "unknown: the tool is not mapped",
        reach=_reach(compiled.document, given),
        unbounded=_unbounded(compiled.document, grant),
        reversible=_reversible(compiled.document, exercised or bundle.environment != PRODUCTION),
        impact=entry.impact if entry else "unknown: the tool is not mapped",
        verdict=decision.verdict,
        because=decision.reason.message,
        rules=tuple(each.id for each in rules),
        max_calls=grant.max_calls,
        cost_per_call=compiled.cost_per_call,
        confidence=_asked(workflow, decision),
    )


def _asked(workflow: CompiledWorkflow, decision: Decision) -> tuple[str, ...]:
    """Return when a write that passes without a person does not (F1)."""
    passes = decision.verdict.rank < Verdict.REQUIRE_APPROVAL.rank
    if workflow.confidence is None or not passes or decision.tier is RiskTier.READ_ONLY:
        return ()
    return workflow.confidence.in_words


def _reach(tool: Tool | None, given: Mapping[str, Json]) -> dict[str, Json]:
    entry = tool.blast_radius if tool else None
    declared = {each: getattr(entry, each) for each in _MEASURES} if entry else {}
    return {name: of_call(value, given) for name, value in declared.items() if value is not None}


def _unbounded(tool: Tool | None, grant: Grant) -> tuple[str, ...]:
    return tuple(each for each in _deciding(tool) if each not in grant.where)


def _deciding(tool: Tool | None) -> tuple[str, ...]:
    """Return the arguments that decide how far a call reaches: measures that name one, and sinks."""
    return tuple(dict.fromkeys((*_measured(tool), *(tool.sinks if tool else ()))))


def _measured(tool: Tool | None) -> tuple[str, ...]:
    entry = tool.blast_radius if tool else None
    measures = [getattr(entry, each) for each in _MEASURES] if entry else []
    return tuple(each[1:] for each in measures if isinstance(each, str) and each.startswith("$" + ARGS))


def _reversible(tool: Tool | None, counts: bool) -> str:
    if tool is None or tool.blast_radius is None:
        return "unknown"
    ways = [tool.blast_radius.reversible]
    untried = "" if counts else ", declared, not yet exercised"
    if tool.undo is not None:
        ways.append(f"undo with {tool.undo.tool}{untried}")
    if tool.settlement is not None:
        within = (
            f"unless a person confirms {tool.settlement.confirm.tool} within {_span(tool.settlement.within)}"
        )
        ways.append(f"voided by {tool.settlement.void.tool} {within}{untried}")
    if tool.follow_up is not None:
        after = f"after {_span(tool.follow_up.after)}, once a person confirms it"
        ways.append(f"made final by {tool.follow_up.tool} {after}")
    if tool.delay >= REAL_DELAY:
        ways.append(f"cancellable for {tool.delay // 60} minutes")
    return "; ".join(ways)


def _span(seconds: int) -> str:
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} seconds"
