"""What the checks say: each reason's code and sentence in one place (A5).

Codes are stable. Sentences are for people and models alike: what is the matter, and where it helps what to
do. Argument values stand in near misses only, never in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable

from interlock.core import autonomy
from interlock.core.kill import EVERYTHING, KillLevel
from interlock.core.model import (
    AutonomyTier,
    BreakerState,
    Capability,
    Gate,
    NearMiss,
    Reason,
    RiskTier,
    Verdict,
    WireFamily,
)
from interlock.core.policy.flaw import near

_SHOWN_NAME = 80
_SHOWN_PROBLEM = 400


def deny(gate: Gate, code: str, message: str, near_misses: tuple[NearMiss, ...] = ()) -> Reason:
    """Return a denial."""
    return Reason(gate=gate, code=code, message=message, verdict=Verdict.DENY, near_misses=near_misses)


def failed(gate: Gate, error: Exception) -> Reason:
    """Name the check that failed and the kind of failure; its text could hold anything."""
    return deny(
        gate,
        "error_while_deciding",
        f"The check {gate.value} failed ({type(error).__name__}); what cannot be decided is denied.",
    )


def foreign(what: str, theirs: str, ours: str) -> Reason:
    """Say that something belongs to another environment."""
    return deny(
        Gate.ENVIRONMENT,
        "environment_mismatch",
        f"The {what} is of the environment {theirs}; this is {ours}.",
    )


def unknown_workflow(name: str) -> Reason:
    """Say that the token's workflow does not exist here."""
    return deny(Gate.SCOPE, "unknown_workflow", f"There is no workflow {name} here any more.")


def workflow_moved(held: str, current: str) -> Reason:
    """Say that a run keeps the version it was opened for, and that it is not the current one (A3)."""
    return deny(
        Gate.SCOPE,
        "workflow_moved",
        f"The run was opened for {held}; the workflow is now {current}. Open a new run.",
    )


def other_agent(workflow: str) -> Reason:
    """Say that the workflow is not this agent's."""
    return deny(Gate.SCOPE, "other_agent", f"{workflow} belongs to another agent.")


def not_in_scope(workflow: str, tool: str, granted: Iterable[str]) -> Reason:
    """Say that a tool is not granted, with the granted one that was probably meant."""
    close = near(tool[:_SHOWN_NAME], granted)
    missed = (NearMiss(field="tool", expected=close, actual=tool[:_SHOWN_NAME]),) if close else ()
    return deny(Gate.SCOPE, "not_in_scope", f"{workflow} does not grant this tool.", missed)


def narrowed_away(tool: str) -> Reason:
    """Say that the workflow grants a tool and the token does not hold it."""
    return deny(Gate.SCOPE, "narrowed_away", f"The run token does not hold {tool}.")


def unknown_model(asked: str, known: Iterable[str]) -> Reason:
    """Say that no provider here serves a model, with the one in scope that was probably meant."""
    return _no_model("unknown_model", "No provider of this environment serves this model.", asked, known)


def model_not_in_scope(asked: str, known: Iterable[str]) -> Reason:
    """Say that the workflow may not call a model, with the one in scope that was probably meant."""
    message = "The workflow does not have this model in scope; its manifest lists the models it may call."
    return _no_model("model_not_in_scope", message, asked, known)


def model_of_another_format(asked: str, family: WireFamily) -> Reason:
    """Say that a model is served, but not in the wire format that the caller speaks."""
    message = f"{asked[:_SHOWN_NAME]} is served in the {family.value} wire format; nothing is translated."
    return deny(Gate.SCOPE, "model_of_another_format", message)


def _no_model(code: str, message: str, asked: str, known: Iterable[str]) -> Reason:
    close = near(asked[:_SHOWN_NAME], known)
    missed = (NearMiss(field="model", expected=close, actual=asked[:_SHOWN_NAME]),) if close else ()
    return deny(Gate.SCOPE, code, message, missed)


def unmapped(tool: str) -> Reason:
    """Say that a tool without a complete map entry cannot be called in production (A1)."""
    return deny(
        Gate.SCOPE,
        "unmapped_tool",
        f"{tool} has no complete blast-radius entry, so it cannot be called in production (A1).",
    )


def arguments_invalid(problem: str) -> Reason:
    """Say how the arguments fail the pinned schema; `problem` holds places and types, not values."""
    return deny(
        Gate.SCHEMA, "arguments_invalid", f"The arguments do not fit the tool: {problem[:_SHOWN_PROBLEM]}"
    )


