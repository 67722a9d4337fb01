"""THE decision: one ordered list of checks, from a request and a snapshot to a verdict with its reasons (A5).

The first denial ends it, for nothing after it could change the answer; until then every check has its say
and the strictest verdict wins. The scope permits, the tier sets the floor, rules only tighten, and a
person's approval answers `require_approval` and nothing else. An error while deciding is a denial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from interlock.core import autonomy, breaker, taint
from interlock.core.budget import Exceeded, Ledger, hold
from interlock.core.bundle import Bundle
from interlock.core.identity import Revocations, check_environment, check_token
from interlock.core.model import (
    AutonomyTier,
    BreakerState,
    Capability,
    Decision,
    EffectClass,
    Gate,
    Json,
    NearMiss,
    Pin,
    Principal,
    Reason,
    Request,
    RiskTier,
    Verdict,
)
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import near
from interlock.core.scope import CompiledGrant
from interlock.core.tool import CompiledTool
from interlock.core.workflow import CompiledWorkflow

PRODUCTION = "production"
SchemaCheck = Callable[[Mapping[str, Json]], str | None]
_NO_STATES: Mapping[tuple[str, str], BreakerState] = {}
_NO_FLOORS: Mapping[RiskTier, Verdict] = {}
_NO_READ: Mapping[str, Json] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run so far. `calls` counts its admitted calls by tool, without the one being decided."""

    run: str
    workflow: str
    version: int
    open: bool = True
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    labels: frozenset[str] = frozenset()
    started_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A person's yes and what it was said to: these arguments, this pin, this bundle (invariant 6)."""

    approval: str
    digest: str
    pin: str
    bundle: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything one decision reads, as values.

    `schema_problem` checks arguments against the pinned schema and says what is wrong; None means that no
    schema is known, which denies. `reach` is what the tool's preview measured. `kill` holds "*",
    "agent:NAME", "workflow:NAME" and "run:ID". `taint_floors` is empty unless switched on.
    """

    environment: str
    bundle: Bundle | None
    revoked: Revocations = field(default_factory=Revocations)
    run: RunFacts | None = None
    pin: Pin | None = None
    breakers: Mapping[tuple[str, str], BreakerState] = field(default_factory=lambda: _NO_STATES)
    ledger: Ledger = field(default_factory=Ledger)
    autonomy: AutonomyTier | None = None
    schema_problem: SchemaCheck | None = None
    reach: Mapping[str, Json] | None = None
    approved: Approved | None = None
    kill: frozenset[str] = frozenset()
    taint_floors: Mapping[RiskTier, Verdict] = field(default_factory=lambda: _NO_FLOORS)


def any_arguments(_: Mapping[str, Json]) -> str | None:
    """Accept all arguments: a `schema_problem` for explaining rules where no tool server was asked."""
    return None


def decide(request: Request, snapshot: Snapshot, now: int) -> Decision:
    """Decide one tool call at `now` (microseconds). Never raises; the same input gives the same decision."""
    case = _Case(request, snapshot, now)
    gate = Gate.TOKEN
    try:
        for gate, check in TOOL_GATES:
            said = check(case)
            if said and case.add(said):
                break
        return case.conclude()
    except Exception as error:  # noqa: BLE001 - the one place where doubt about ourselves becomes a denial
        return case.failed(gate, error)


def decide_capability(
    principal: Principal, capability: Capability, name: str, snapshot: Snapshot, now: int
) -> Decision:
    """Decide the use of a resource, a prompt, sampling, elicitation or completion at `now`.

    `name` is the resource's URI or the prompt's name; the switches ignore it. No pin and no rules apply.
    """
    case = _Case(Request(tool="", arguments=_NO_READ, digest="", principal=principal), snapshot, now)
    case.tier, case.effect = RiskTier.READ_ONLY, EffectClass.READ
    gate = Gate.TOKEN
    try:
        for gate, check in CAPABILITY_GATES:
            said = check(case)
            if said and case.add(said):
                return case.conclude()
        case.add((_granted(case, capability, name),))
        return case.conclude()
    except Exception as error:  # noqa: BLE001 - as above
        return case.failed(gate, error)


class _Case:
    """One decision while it is being made: what the checks have found out so far."""

    __slots__ = (
        "effect",
        "facts",
        "grant",
        "now",
        "reasons",
        "request",
        "run",
        "snapshot",
        "tier",
        "tool",
        "workflow",
    )
    run: RunFacts
    workflow: CompiledWorkflow
    grant: CompiledGrant
    tool: CompiledTool
    facts: Facts

    def __init__(self, request: Request, snapshot: Snapshot, now: int) -> None:
        self.request = request
        self.snapshot = snapshot
        self.now = now
        self.tier = RiskTier.HIGH_BLAST_RADIUS  # until something better is known
        self.effect = EffectClass.ONCE
        self.reasons: tuple[Reason, ...] = ()

    def add(self, said: tuple[Reason, ...]) -> bool:
        """Note what a check said; return whether it denied."""
        self.reasons += said
        return any(reason.verdict is Verdict.DENY for reason in said)

    def conclude(self) -> Decision:
        """Let the strictest verdict win, and a matching approval answer it if it asks for one."""
        reasons = self.reasons
        if len(reasons) > 1:
            reasons = tuple(sorted(reasons, key=_strictness))
        approved = self.snapshot.approved
        if approved is not None and reasons[0].verdict is Verdict.REQUIRE_APPROVAL:
            reasons = (_binding(self, approved), *reasons)
        return self._decision(reasons)

    def failed(self, gate: Gate, error: Exception) -> Decision:
        """Deny, naming the check that failed and the kind of failure, never its text."""
        reason = _deny(
            gate,
            "error_while_deciding",
            f"The check {gate.value} failed ({type(error).__name__}); what cannot be decided is denied.",
        )
        return self._decision((reason, *self.reasons))

    def _decision(self, reasons: tuple[Reason, ...]) -> Decision:
        snapshot = self.snapshot
        return Decision(
            verdict=reasons[0].verdict,
            reasons=reasons,
            tier=self.tier,
            effect=self.effect,
            bundle=snapshot.bundle.digest if snapshot.bundle is not None else "",
            pin=snapshot.pin.digest if snapshot.pin is not None else "",
            decided_at=self.now,
            digest=self.request.digest,
            read=_read(self),
        )


def _token(case: _Case) -> tuple[Reason, ...]:
    """The token counts, and its run is open and of the workflow version that the token names."""
    principal, run = case.request.principal, case.snapshot.run
    refused = check_token(principal, case.snapshot.revoked, case.now)
    if refused is not None:
        return (refused,)
    if run is None or run.run != principal.run:
        return (_UNKNOWN_RUN,)
    if not run.open:
        return (_CLOSED_RUN,)
    if run.workflow != principal.workflow or run.version != principal.workflow_version:
        return (_FOREIGN_RUN,)
    case.run = run
    return ()


def _environment(case: _Case) -> tuple[Reason, ...]:
    """Token, gateway and policy are of one environment; the tool's own is checked with its entry."""
    snapshot = case.snapshot
    refused = check_environment(case.request.principal, snapshot.environment)
    if refused is not None:
        return (refused,)
    if snapshot.bundle is None:
        return (_NO_BUNDLE,)
    if snapshot.bundle.environment != snapshot.environment:
        return (_foreign("policy", snapshot.bundle.environment, snapshot.environment),)
    tool = snapshot.bundle.tools.get(case.request.tool)
    if tool is not None and tool.environment != snapshot.environment:
        return (_foreign("tool", tool.environment, snapshot.environment),)
    return ()


