"""A call that a preview measures is decided on the measure; without one the widest scope counts (A1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.admission import decide_preview, to_be_measured
from interlock.core.document.tool import BlastRadius, Variant
from interlock.core.kill import KillLevel
from interlock.core.model import BreakerState, Decision, EffectClass, Pin, Reason, RiskTier, Verdict
from support.policies import (
    NOW,
    Companion,
    Grant,
    a_bundle,
    a_reading_tool,
    a_request,
    a_rule,
    a_run,
    a_snapshot,
    a_tool,
    a_workflow,
    an_approval,
    decided,
)

HIGH, LIMITED = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE
PREVIEW = Companion(tool="crm.count", arguments={"segment": "$args.segment"})
FEW = {"reach.recipients": {"le": 50}}
MAIL = a_tool("crm.mail", tier=HIGH, preview=PREVIEW, variants=(Variant(name="few", when=FEW, tier=LIMITED),))
UNKNOWN = "its reach is not known, because the preview crm.count measured nothing: it was not asked."


def bundle(where: Any = None, *, mail: Any = MAIL, **changes: Any) -> Any:
    grant = Grant(tool="crm.mail", where=where or {}, max_calls=2)
    return a_bundle(a_workflow(grant, **changes), tools=(mail, a_reading_tool("crm.count"), a_tool()))


def mailed(found: Any = None, **snapshot: Any) -> Decision:
    return decided("crm.mail", {"segment": "pro"}, bundle=found or bundle(), **snapshot)


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


def test_a_small_measured_reach_has_the_smaller_tier() -> None:
    few = mailed(reach={"recipients": 12})
    assert (few.tier, few.verdict, codes(few)) == (LIMITED, Verdict.ALLOW_WITH_REVIEW, ["tier_limited_write"])
    assert few.read["reach"] == {"recipients": 12}
    many = mailed(reach={"recipients": 51})
    assert (many.tier, many.verdict) == (HIGH, Verdict.REQUIRE_APPROVAL)


def test_an_unknown_reach_is_the_widest_and_the_reasons_say_so() -> None:
    decision = mailed(unmeasured="it did not answer in time")
    assert (decision.tier, decision.verdict) == (HIGH, Verdict.REQUIRE_APPROVAL)
    assert codes(decision) == ["tier_high_blast_radius", "reach_unknown"]
    assert decision.reasons[1].message == (
        "The widest scope counts; its reach is not known, because the preview crm.count measured nothing: "
        "it did not answer in time."
    )
    assert decision.read["unmeasured"] == "it did not answer in time"


def test_a_grant_on_an_unknown_reach_denies_and_says_why() -> None:
    limited = bundle({"args.segment": "pro", **FEW})
    assert mailed(limited, reach={"recipients": 50}).verdict is Verdict.ALLOW_WITH_REVIEW
    [missed] = mailed(limited, reach={"recipients": 900}).reason.near_misses
    assert (missed.field, missed.expected, missed.actual) == ("reach.recipients", "up to 50", "900")
    unknown = mailed(limited).reason
    assert unknown.code == "out_of_scope"
    assert unknown.message.endswith(f"outside: reach.recipients. I{UNKNOWN[1:]}")


def test_a_miss_that_is_not_about_reach_says_nothing_of_it() -> None:
    reason = mailed(bundle({"args.segment": "all"})).reason
    assert reason.message == "refunds@7 grants crm.mail within limits; this call is outside: args.segment."


def test_a_rule_on_an_unknown_reach_counts_as_met_and_says_why() -> None:
    rules = (a_rule("mass-mail", "crm.mail", when={"reach.recipients": {"gt": 1000}}),)
    found = bundle(rules=rules)
    assert mailed(found, reach={"recipients": 12}).verdict is Verdict.ALLOW_WITH_REVIEW
    unknown = mailed(found).reason
    assert (unknown.code, unknown.verdict) == ("rule_cannot_tell", Verdict.DENY)
    assert unknown.message == f"The rule mass-mail cannot tell about reach.recipients: {UNKNOWN}"


def test_a_tool_without_a_preview_says_nothing_of_reach() -> None:
    plain = a_tool("crm.mail", tier=HIGH)
    assert codes(mailed(bundle(mail=plain))) == ["tier_high_blast_radius"]


@pytest.mark.parametrize(
    ("now", "code"),
    [
        ({"recipients": 900}, "approved"),
        ({"recipients": 800}, "approved"),
        ({"recipients": 901}, "approval_reach_moved"),
        ({"recipients": 900, "records": 1}, "approval_reach_moved"),
        (None, "approval_reach_moved"),
    ],
)
def test_an_approval_counts_for_no_more_than_the_reach_that_was_seen(now: Any, code: str) -> None:
    seen = {"recipients": 900}
    approved = an_approval(mailed(reach=seen), reach=seen)
    decision = mailed(reach=now, approved=approved)
    assert decision.reason.code == code
    assert decision.verdict is (Verdict.ALLOW if code == "approved" else Verdict.REQUIRE_APPROVAL)


def test_an_approval_for_another_tier_does_not_count() -> None:
    rules = (a_rule("ask", "crm.mail", then=Verdict.REQUIRE_APPROVAL),)
    found = bundle(rules=rules)
    approved = an_approval(mailed(found, reach={"recipients": 900}), reach={"recipients": 900})
    fewer = mailed(found, reach={"recipients": 3}, approved=approved)
    assert (fewer.tier, fewer.reason.code) == (LIMITED, "approval_reach_moved")


def test_a_call_approved_unmeasured_may_go_on_unmeasured_or_measured() -> None:
    approved = an_approval(mailed())
    assert mailed(approved=approved).reason.code == "approved"
    assert mailed(reach={"recipients": 90_000}, approved=approved).reason.code == "approved"


def measurable(where: Any = None, **snapshot: Any) -> bool:
    found = bundle(where)
    request = a_request("crm.mail", segment="pro")
    return to_be_measured(request, a_snapshot(found, "crm.mail", **snapshot), NOW)


def test_what_only_reach_can_speak_against_is_measured() -> None:
    assert measurable()
    assert measurable({"args.segment": "pro", **FEW, "args.most": {"ge": "$reach.recipients"}})
    assert measurable(run=a_run(calls={"crm.mail": 1}))
    assert measurable(breakers={("tool", "crm.mail"): BreakerState.HALF_OPEN})


@pytest.mark.parametrize(
    ("where", "snapshot"),
    [
        ({"args.segment": "all", **FEW}, {}),
        ({}, {"run": a_run(open=False)}),
        ({}, {"run": a_run(calls={"crm.mail": 2})}),
        ({}, {"environment": "production"}),
        ({}, {"pin": None}),
        ({}, {"schema_problem": lambda _: "segment is required"}),
        ({}, {"breakers": {("agent", "refund-bot"): BreakerState.OPEN}}),
        ({}, {"kill": {"*": KillLevel.STOP}}),
    ],
)
def test_what_is_denied_anyway_is_never_measured(where: Any, snapshot: Any) -> None:
    assert not measurable(where, **snapshot)


def test_a_call_without_a_limit_of_calls_is_measured() -> None:
    found = a_bundle(a_workflow(Grant(tool="crm.mail")), tools=(MAIL, a_reading_tool("crm.count")))
    assert to_be_measured(a_request("crm.mail"), a_snapshot(found, "crm.mail"), NOW)


def previewed(tool: str = "crm.count", found: Any = None, **snapshot: Any) -> Reason:
    request = a_request(tool, segment="pro")
    return decide_preview(request, a_snapshot(found or bundle(), tool, **snapshot), NOW).reason


def test_a_preview_needs_no_grant() -> None:
    assert previewed().verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("tool", "changes"),
    [
        ("crm.gone", {}),
        ("crm.update", {}),
        ("crm.mail", {}),
        ("crm.half", {"effect": None}),
        ("crm.half", {"tier": HIGH, "effect": EffectClass.READ}),
        ("crm.half", {"effect": EffectClass.IDEMPOTENT, "tier": LIMITED}),
    ],
)
def test_only_a_mapped_read_is_a_preview(tool: str, changes: Any) -> None:
    half = a_reading_tool("crm.half")
    tools = (MAIL, a_reading_tool("crm.count"), a_tool(), replace(half, **changes))
    found = a_bundle(a_workflow(Grant(tool="crm.mail")), tools=tools)
    assert previewed(tool, found).code == "not_a_preview"


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        ({"pin": None}, "not_registered"),
        ({"pin": Pin(tool="crm.count", digest="a", seen="b")}, "tool_drifted"),
        ({"schema_problem": lambda _: "segment: is no number"}, "arguments_invalid"),
        ({"schema_problem": None}, "schema_unknown"),
        ({"breakers": {("tool", "crm.count"): BreakerState.OPEN}}, "breaker_open"),
        ({"kill": {"run:run_1": KillLevel.STOP}}, "killed"),
    ],
)
def test_a_preview_passes_the_gates_of_any_read(snapshot: Any, code: str) -> None:
    assert previewed(**snapshot).code == code


def test_a_declared_widest_scope_is_no_measure() -> None:
    wide = a_tool(
        "crm.mail",
        tier=HIGH,
        preview=PREVIEW,
        blast_radius=BlastRadius(widest_scope="all", impact="x", reversible="none", recipients=5),
    )
    assert "reach_unknown" in codes(mailed(bundle(mail=wide)))