def out_of_scope(workflow: str, tool: str, missed: tuple[NearMiss, ...], *, unmeasured: str = "") -> Reason:
    """Say which constraints of the grant a call does not meet; `unmeasured` says why reach is not known."""
    fields = ", ".join(dict.fromkeys(miss.field for miss in missed))
    message = f"{workflow} grants {tool} within limits; this call is outside: {fields}."
    if unmeasured and any(miss.field.startswith("reach.") for miss in missed):
        message += f" {unmeasured[:1].upper()}{unmeasured[1:]}"
    return deny(Gate.CONSTRAINTS, "out_of_scope", message, missed)


def too_many_calls(workflow: str, tool: str, limit: int) -> Reason:
    """Say that the run has no calls of this tool left."""
    missed = (NearMiss(field="max_calls", expected=f"up to {limit}", actual=f"one more than {limit}"),)
    message = f"{workflow} grants {limit} call{'' if limit == 1 else 's'} of {tool} in one run."
    return deny(Gate.CONSTRAINTS, "max_calls", message, missed)


def not_measured(tool: str, why: str) -> str:
    """Say in words that a preview did not measure a call, and what follows from that (A1)."""
    return f"its reach is not known, because the preview {tool} measured nothing: {why}."


def widest(unmeasured: str) -> Reason:
    """Say that the widest scope counted, for want of a measure."""
    return Reason(
        gate=Gate.APPROVAL,
        code="reach_unknown",
        message=f"The widest scope counts; {unmeasured}",
        verdict=Verdict.ALLOW,
    )


def not_a_preview(tool: str) -> Reason:
    """Say that a preview is not one here: it must be mapped, read_only and of the effect read."""
    return deny(Gate.SCOPE, "not_a_preview", f"{tool} is not a read_only tool of this environment.")


def not_declared(tool: str, follows: str) -> Reason:
    """Say that the manifest in force does not make a tool the second step of another one any more."""
    message = f"The manifest does not name {tool} as the second step of {follows} any more."
    return deny(Gate.SCOPE, "second_step_undeclared", message)


FORGOTTEN = deny(
    Gate.CONSTRAINTS, "key_forgotten", "It was first sent too long ago for its tool to know it by its key."
)
KEY_REUSED = deny(
    Gate.SCHEMA,
    "key_reused",
    "This idempotency key was given to another call of this run. Nothing was changed; use a new key.",
)


def killed(subject: str, level: KillLevel) -> Reason:
    """Say what was stopped, and how far: `*`, or `run:ID` and the like."""
    what = "Everything" if subject == EVERYTHING else "The " + subject.replace(":", " ", 1)
    how = "stopped: nothing passes" if level is KillLevel.STOP else "frozen: only reads pass"
    return deny(Gate.BREAKER, "killed", f"{what} is {how} until two people resume it.")


def tripped(kind: str, name: str, state: BreakerState, verdict: Verdict, why: str = "") -> Reason:
    """Say which breaker is not closed, why it opened and who closes it."""
    because = f": {why}" if why else ""
    what = f"The breaker of the {kind} {name} is {state.value.replace('_', '-')}{because}."
    return Reason(
        gate=Gate.BREAKER,
        code=f"breaker_{state.value}",
        message=f"{what} {_WHO_CLOSES[state is BreakerState.OPEN].format(breaker=f'{kind}:{name}')}",
        verdict=verdict,
    )


_WHO_CLOSES = (
    "Until an operator closes it, a person decides on every call that writes.",
    "No time closes it; an operator does: interlock breaker sign-off {breaker}",
)


def tainted(labels: Iterable[str], verdict: Verdict) -> Reason:
    """Say from where the run has read."""
    message = f"The run has read from outside: {', '.join(sorted(labels))}."
    return Reason(gate=Gate.TAINT, code="tainted", message=message, verdict=verdict)


def approved(by: str, approval: str) -> Reason:
    """Say who approved exactly this call."""
    message = f"{by} approved exactly this call ({approval})."
    return Reason(gate=Gate.APPROVAL, code="approved", message=message, verdict=Verdict.ALLOW)