def _workflow(case: _Case) -> tuple[Reason, ...]:
    """The workflow exists, in the very version that the token was issued for."""
    principal, bundle = case.request.principal, case.snapshot.bundle
    workflow = bundle.workflows.get(principal.workflow) if bundle is not None else None
    if workflow is None:
        return (
            _deny(
                Gate.SCOPE, "unknown_workflow", f"There is no workflow {principal.workflow} here any more."
            ),
        )
    if workflow.version != principal.workflow_version:
        moved = f"{principal.workflow}@{principal.workflow_version}"
        return (
            _deny(
                Gate.SCOPE,
                "workflow_moved",
                f"The run was opened for {moved}; now it is {workflow.label}. Open a new run.",
            ),
        )
    if workflow.document.agent != principal.agent:
        return (_deny(Gate.SCOPE, "other_agent", f"{workflow.label} belongs to another agent."),)
    case.workflow = workflow
    return ()


def _scope(case: _Case) -> tuple[Reason, ...]:
    """The tool is granted by the frozen workflow, kept by the token, and mapped where that is required."""
    refused = _workflow(case)
    if refused:
        return refused
    name, principal, snapshot = case.request.tool, case.request.principal, case.snapshot
    grant = case.workflow.grants.get(name)
    if grant is None or (principal.scope is not None and name not in principal.scope):
        return (_not_in_scope(case, granted=grant is not None),)
    assert snapshot.bundle is not None  # the environment check denied otherwise
    tool = snapshot.bundle.tools[name]
    if not tool.mapped and snapshot.environment == PRODUCTION:
        return (_deny(Gate.SCOPE, "unmapped_tool", f"{name} has no complete blast-radius entry (A1)."),)
    case.grant, case.tool, case.effect = grant, tool, tool.effect
    return ()


