"""A second step is declared, not granted; what stops the agent stops it; a person always confirms it (E4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interlock.core.admission import decide_second
from interlock.core.bundle import Bundle
from interlock.core.document.tool import FollowUp, Variant
from interlock.core.kill import KillLevel
from interlock.core.model import AutonomyTier, Decision, EffectClass, Gate, RiskTier, Verdict
from interlock.core.second_step import IDENTITY
from support.policies import (
    NOW,
    Companion,
    a_bundle,
    a_principal,
    a_reading_tool,
    a_request,
    a_rule,
    a_run,
    a_snapshot,
    a_tool,
    a_workflow,
    an_account,
    an_approval,
)

FIRST = a_tool(
    undo=Companion(tool="crm.restore", arguments={}),
    follow_up=FollowUp(tool="crm.purge", arguments={}, after=600),
)
PURGE = a_tool("crm.purge", effect=EffectClass.ONCE, delay=0)


def policy(purge: Any = PURGE, first: Any = FIRST, environment: str = "dev", **workflow: Any) -> Bundle:
    tools = (a_reading_tool(), first, a_tool("crm.restore"), *([purge] if purge else []))
    return a_bundle(a_workflow(**workflow), tools=tools, environment=environment)


def decided(bundle: Bundle | None = None, **changes: Any) -> Decision:
    """Decide a purge that follows an update, whose run ended and whose token expired."""
    principal = a_principal(agent=IDENTITY, expires_at=0, workflow=changes.pop("workflow", "refunds"))
    request = a_request("crm.purge", replace(principal, environment=changes.get("environment", "dev")), n=1)
    snapshot = a_snapshot(bundle or policy(), "crm.purge", **{"run": a_run(open=False)} | changes)
    return decide_second(request, snapshot, NOW, follows="crm.update")


def test_it_needs_no_grant_no_open_run_and_no_token_but_always_a_person() -> None:
    for run in (a_run(open=False), None):
        decision = decided(run=run, autonomy=AutonomyTier.AUTONOMOUS)
        assert (decision.verdict, decision.reason.code) == (Verdict.REQUIRE_APPROVAL, "second_step")
        assert (decision.tier, decision.effect) == (RiskTier.LIMITED_WRITE, EffectClass.ONCE)
    assert decided(approved=an_approval(decided())).verdict is Verdict.ALLOW


def test_it_is_what_the_manifest_in_force_declares_and_nothing_else() -> None:
    plain = replace(FIRST, follow_up=None)
    ungranted = a_workflow().tools[:1]
    for bundle in (policy(first=plain), policy(tools=ungranted)):
        assert decided(bundle).reason.code == "second_step_undeclared"
    assert decided(workflow="gone").reason.code == "unknown_workflow"
    unmapped = policy(replace(PURGE, blast_radius=None), environment="production")
    assert decided(unmapped, environment="production").reason.code == "unmapped_tool"


def test_what_stops_the_agent_stops_it() -> None:
    assert decided(kill={"agent:refund-bot": KillLevel.STOP}).reason.gate is Gate.BREAKER
    costly = policy(replace(PURGE, cost_per_call=5))
    assert decided(costly, accounts=[an_account(99)]).reason.gate is Gate.BUDGET
    assert decided(pin=None).reason.gate is Gate.SCHEMA


def test_rules_tighten_it_by_the_tier_of_the_very_call() -> None:
    denies = a_rule(tool="crm.purge", when={"tool.tier": "limited_write"})
    assert decided(policy(rules=(denies,))).reason.gate is Gate.RULES
    small = Variant(name="small", when={"args.n": {"le": 5}}, tier=RiskTier.READ_ONLY)
    assert decided(policy(replace(PURGE, variants=(small,)), rules=(denies,))).reason.code == "second_step"
