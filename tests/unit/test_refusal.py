"""Each reason has a stable code and a sentence, and no sentence holds an argument value (A5)."""

from __future__ import annotations

import pytest

from interlock.core import refusal
from interlock.core.kill import KillLevel
from interlock.core.model import AutonomyTier, BreakerState, Capability, Gate, Reason, RiskTier, Verdict


@pytest.mark.parametrize(
    ("reason", "code", "sentence"),
    [
        (refusal.unknown_workflow("w"), "unknown_workflow", "There is no workflow w here any more."),
        (
            refusal.workflow_moved("w@1", "w@2"),
            "workflow_moved",
            "The run was opened for w@1; the workflow is now w@2. Open a new run.",
        ),
        (refusal.other_agent("w@1"), "other_agent", "w@1 belongs to another agent."),
        (refusal.narrowed_away("a.b"), "narrowed_away", "The run token does not hold a.b."),
        (
            refusal.unmapped("a.b"),
            "unmapped_tool",
            "a.b has no complete blast-radius entry, so it cannot be called in production (A1).",
        ),
        (
            refusal.arguments_invalid("n is required"),
            "arguments_invalid",
            "The arguments do not fit the tool: n is required",
        ),
        (refusal.too_many_calls("w@1", "a.b", 1), "max_calls", "w@1 grants 1 call of a.b in one run."),
        (refusal.too_many_calls("w@1", "a.b", 5), "max_calls", "w@1 grants 5 calls of a.b in one run."),
        (
            refusal.killed("*", KillLevel.STOP),
            "killed",
            "Everything is stopped: nothing passes until two people resume it.",
        ),
        (
            refusal.killed("run:r:1", KillLevel.FREEZE),
            "killed",
            "The run r:1 is frozen: only reads pass until two people resume it.",
        ),
        (
            refusal.tripped("tool", "a.b", BreakerState.HALF_OPEN, Verdict.REQUIRE_APPROVAL),
            "breaker_half_open",
            "The breaker of the tool a.b is half-open. Until an operator closes it, a person decides on "
            "every call that writes.",
        ),
        (
            refusal.tripped("tool", "a.b", BreakerState.OPEN, Verdict.DENY, "3 failures in a row"),
            "breaker_open",
            "The breaker of the tool a.b is open: 3 failures in a row. No time closes it; an operator does: "
            "interlock breaker sign-off tool:a.b",
        ),
        (
            refusal.tainted({"web", "email"}, Verdict.DENY),
            "tainted",
            "The run has read from outside: email, web.",
        ),
        (
            refusal.capability("w@1", Capability.SAMPLING, granted=False),
            "sampling_not_in_scope",
            "w@1 does not grant this sampling.",
        ),
        (refusal.capability("w@1", Capability.PROMPT, granted=True), "granted", "w@1 grants this prompt."),
        (
            refusal.failed(Gate.RULES, ValueError("secret")),
            "error_while_deciding",
            "The check rules failed (ValueError); what cannot be decided is denied.",
        ),
        (
            refusal.foreign("policy", "staging", "dev"),
            "environment_mismatch",
            "The policy is of the environment staging; this is dev.",
        ),
        (refusal.approved("maria", "apr_1"), "approved", "maria approved exactly this call (apr_1)."),
    ],
)
def test_a_reason_has_a_code_and_a_sentence(reason: Reason, code: str, sentence: str) -> None:
    assert (reason.code, reason.message) == (code, sentence)


def test_a_tool_that_was_probably_meant_is_named() -> None:
    (missed,) = refusal.not_in_scope("w@1", "crm.lokup", ["crm.lookup", "crm.update"]).near_misses
    assert (missed.expected, missed.actual) == ("crm.lookup", "crm.lokup")
    assert refusal.not_in_scope("w@1", "zzz", ["crm.lookup"]).near_misses == ()


def test_every_floor_has_its_reason() -> None:
    assert refusal.floor(RiskTier.READ_ONLY, None)[0].code == "tier_read_only"
    lowered = refusal.floor(RiskTier.HIGH_BLAST_RADIUS, AutonomyTier.AUTONOMOUS)[0]
    assert (lowered.code, lowered.verdict) == ("autonomy_autonomous", Verdict.ALLOW)
    assert lowered.message == (
        "The floor for a high_blast_radius call by a workflow that has earned autonomous is allow."
    )