def _schema(case: _Case) -> tuple[Reason, ...]:
    """The tool is what was registered, and the arguments fit its pinned schema."""
    pin, check = case.snapshot.pin, case.snapshot.schema_problem
    if pin is None or pin.tool != case.request.tool:
        return (_NO_PIN,)
    if pin.seen is not None and pin.seen != pin.digest:
        return (_DRIFTED,)
    if check is None:
        return (_NO_SCHEMA,)
    problem = check(case.request.arguments)
    if problem is not None:
        return (_deny(Gate.SCHEMA, "arguments_invalid", f"The arguments do not fit the tool: {problem}"),)
    return ()


def _constraints(case: _Case) -> tuple[Reason, ...]:
    """The arguments meet the grant, and the run has calls left; then the tier of this very call is known."""
    run, grant, tool = case.run, case.grant, case.tool
    facts = case.facts = Facts(
        args=case.request.arguments,
        tool=tool.fields[tool.tier],
        reach=case.snapshot.reach or _NO_READ,
        principal=case.request.principal,
        calls=run.calls,
        labels=run.labels,
        started_at=run.started_at,
        now=case.now,
    )
    missed = grant.misses(facts) if grant.where else ()
    if missed:
        return (_out_of_constraints(case, missed),)
    if grant.max_calls is not None and grant.used_up(run.calls.get(tool.name, 0)):
        return (_too_many_calls(case, grant.max_calls),)
    case.tier = tool.tier
    if tool.variants:
        case.tier = tool.tier_of(facts)
        facts.tool = tool.fields[case.tier]
    return ()


def _breaker(case: _Case) -> tuple[Reason, ...]:
    """Nothing that applies to this call is killed, open or half-open."""
    snapshot = case.snapshot
    if snapshot.kill:
        killed = sorted(snapshot.kill.intersection(_killable(case.request.principal)))
        if killed:
            return (_deny(Gate.BREAKER, "killed", f"A person stopped {_subject(killed[0])}."),)
    if not snapshot.breakers:
        return ()
    return tuple(
        _tripped(f"{kind} {name}", state, verdict)
        for kind, name, state in _states(case)
        if (verdict := breaker.stance(state, case.tier)) is not Verdict.ALLOW
    )


def _budget(case: _Case) -> tuple[Reason, ...]:
    """What the call costs still fits."""
    ledger = case.snapshot.ledger
    if ledger.limit is None:
        return ()
    held = hold(ledger, case.tool.cost_per_call)
    if isinstance(held, Exceeded):
        return (_deny(Gate.BUDGET, "budget_exhausted", "The budget does not cover this call."),)
    return ()


def _taint(case: _Case) -> tuple[Reason, ...]:
    """What the run has read from outsiders leaves this much freedom."""
    floors = case.snapshot.taint_floors
    if not floors:
        return ()
    verdict = taint.floor(case.run.labels, case.tier, floors)
    if verdict is Verdict.ALLOW:
        return ()
    labels = ", ".join(sorted(case.run.labels))
    return (
        Reason(gate=Gate.TAINT, code="tainted", message=f"The run has read from: {labels}.", verdict=verdict),
    )


def _rules(case: _Case) -> tuple[Reason, ...]:
    """All rules of the workflow and the organisation that can touch this tool; they only tighten."""
    rules = case.workflow.rules[case.tool.name]
    if not rules:
        return ()
    facts = case.facts
    said: list[Reason] = []
    for rule in rules:
        reason = rule.judge(facts)
        if reason is not None:
            said.append(reason)
    return tuple(said)


