"""Each check of the decision, one by one: when it is content, and what it says when it is not (A5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.bundle import Bundle
from interlock.core.document.identity import Agent
from interlock.core.document.tool import PEOPLE, Settlement, ToolServer, Variant
from interlock.core.document.workflow import Autonomy
from interlock.core.identity import Revocations
from interlock.core.kill import KillLevel
from interlock.core.model import (
    AutonomyTier,
    BreakerState,
    Decision,
    Gate,
    Pin,
    RiskTier,
    Verdict,
)
from interlock.core.snapshot import RunFacts
from interlock.core.taint import STRICT
from support.policies import (
    NOW,
    Companion,
    Grant,
    a_bundle,
    a_principal,
    a_reading_tool,
    a_rule,
    a_run,
    a_tool,
    a_workflow,
    an_account,
    an_approval,
    decided,
)

HIGH, READ = RiskTier.HIGH_BLAST_RADIUS, RiskTier.READ_ONLY


def said(decision: Decision) -> tuple[Gate, str]:
    return decision.reason.gate, decision.reason.code


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        ({"revoked": Revocations(tokens=frozenset({"tok_1"}))}, "token_revoked"),
        ({"run": None}, "unknown_run"),
        ({"run": a_run(run="run_2")}, "unknown_run"),
        ({"run": a_run(open=False)}, "run_closed"),
        ({"run": a_run(workflow="other")}, "run_mismatch"),
        ({"run": a_run(version=8)}, "run_mismatch"),
    ],
)
def test_token(snapshot: dict[str, Any], code: str) -> None:
    assert said(decided(**snapshot)) == (Gate.TOKEN, code)


def test_environment_is_the_same_for_token_gateway_policy_and_tool() -> None:
    mismatch = (Gate.ENVIRONMENT, "environment_mismatch")
    assert said(decided(principal=a_principal(environment="staging"))) == mismatch
    assert said(decided(environment="staging")) == mismatch
    elsewhere = decided(environment="staging", principal=a_principal(environment="staging"))
    assert said(elsewhere) == mismatch
    assert "policy" in elsewhere.reason.message
    bundle = a_bundle()
    foreign = replace(bundle.tools["crm.lookup"], environment="staging")
    moved = replace(bundle, tools={**bundle.tools, "crm.lookup": foreign})
    assert said(decided(bundle=moved)) == mismatch


def test_without_a_bundle_everything_is_denied() -> None:
    from interlock.core.admission import decide
    from support.policies import a_request, a_snapshot

    for breakers in ({}, {("tool", "crm.lookup"): BreakerState.OPEN}):
        snapshot = replace(a_snapshot(), bundle=None, above=(above(),), breakers=breakers)
        decision = decide(a_request(), snapshot, NOW)
        assert said(decision) == (Gate.ENVIRONMENT, "no_policy")
    assert decision.bundle == ""


def test_scope_is_that_of_the_version_the_run_was_opened_for() -> None:
    assert said(decided(bundle=a_bundle(version=8))) == (Gate.SCOPE, "workflow_moved")
    gone = decided(
        principal=a_principal(workflow="gone"), run=a_run(workflow="gone"), bundle=a_bundle(version=7)
    )
    assert said(gone) == (Gate.SCOPE, "unknown_workflow")
    assert said(decided(principal=a_principal(agent="other-bot"))) == (Gate.SCOPE, "other_agent")


def test_scope_needs_the_grant_and_the_token() -> None:
    assert said(decided("crm.delete")) == (Gate.SCOPE, "not_in_scope")
    narrowed = a_principal(scope=frozenset({"crm.update"}))
    assert said(decided("crm.lookup", principal=narrowed)) == (Gate.SCOPE, "narrowed_away")
    assert not decided("crm.update", principal=narrowed).denied


def test_an_unmapped_tool_counts_as_high_and_cannot_be_called_in_production() -> None:
    workflow = a_workflow(Grant(tool="crm.new"))
    decision = decided("crm.new", bundle=a_bundle(workflow))
    assert (decision.verdict, decision.tier) == (Verdict.REQUIRE_APPROVAL, HIGH)
    production = decided(
        "crm.new",
        bundle=a_bundle(workflow, environment="production"),
        principal=a_principal(environment="production"),
        environment="production",
        autonomy=AutonomyTier.AUTONOMOUS,
    )
    assert said(production) == (Gate.SCOPE, "unmapped_tool")


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        ({"pin": None}, "not_registered"),
        ({"pin": Pin(tool="crm.other", digest="d")}, "not_registered"),
        ({"pin": Pin(tool="crm.lookup", digest="d", seen="e")}, "tool_drifted"),
        ({"schema_problem": None}, "schema_unknown"),
        ({"schema_problem": lambda arguments: "n is required"}, "arguments_invalid"),
    ],
)
def test_schema(snapshot: dict[str, Any], code: str) -> None:
    assert said(decided(**snapshot)) == (Gate.SCHEMA, code)


def test_constraints_count_the_calls_of_the_run() -> None:
    bundle = a_bundle(a_workflow(Grant(tool="crm.lookup", max_calls=2)))
    assert not decided(bundle=bundle, run=a_run(calls={"crm.lookup": 1, "crm.update": 9})).denied
    used = decided(bundle=bundle, run=a_run(calls={"crm.lookup": 2}))
    assert said(used) == (Gate.CONSTRAINTS, "max_calls")
    assert said(decided(bundle=a_bundle(a_workflow(Grant(tool="crm.lookup", max_calls=0))))) == said(used)


def test_a_matching_variant_gives_the_tier_of_the_call_to_floor_and_rules() -> None:
    small = Variant(name="small", when={"args.n": {"le": 5}}, tier=RiskTier.LIMITED_WRITE)
    tools = (a_reading_tool(), a_tool(tier=HIGH, variants=(small,)))
    rule = a_rule(when={"tool.tier": "high_blast_radius"})
    bundle = a_bundle(a_workflow(rules=(rule,)), tools=tools)
    lowered = decided("crm.update", {"n": 5}, bundle=bundle)
    assert (lowered.tier, lowered.verdict) == (RiskTier.LIMITED_WRITE, Verdict.ALLOW_WITH_REVIEW)
    whole = decided("crm.update", {"n": 6}, bundle=bundle)
    assert (whole.tier, whole.verdict) == (HIGH, Verdict.DENY)


@pytest.mark.parametrize(
    "subject",
    ["*", "environment:dev", "agent:refund-bot", "workflow:refunds", "run:run_1", "tool:crm.update"],
)
def test_a_stop_refuses_what_it_names(subject: str) -> None:
    assert said(decided("crm.update", {"n": 1}, kill={subject: KillLevel.STOP})) == (Gate.BREAKER, "killed")


def test_a_kill_of_others_does_not() -> None:
    others = ("run:run_2", "agent:other", "tool:crm.lookup", "environment:staging")
    assert "killed" not in codes(decided("crm.update", {"n": 1}, kill=dict.fromkeys(others, KillLevel.STOP)))


def test_a_freeze_lets_reads_pass_and_a_pause_everything_that_runs() -> None:
    bundle = a_bundle(a_workflow(), tools=(a_reading_tool("crm.lookup"), a_tool("crm.update")))
    frozen = {"agent:refund-bot": KillLevel.FREEZE, "*": KillLevel.PAUSE}
    assert "killed" not in codes(decided("crm.lookup", bundle=bundle, kill=frozen))
    refused = decided("crm.update", {"n": 1}, bundle=bundle, kill=frozen)
    assert said(refused) == (Gate.BREAKER, "killed")
    assert refused.read["kill"] == {"agent:refund-bot": "freeze", "*": "pause"}
    assert "killed" not in codes(decided("crm.update", {"n": 1}, bundle=bundle, kill={"*": KillLevel.PAUSE}))


@pytest.mark.parametrize(
    "subject", [("agent", "refund-bot"), ("workflow", "refunds"), ("tool", "crm.update")]
)
def test_a_breaker_stops_what_it_names(subject: tuple[str, str]) -> None:
    half = decided("crm.update", breakers={subject: BreakerState.HALF_OPEN})
    assert (half.verdict, half.reason.code) == (Verdict.REQUIRE_APPROVAL, "breaker_half_open")
    opened = decided("crm.update", breakers={subject: BreakerState.OPEN})
    assert said(opened) == (Gate.BREAKER, "breaker_open")
    assert not decided("crm.update", breakers={subject: BreakerState.CLOSED}).denied
    assert not decided("crm.update", breakers={("tool", "crm.other"): BreakerState.OPEN}).denied


def test_a_half_open_breaker_lets_reads_pass() -> None:
    assert decided(breakers={("agent", "refund-bot"): BreakerState.HALF_OPEN}).verdict is Verdict.ALLOW


def test_a_call_that_the_budget_does_not_cover_is_denied() -> None:
    bundle = a_bundle(tools=(a_reading_tool(cost_per_call=5), a_tool()))
    assert said(decided(bundle=bundle, accounts=[an_account(96)])) == (Gate.BUDGET, "budget_inflight")
    assert said(decided(bundle=bundle, accounts=[an_account(95, spent=1)])) == (
        Gate.BUDGET,
        "budget_inflight",
    )
    assert said(decided(bundle=bundle, accounts=[an_account(0, spent=100)])) == (Gate.BUDGET, "run_halted")
    assert not decided(bundle=bundle, accounts=[an_account(95)]).denied
    assert not decided(bundle=bundle).denied


def test_taint_reaches_the_floors_where_they_are_on_and_the_rules_always() -> None:
    web = a_run(labels=frozenset({"web"}))
    assert not decided("crm.update", run=web).denied
    tainted = decided("crm.update", run=web, taint_floors=STRICT)
    assert (tainted.verdict, tainted.reason.gate) == (Verdict.REQUIRE_APPROVAL, Gate.TAINT)
    rule = a_rule(when={"tool.effect": {"ne": "read"}, "run.taints": {"contains": "web"}})
    bundle = a_bundle(a_workflow(rules=(rule,)))
    assert said(decided("crm.update", bundle=bundle, run=web)) == (Gate.RULES, "rule_deny")
    assert not decided("crm.lookup", bundle=bundle, run=web).denied
    assert not decided("crm.update", bundle=bundle).denied


def test_all_rules_that_are_met_have_their_say() -> None:
    rules = (
        a_rule("review", then=Verdict.ALLOW_WITH_REVIEW),
        a_rule("ask", then=Verdict.REQUIRE_APPROVAL),
        a_rule("no", when={"args.n": 1}),
    )
    bundle = a_bundle(a_workflow(rules=rules))
    assert [reason.rule for reason in decided(arguments={"n": 1}, bundle=bundle).reasons] == [
        "no",
        "ask",
        "review",
    ]
    asked = decided(arguments={"n": 2}, bundle=bundle)
    assert [reason.rule for reason in asked.reasons] == ["ask", "review", None]


@pytest.mark.parametrize("autonomy", [None, *AutonomyTier])
def test_what_cannot_be_undone_needs_a_person_whatever_was_earned(autonomy: AutonomyTier | None) -> None:
    bundle = a_bundle(tools=(a_reading_tool(), a_tool(delay=599)))
    decision = decided("crm.update", bundle=bundle, autonomy=autonomy)
    assert decision.verdict is Verdict.REQUIRE_APPROVAL
    assert "irreversible" in [reason.code for reason in decision.reasons]


@pytest.mark.parametrize("autonomy", [None, *AutonomyTier])
def test_what_is_not_mapped_needs_a_person_whatever_was_earned(autonomy: AutonomyTier | None) -> None:
    undo = Companion(tool="crm.restore", arguments={"id": "$result.id"})
    tool = a_tool(blast_radius=None, delay=0, undo=undo)
    bundle = a_bundle(tools=(a_reading_tool(), tool, a_tool("crm.restore")))
    assert decided("crm.update", bundle=bundle, autonomy=autonomy).verdict is Verdict.REQUIRE_APPROVAL


@pytest.mark.parametrize(
    ("environment", "exercised", "delay", "verdict"),
    [
        ("production", False, 0, Verdict.REQUIRE_APPROVAL),
        ("production", True, 0, Verdict.ALLOW_WITH_REVIEW),
        ("production", False, 600, Verdict.ALLOW_WITH_REVIEW),
        ("staging", False, 0, Verdict.ALLOW_WITH_REVIEW),
    ],
)
def test_in_production_an_undo_counts_only_once_it_was_tried_out(
    environment: str, exercised: bool, delay: int, verdict: Verdict
) -> None:
    tool = a_tool(delay=delay, undo=Companion(tool="crm.restore", arguments={"id": "$result.id"}))
    bundle = a_bundle(tools=(a_reading_tool(), tool, a_tool("crm.restore")), environment=environment)
    decision = decided(
        "crm.update",
        bundle=bundle,
        principal=a_principal(environment=environment),
        environment=environment,
        exercised=exercised,
    )
    assert decision.verdict is verdict
    unexercised = "undo_unexercised" in [reason.code for reason in decision.reasons]
    assert unexercised is (verdict is Verdict.REQUIRE_APPROVAL)


@pytest.mark.parametrize("exercised", [True, False])
def test_in_production_a_settlement_counts_only_once_its_void_was_tried_out(exercised: bool) -> None:
    step = Companion(tool="crm.restore", arguments={})
    held = a_tool(settlement=Settlement(confirm=step, void=step, within=600), delay=0)
    bundle = a_bundle(tools=(a_reading_tool(), held, a_tool("crm.restore")), environment="production")
    decision = decided(
        "crm.update", bundle=bundle, principal=a_principal(environment="production"),
        environment="production", exercised=exercised,
    )  # fmt: skip
    verdict = Verdict.ALLOW_WITH_REVIEW if exercised else Verdict.REQUIRE_APPROVAL
    assert decision.verdict is verdict


def test_what_only_reads_needs_no_undo_that_was_tried_out() -> None:
    decision = decided(
        bundle=a_bundle(environment="production"),
        principal=a_principal(environment="production"),
        environment="production",
    )
    assert decision.verdict is Verdict.ALLOW


def test_an_undo_frees_a_write_from_a_person() -> None:
    tool = a_tool(delay=0, undo=Companion(tool="crm.restore", arguments={"id": "$result.id"}))
    bundle = a_bundle(tools=(a_reading_tool(), tool, a_tool("crm.restore")))
    assert decided("crm.update", bundle=bundle).verdict is Verdict.ALLOW_WITH_REVIEW


def test_earned_autonomy_moves_the_floor_and_nothing_else_does() -> None:
    bundle = a_bundle(tools=(a_reading_tool(), a_tool(tier=HIGH)))
    assert decided("crm.update", bundle=bundle).verdict is Verdict.REQUIRE_APPROVAL
    earned = decided("crm.update", bundle=bundle, autonomy=AutonomyTier.AUTONOMOUS)
    assert (earned.verdict, earned.reason.code) == (Verdict.ALLOW, "autonomy_autonomous")


def above(workflow: str = "parents", version: int = 7, **changes: Any) -> RunFacts:
    """Return a run that the run of the call was started from."""
    return a_run(run="run_0", workflow=workflow, version=version, **changes)


def beneath(*grants: Grant, **changes: Any) -> Bundle:
    """Return a policy in which `parents` grants what is given, or all."""
    return a_bundle(a_workflow(), a_workflow(*grants, name="parents", **changes))


def test_a_run_may_do_no_more_than_each_run_that_started_it() -> None:
    wide = beneath()
    assert not decided(bundle=wide, above=(above(),)).denied
    narrow = beneath(Grant(tool="crm.update"))
    assert said(decided(bundle=narrow, above=(above(),))) == (Gate.SCOPE, "not_in_scope")
    few = beneath(Grant(tool="crm.lookup", max_calls=1))
    assert said(decided(bundle=few, above=(above(calls={"crm.lookup": 1}),))) == (
        Gate.CONSTRAINTS,
        "max_calls",
    )
    strict = beneath(rules=(a_rule(),))
    assert decided(bundle=strict, above=(above(),)).reason.gate is Gate.RULES
    assert not decided(bundle=strict).denied


def test_a_run_ends_with_those_that_started_it_and_moves_with_their_policy() -> None:
    wide = beneath()
    assert said(decided(bundle=wide, above=(above(open=False),))) == (Gate.TOKEN, "run_closed")
    assert said(decided(bundle=wide, above=(above(version=6),))) == (Gate.SCOPE, "workflow_moved")
    assert said(decided(bundle=wide, above=(above("gone"),))) == (Gate.SCOPE, "unknown_workflow")


def test_the_breaker_of_a_workflow_holds_for_the_runs_below() -> None:
    tripped = {("workflow", "parents"): BreakerState.OPEN}
    assert decided(bundle=beneath(), above=(above(),), breakers=tripped).reason.gate is Gate.BREAKER


def test_the_breaker_of_an_agent_holds_for_the_runs_that_its_runs_started() -> None:
    tripped = {("agent", "parent-bot"): BreakerState.OPEN}
    parents = a_workflow(name="parents", agent="parent-bot")
    mixed = a_bundle(a_workflow(), parents, Agent(name="parent-bot", owner="maria", backup="deng"))
    refused = decided(
        bundle=mixed, above=(above(),), breakers=tripped, tripped={("agent", "parent-bot"): "why"}
    )
    assert said(refused) == (Gate.BREAKER, "breaker_open")
    assert "The breaker of the agent parent-bot is open: why." in refused.reason.message
    assert not decided(bundle=mixed, breakers=tripped).denied


def test_a_question_waits_for_a_person_whatever_was_earned_and_needs_no_map() -> None:
    people = ToolServer(name="people", transport=PEOPLE)
    bundle = a_bundle(a_workflow(Grant(tool="people.ask")), people)
    found = decided("people.ask", bundle=bundle, autonomy=AutonomyTier.AUTONOMOUS)
    assert found.verdict is Verdict.REQUIRE_APPROVAL
    assert "question" in codes(found)


def asking(floor: int | None = None, trials: int | None = None) -> Bundle:
    return a_bundle(a_workflow(autonomy=Autonomy(confidence_floor=floor, familiar_after=trials)))


@pytest.mark.parametrize(
    ("floor", "trials", "snapshot", "found"),
    [
        (7_000, None, {"run": a_run(score=4_200)}, {"low_confidence"}),
        (7_000, None, {}, {"low_confidence"}),
        (7_000, None, {"run": a_run(score=7_000)}, set[str]()),
        (None, 3, {"trials": 2}, {"novel_call"}),
        (None, 3, {}, {"novel_call"}),
        (None, 3, {"trials": 3}, set[str]()),
        (7_000, 3, {}, {"low_confidence", "novel_call"}),
        (None, None, {}, set[str]()),
    ],
)
def test_a_write_of_low_confidence_needs_a_person_whatever_was_earned_and_a_read_does_not(
    floor: int | None, trials: int | None, snapshot: dict[str, Any], found: set[str]
) -> None:
    bundle = asking(floor, trials)
    for autonomy in (None, AutonomyTier.AUTONOMOUS):
        decision = decided("crm.update", bundle=bundle, autonomy=autonomy, **snapshot)
        assert codes(decision) & {"low_confidence", "novel_call"} == found
        assert (decision.verdict is Verdict.REQUIRE_APPROVAL) == bool(found)
    assert decided(bundle=bundle, **snapshot).verdict is Verdict.ALLOW


def test_a_person_who_approved_a_call_of_low_confidence_lets_it_pass() -> None:
    waiting = decided("crm.update", bundle=asking(7_000, 3))
    assert (
        decided("crm.update", bundle=asking(7_000, 3), approved=an_approval(waiting)).verdict is Verdict.ALLOW
    )


def test_a_run_above_asks_for_its_own_score_and_not_for_trials() -> None:
    strict = beneath(autonomy=Autonomy(confidence_floor=7_000, familiar_after=3))
    assert codes(decided("crm.update", bundle=strict, above=(above(),))) >= {"low_confidence"}
    scored = decided("crm.update", bundle=strict, above=(above(score=9_000),))
    assert scored.verdict is Verdict.ALLOW_WITH_REVIEW
    assert scored.read["confidence"] == {"scores": {"run_0": 9_000}}
    assert decided("crm.update", bundle=strict).verdict is Verdict.ALLOW_WITH_REVIEW
