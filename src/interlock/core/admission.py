"""THE decision: one ordered list of checks, from a request and a snapshot to a verdict with its reasons (A5).

The first denial ends it, for nothing after it could change the answer; until then every check has its say
and the strictest verdict wins. The scope permits, the tier sets the floor, rules only tighten, and a
person's approval answers `require_approval` and nothing else. An error while deciding is a denial.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.core import gate, refusal, second_gate
from interlock.core.bundle import Bundle
from interlock.core.case import Case, Check, Said
from interlock.core.ground import read
from interlock.core.model import (
    Capability,
    Decision,
    EffectClass,
    Gate,
    Json,
    Pin,
    Principal,
    Reason,
    Request,
    RiskTier,
    Verdict,
    WireFamily,
)
from interlock.core.model_route import Route, RoutingTable
from interlock.core.reach import grew
from interlock.core.snapshot import Approved, RunFacts, SchemaCheck, Snapshot, any_arguments

__all__ = [
    "Approved",
    "RunFacts",
    "SchemaCheck",
    "Snapshot",
    "any_arguments",
    "decide",
    "decide_capability",
    "decide_model",
    "decide_preview",
    "decide_second",
    "refuse",
    "to_be_measured",
]

Gates = tuple[tuple[Gate, Check], ...]

GATES: Gates = (
    (Gate.TOKEN, gate.token),
    (Gate.ENVIRONMENT, gate.environment),
    (Gate.SCOPE, gate.scope),
    (Gate.SCHEMA, gate.schema),
    (Gate.CONSTRAINTS, gate.constraints),
    (Gate.BREAKER, gate.circuit),
    (Gate.BUDGET, gate.budget),
    (Gate.TAINT, gate.tainted),
    (Gate.RULES, gate.rules),
    (Gate.APPROVAL, gate.approval),
)

MEASURE_GATES: Gates = (
    (Gate.TOKEN, gate.token),
    (Gate.ENVIRONMENT, gate.environment),
    (Gate.SCOPE, gate.scope),
    (Gate.SCHEMA, gate.schema),
    (Gate.CONSTRAINTS, gate.to_be_measured),
    (Gate.BREAKER, gate.circuit),
)

PREVIEW_GATES: Gates = (
    (Gate.TOKEN, gate.token),
    (Gate.ENVIRONMENT, gate.environment),
    (Gate.SCOPE, gate.preview),
    (Gate.SCHEMA, gate.schema),
    (Gate.BREAKER, gate.circuit),
)

CAPABILITY_GATES: Gates = (
    (Gate.TOKEN, gate.token),
    (Gate.ENVIRONMENT, gate.environment),
    (Gate.SCOPE, gate.workflow),
    (Gate.BREAKER, gate.circuit),
)


def decide(request: Request, snapshot: Snapshot, now: int) -> Decision:
    """Decide one tool call at `now` (microseconds). Never raises; the same input gives the same decision."""
    return _decide(GATES, Case(request, snapshot, now))


def to_be_measured(request: Request, snapshot: Snapshot, now: int) -> bool:
    """Whether the answer to a call can still depend on its reach: nothing else denies it (A1)."""
    return not _decide(MEASURE_GATES, Case(request, snapshot, now)).denied


def decide_preview(request: Request, snapshot: Snapshot, now: int) -> Decision:
    """Decide the call of a preview, which the map declares and no workflow need grant (A1)."""
    return _decide(PREVIEW_GATES, Case(request, snapshot, now))


def decide_second(request: Request, snapshot: Snapshot, now: int, *, follows: str) -> Decision:
    """Decide the second step of an action of the tool `follows`, which its map entry declares (E4).

    Neither the run nor the token of the action counts: both may have ended. A person always confirms it.
    """
    gates = (
        (Gate.ENVIRONMENT, gate.environment),
        (Gate.SCOPE, second_gate.declared(follows)),
        (Gate.SCHEMA, gate.schema),
        (Gate.CONSTRAINTS, second_gate.reached),
        (Gate.BREAKER, gate.circuit),
        (Gate.BUDGET, gate.budget),
        (Gate.TAINT, gate.tainted),
        (Gate.RULES, gate.rules),
        (Gate.APPROVAL, second_gate.confirmed),
    )
    return _decide(gates, Case(request, snapshot, now))


def refuse(request: Request, reason: Reason, snapshot: Snapshot, now: int) -> Decision:
    """Return the decision on a call that is refused for `reason` before any check is asked."""
    return _decision(Case(request, snapshot, now), (reason,), {})


def decide_capability(
    principal: Principal, capability: Capability, name: str, snapshot: Snapshot, now: int
) -> Decision:
    """Decide the use of a resource, a prompt, sampling, elicitation or completion at `now`.

    `name` is the resource's URI or the prompt's name; the others ignore it. There is nothing to approve.
    """
    case = Case(Request(tool="", arguments={}, digest="", principal=principal), snapshot, now)
    case.tier, case.effect = RiskTier.READ_ONLY, EffectClass.READ

    def granted(case: Case) -> Said:
        permitted = all(each.capabilities.permit(capability, name) for _, each in case.line)
        return (refusal.capability(case.workflow.label, capability, granted=permitted),)

    return _decide((*CAPABILITY_GATES, (Gate.SCOPE, granted)), case)


def decide_model(
    principal: Principal, model: str, family: WireFamily, table: RoutingTable, snapshot: Snapshot, now: int
) -> tuple[Decision, tuple[Route, ...]]:
    """Decide a call of `model` in one wire format at `now`; return where it goes too, none when denied (B5).

    What it may cost is not decided here: that depends on the other calls under way, and holds money. What was
    read is not kept with it: a call that no person decides is never decided again.
    """
    case = Case(Request(tool="", arguments={}, digest="", principal=principal), snapshot, now)
    case.tier, case.effect = RiskTier.READ_ONLY, EffectClass.READ
    routes: tuple[Route, ...] = ()

    def routed(case: Case) -> Said:
        nonlocal routes
        for _, each in reversed(case.line):  # the run's own workflow last: its routes are taken
            found = table.choose(each.document.models, model, family)
            if isinstance(found, Reason):
                return (found,)
            routes = found
        return (refusal.MODEL_GRANTED,)

    decision = _decide((*CAPABILITY_GATES, (Gate.SCOPE, routed)), case, kept=False)
    return decision, routes


def _decide(gates: Gates, case: Case, *, kept: bool = True) -> Decision:
    """Ask the gates; what they read is part of the decision where it is `kept`."""
    try:
        reasons = _ask(gates, case)
        return _decision(case, _answered(case, reasons), read(case) if kept else {})
    except Exception as error:  # noqa: BLE001 - the one place where an error while deciding becomes a denial
        return _failed(case, error)


def _ask(gates: Gates, case: Case) -> list[Reason]:
    """Ask the checks in their order until one denies. The last always has something to say."""
    reasons: list[Reason] = []
    for case.gate, check in gates:
        said = check(case)
        if said:
            reasons += said
            for reason in said:
                if reason.verdict is Verdict.DENY:
                    return reasons
    return reasons


def _answered(case: Case, reasons: list[Reason]) -> tuple[Reason, ...]:
    """Put the strictest first; where that asks for a person who has said yes to exactly this, say so."""
    if len(reasons) > 1:
        reasons.sort(key=_strictness)
    approved = case.snapshot.approved
    if approved is not None and reasons[0].verdict is Verdict.REQUIRE_APPROVAL:
        return (_binding(case, approved), *reasons)
    return tuple(reasons)


def _binding(case: Case, approved: Approved) -> Reason:
    """Say whether a person's yes was said to exactly this call (invariant 6)."""
    if approved.digest != case.request.digest:
        return refusal.OTHER_ARGUMENTS
    if approved.pin != case.pin.digest:
        return refusal.PIN_MOVED
    if approved.bundle != case.bundle.digest:
        return refusal.BUNDLE_MOVED
    if case.tool.preview is not None and _reaches_otherwise(case, approved):
        return refusal.REACH_MOVED
    return refusal.approved(approved.by, approved.approval)