def _approval(case: _Case) -> tuple[Reason, ...]:
    """The floor of the tier or of earned autonomy; what cannot be undone always needs a person (E5)."""
    if case.tool.irreversible(case.tier):
        return (_IRREVERSIBLE, _FLOORS[case.tier, case.snapshot.autonomy])
    return (_FLOORS[case.tier, case.snapshot.autonomy],)


Check = Callable[[_Case], tuple[Reason, ...]]
TOOL_GATES: tuple[tuple[Gate, Check], ...] = (
    (Gate.TOKEN, _token),
    (Gate.ENVIRONMENT, _environment),
    (Gate.SCOPE, _scope),
    (Gate.SCHEMA, _schema),
    (Gate.CONSTRAINTS, _constraints),
    (Gate.BREAKER, _breaker),
    (Gate.BUDGET, _budget),
    (Gate.TAINT, _taint),
    (Gate.RULES, _rules),
    (Gate.APPROVAL, _approval),
)
CAPABILITY_GATES: tuple[tuple[Gate, Check], ...] = (
    (Gate.TOKEN, _token),
    (Gate.ENVIRONMENT, _environment),
    (Gate.SCOPE, _workflow),
    (Gate.BREAKER, _breaker),
)


def _binding(case: _Case, approved: Approved) -> Reason:
    """Say whether a person's yes was said to exactly this (invariant 6)."""
    assert case.snapshot.bundle is not None
    assert case.snapshot.pin is not None
    if approved.digest != case.request.digest:
        return _ask_again("approval_other_arguments", "The approval was for other arguments.")
    if approved.pin != case.snapshot.pin.digest:
        return _ask_again("approval_pin_moved", "The tool changed after the approval.")
    if approved.bundle != case.snapshot.bundle.digest:
        return _ask_again("approval_bundle_moved", "The policy changed after the approval.")
    return Reason(
        gate=Gate.APPROVAL,
        code="approved",
        message=f"{approved.by} approved exactly this call ({approved.approval}).",
        verdict=Verdict.ALLOW,
    )


def _granted(case: _Case, capability: Capability, name: str) -> Reason:
    if case.workflow.capabilities.permit(capability, name):
        return _permit(f"{case.workflow.label} grants the {capability.value}.")
    return _deny(
        Gate.SCOPE,
        f"{capability.value}_not_in_scope",
        f"{case.workflow.label} does not grant this {capability.value}.",
    )


def _killable(principal: Principal) -> tuple[str, ...]:
    return (
        "*",
        f"agent:{principal.agent}",
        f"workflow:{principal.workflow}",
        f"run:{principal.run}",
    )


def _subject(killed: str) -> str:
    return "everything" if killed == "*" else "the " + killed.replace(":", " ", 1)


def _states(case: _Case) -> list[tuple[str, str, BreakerState]]:
    """Return the breakers that apply to this call and are not closed."""
    principal, breakers = case.request.principal, case.snapshot.breakers
    subjects = (
        ("agent", principal.agent),
        ("workflow", principal.workflow),
        ("tool", case.request.tool),
    )
    found = ((kind, name, breakers.get((kind, name))) for kind, name in subjects)
    return [(k, n, state) for k, n, state in found if state not in (None, BreakerState.CLOSED)]


def _read(case: _Case) -> Mapping[str, Json]:
    """Return the state that was read, as JSON, so that the decision can be made again."""
    snapshot, run = case.snapshot, case.snapshot.run
    read: dict[str, Json] = {"environment": snapshot.environment}
    if run is not None:
        read["run"] = {"open": run.open, "calls": dict(run.calls), "taints": sorted(run.labels)}
        read["run"]["started_at"] = run.started_at
        read["workflow"] = f"{run.workflow}@{run.version}"
    if snapshot.breakers:
        read["breakers"] = {f"{kind}:{name}": state.value for kind, name, state in _states(case)}
    if snapshot.kill:
        read["kill"] = sorted(snapshot.kill.intersection(_killable(case.request.principal)))
    if snapshot.ledger.limit is not None:
        read["remaining"] = snapshot.ledger.remaining
    if snapshot.autonomy is not None:
        read["autonomy"] = snapshot.autonomy.value
    if snapshot.reach is not None:
        read["reach"] = dict(snapshot.reach)
    if snapshot.approved is not None:
        read["approved"] = snapshot.approved.approval
    return read