def capability(workflow: str, asked: Capability, *, granted: bool) -> Reason:
    """Say whether the workflow grants something beside tools."""
    if granted:
        message = f"{workflow} grants this {asked.value}."
        return Reason(gate=Gate.SCOPE, code="granted", message=message, verdict=Verdict.ALLOW)
    return deny(Gate.SCOPE, f"{asked.value}_not_in_scope", f"{workflow} does not grant this {asked.value}.")


def _ask_again(code: str, message: str) -> Reason:
    return Reason(
        gate=Gate.APPROVAL,
        code=code,
        message=f"{message} A person must approve it again.",
        verdict=Verdict.REQUIRE_APPROVAL,
    )


def _floor(tier: RiskTier, earned: AutonomyTier | None) -> Reason:
    because = "" if earned is None else f" by a workflow that has earned {earned.value}"
    verdict = autonomy.floor(tier, earned)
    return Reason(
        gate=Gate.APPROVAL,
        code=f"tier_{tier.value}" if earned is None else f"autonomy_{earned.value}",
        message=f"The floor for a {tier.value} call{because} is {verdict.value}.",
        verdict=verdict,
    )


_FLOORS = tuple((_floor(tier, None),) for tier in RiskTier)
_EARNED = {earned: tuple((_floor(tier, earned),) for tier in RiskTier) for earned in AutonomyTier}


def floor(tier: RiskTier, earned: AutonomyTier | None) -> tuple[Reason]:
    """Say what the tier, or the autonomy that was earned, leaves at least."""
    return (_FLOORS if earned is None else _EARNED[earned])[tier.rank]


IRREVERSIBLE = Reason(
    gate=Gate.APPROVAL,
    code="irreversible",
    message="The tool writes and names neither an undo nor a delay of ten minutes, so a person decides (E5).",
    verdict=Verdict.REQUIRE_APPROVAL,
)
QUESTION = Reason(
    gate=Gate.APPROVAL,
    code="question",
    message="The tool puts a question to a person, who answers it.",
    verdict=Verdict.REQUIRE_APPROVAL,
)
UNEXERCISED = Reason(
    gate=Gate.APPROVAL,
    code="undo_unexercised",
    message="Its undo was declared and never tried out on the tools as they are registered now, so a person "
    "decides (E5).",
    verdict=Verdict.REQUIRE_APPROVAL,
)


def doubted(code: str, message: str) -> Reason:
    """Say what speaks against letting a call pass without a person."""
    return Reason(gate=Gate.APPROVAL, code=code, message=message, verdict=Verdict.REQUIRE_APPROVAL)


SECOND_STEP = Reason(
    gate=Gate.APPROVAL,
    code="second_step",
    message="It makes final what was reversible, as its manifest declares: a person always confirms it (E4).",
    verdict=Verdict.REQUIRE_APPROVAL,
)
OTHER_ARGUMENTS = _ask_again("approval_other_arguments", "The approval was for other arguments.")
PIN_MOVED = _ask_again("approval_pin_moved", "The tool changed after the approval.")
REACH_MOVED = _ask_again(
    "approval_reach_moved", "The call reaches further, or otherwise, than what was approved."
)
BUNDLE_MOVED = _ask_again("approval_bundle_moved", "The policy changed after the approval.")
UNKNOWN_RUN = deny(Gate.TOKEN, "unknown_run", "The run of this token is not known here.")
CLOSED_RUN = deny(Gate.TOKEN, "run_closed", "The run has ended.")
FOREIGN_RUN = deny(Gate.TOKEN, "run_mismatch", "The token names another workflow than its run.")
NO_BUNDLE = deny(Gate.ENVIRONMENT, "no_policy", "No manifest was applied here, so nothing is permitted.")
NO_PIN = deny(Gate.SCHEMA, "not_registered", "The tool is not registered: its server never offered it.")
DRIFTED = deny(
    Gate.SCHEMA, "tool_drifted", "The tool is not what was registered; a person must review it first."
)
NO_SCHEMA = deny(Gate.SCHEMA, "schema_unknown", "The tool's registered schema is not known here.")
TO_BE_MEASURED = Reason(
    gate=Gate.CONSTRAINTS,
    code="to_be_measured",
    message="Nothing but its reach speaks against the call.",
    verdict=Verdict.ALLOW,
)
MODEL_GRANTED = Reason(
    gate=Gate.SCOPE,
    code="model_granted",
    message="The workflow has this model in scope.",
    verdict=Verdict.ALLOW,
)