def _reaches_otherwise(case: Case, approved: Approved) -> bool:
    """Whether the person saw another tier, or a smaller reach, than this call has now (A1)."""
    return approved.tier is not case.tier or grew(approved.reach, case.snapshot.reach)


def _decision(case: Case, reasons: tuple[Reason, ...], state: Mapping[str, Json]) -> Decision:
    bundle, pin = case.snapshot.bundle, case.snapshot.pin
    return Decision(
        reasons[0].verdict,
        reasons,
        case.tier,
        case.effect,
        "" if bundle is None else bundle.digest,
        "" if pin is None else pin.digest,
        case.now,
        case.request.digest,
        state,
    )


def _failed(case: Case, error: Exception) -> Decision:
    """Deny a call that could not be decided, relying on no part of the snapshot: any may be the culprit."""
    bundle, pin = case.snapshot.bundle, case.snapshot.pin
    return Decision(
        verdict=Verdict.DENY,
        reasons=(refusal.failed(case.gate, error),),
        tier=case.tier,
        effect=case.effect,
        bundle=bundle.digest if isinstance(bundle, Bundle) else "",
        pin=pin.digest if isinstance(pin, Pin) else "",
        decided_at=case.now,
        digest=case.request.digest,
    )


def _strictness(reason: Reason) -> int:
    return -reason.verdict.rank