def _strictness(reason: Reason) -> int:
    return -reason.verdict.rank


def _deny(gate: Gate, code: str, message: str, near_misses: tuple[NearMiss, ...] = ()) -> Reason:
    return Reason(gate=gate, code=code, message=message, verdict=Verdict.DENY, near_misses=near_misses)


def _permit(message: str) -> Reason:
    return Reason(gate=Gate.SCOPE, code="granted", message=message, verdict=Verdict.ALLOW)


def _ask_again(code: str, message: str) -> Reason:
    return Reason(
        gate=Gate.APPROVAL,
        code=code,
        message=f"{message} It must be approved again.",
        verdict=Verdict.REQUIRE_APPROVAL,
    )


def _foreign(what: str, theirs: str, ours: str) -> Reason:
    return _deny(
        Gate.ENVIRONMENT,
        "environment_mismatch",
        f"The {what} is of the environment {theirs}; this is {ours}.",
    )


def _not_in_scope(case: _Case, *, granted: bool) -> Reason:
    if granted:
        return _deny(Gate.SCOPE, "narrowed_away", f"The run token does not hold {case.request.tool}.")
    granted_tools = case.workflow.grants
    close = near(case.request.tool, granted_tools)
    return _deny(
        Gate.SCOPE,
        "not_in_scope",
        f"{case.workflow.label} does not grant this tool.",
        (NearMiss(field="tool", expected=close, actual=case.request.tool[:80]),) if close else (),
    )


def _out_of_constraints(case: _Case, missed: tuple[NearMiss, ...]) -> Reason:
    fields = ", ".join(dict.fromkeys(miss.field for miss in missed))
    return _deny(
        Gate.CONSTRAINTS,
        "out_of_scope",
        f"{case.workflow.label} grants {case.tool.name} within limits; this call is outside: {fields}.",
        missed,
    )


def _too_many_calls(case: _Case, limit: int) -> Reason:
    done = case.run.calls.get(case.tool.name, 0)
    return _deny(
        Gate.CONSTRAINTS,
        "max_calls",
        f"{case.workflow.label} grants {limit} calls of {case.tool.name} in one run.",
        (NearMiss(field="max_calls", expected=f"up to {limit}", actual=str(done + 1)),),
    )


def _tripped(subject: str, state: BreakerState, verdict: Verdict) -> Reason:
    return Reason(
        gate=Gate.BREAKER,
        code=f"breaker_{state.value}",
        message=f"The breaker of the {subject} is {state.value.replace('_', '-')}.",
        verdict=verdict,
    )


def _floor_reason(tier: RiskTier, earned: AutonomyTier | None) -> Reason:
    because = f"a {tier.value} call" if earned is None else f"a {tier.value} call at earned {earned.value}"
    verdict = autonomy.floor(tier, earned)
    return Reason(
        gate=Gate.APPROVAL,
        code=f"tier_{tier.value}" if earned is None else f"autonomy_{earned.value}",
        message=f"The floor for {because} is {verdict.value}.",
        verdict=verdict,
    )


_FLOORS = {
    (tier, earned): _floor_reason(tier, earned) for tier in RiskTier for earned in (None, *AutonomyTier)
}
_IRREVERSIBLE = Reason(
    gate=Gate.APPROVAL,
    code="irreversible",
    message="The tool writes and names neither an undo nor a delay of ten minutes, so a person decides (E5).",
    verdict=Verdict.REQUIRE_APPROVAL,
)
_UNKNOWN_RUN = _deny(Gate.TOKEN, "unknown_run", "The run of this token is not known here.")
_CLOSED_RUN = _deny(Gate.TOKEN, "run_closed", "The run has ended.")
_FOREIGN_RUN = _deny(Gate.TOKEN, "run_mismatch", "The token names another workflow than its run.")
_NO_BUNDLE = _deny(Gate.SCOPE, "no_policy", "No manifest was applied here, so nothing is permitted.")
_NO_PIN = _deny(
    Gate.SCHEMA, "not_registered", "The tool is not registered: its server was never seen with it."
)
_DRIFTED = _deny(
    Gate.SCHEMA, "tool_drifted", "The tool is not what was registered; a person must review it first."
)
_NO_SCHEMA = _deny(Gate.SCHEMA, "schema_unknown", "The tool's pinned schema is not known here.")
