"""The refund rules that were compared in three rule languages, with the verdicts intended there (A5).

There rules also granted; here the scope grants, the tier sets the floor and rules tighten. Every case of
that comparison must come out as intended: amounts by band, other currencies, fractions, missing fields,
outside mail, ids in and out of scope, a staging agent, a tainted run, the night.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.core.document.rule import Hours
from interlock.core.document.tool import Variant
from interlock.core.model import AutonomyTier, RiskTier, Verdict
from support.policies import Grant, a_bundle, a_principal, a_rule, a_run, a_tool, a_workflow, decided

ALLOW, REVIEW, ASK, DENY = Verdict
NOON = int(datetime(2026, 11, 18, 11, tzinfo=UTC).timestamp()) * 1_000_000  # a Wednesday, 12:00 in Berlin
NIGHT = NOON + 11 * 3_600 * 1_000_000
OFFICE = Hours(tz="Europe/Berlin", days=(1, 2, 3, 4, 5), start=8, end=18)
HIGH, LIMITED, READ = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE, RiskTier.READ_ONLY


def band(name: str, most: int, tier: RiskTier) -> Variant:
    return Variant(name=name, when={"args.amount_cents": {"le": most}}, tier=tier)


TOOLS = (
    a_tool("crm.refund", tier=HIGH, variants=(band("auto", 5000, READ), band("review", 50000, LIMITED))),
    a_tool("crm.send_email", tier=LIMITED),
    a_tool("crm.delete_record", tier=HIGH),
    a_tool("crm.lookup", tier=LIMITED),
)
WORKFLOW = a_workflow(
    Grant(tool="crm.refund", where={"args.currency": "EUR", "args.amount_cents": {"gt": 0}}),
    Grant(tool="crm.send_email"),
    Grant(tool="crm.delete_record", where={"args.id": {"in": "$scope.ids"}}),
    scope={"ids": ["r1", "r2"]},
    rules=(
        a_rule("mail", "crm.send_email", REVIEW),
        a_rule("mail-external", "crm.send_email", ASK, when={"args.to": {"any_not_suffix": "@example.com"}}),
        a_rule("env-wall", when={"agent.env": {"ne": "$tool.env"}}),
        a_rule("taint", when={"tool.effect": {"ne": "read"}, "run.taints": {"contains": "web"}}),
        a_rule("hours", when={"tool.tier": "high_blast_radius"}, unless_hours=OFFICE),
    ),
)
BUNDLE = a_bundle(WORKFLOW, tools=TOOLS)


@pytest.mark.parametrize(
    ("tool", "arguments", "verdict"),
    [
        ("crm.refund", {"currency": "EUR", "amount_cents": 3000}, ALLOW),
        ("crm.refund", {"currency": "EUR", "amount_cents": 5000}, ALLOW),
        ("crm.refund", {"currency": "EUR", "amount_cents": 5001}, REVIEW),
        ("crm.refund", {"currency": "EUR", "amount_cents": 30000}, REVIEW),
        ("crm.refund", {"currency": "EUR", "amount_cents": 90000}, ASK),
        ("crm.refund", {"currency": "USD", "amount_cents": 3000}, DENY),
        ("crm.refund", {"currency": "EUR", "amount_cents": 30.5}, DENY),
        ("crm.refund", {"currency": "EUR", "amount_cents": -5}, DENY),
        ("crm.refund", {"currency": "EUR"}, DENY),
        ("crm.send_email", {"to": ["a@example.com"]}, REVIEW),
        ("crm.send_email", {"to": ["a@example.com", "b@evil.org"]}, ASK),
        ("crm.delete_record", {"id": "r1"}, ASK),
        ("crm.delete_record", {"id": "r9"}, DENY),
        ("crm.unknown", {}, DENY),
    ],
)
def test_the_intended_verdict(tool: str, arguments: dict[str, Any], verdict: Verdict) -> None:
    assert decided(tool, arguments, bundle=BUNDLE, now=NOON, principal=caller()).verdict is verdict


def caller(**changes: Any) -> Any:
    return a_principal(expires_at=NIGHT + 1, **changes)


def test_a_missing_amount_is_named() -> None:
    decision = decided("crm.refund", {"currency": "EUR"}, bundle=BUNDLE, now=NOON, principal=caller())
    (missed,) = decision.reason.near_misses
    assert (missed.field, missed.expected, missed.actual) == ("args.amount_cents", "more than 0", "missing")


def test_another_currency_never_asks_a_person_in_vain() -> None:
    arguments = {"currency": "USD", "amount_cents": 90000}
    assert decided("crm.refund", arguments, bundle=BUNDLE, now=NOON, principal=caller()).denied


def test_a_tainted_run_writes_nothing() -> None:
    run = a_run(labels=frozenset({"web"}))
    arguments = {"to": ["a@example.com"]}
    decision = decided("crm.send_email", arguments, bundle=BUNDLE, now=NOON, run=run, principal=caller())
    assert decision.reason.rule == "taint"


def test_at_night_the_wide_calls_rest_even_where_autonomy_was_earned() -> None:
    def verdict(now: int) -> Verdict:
        return decided(
            "crm.refund",
            {"currency": "EUR", "amount_cents": 90000},
            bundle=BUNDLE,
            now=now,
            principal=caller(),
            autonomy=AutonomyTier.AUTONOMOUS,
        ).verdict

    assert verdict(NOON) is ALLOW
    assert verdict(NIGHT) is DENY


def test_a_staging_agent_is_denied_by_the_gate_and_by_the_rule() -> None:
    staging = caller(environment="staging")
    arguments = {"to": ["a@example.com"]}
    walled = decided("crm.send_email", arguments, bundle=BUNDLE, now=NOON, principal=staging)
    assert walled.reason.code == "environment_mismatch"
    # the rule stands on its own: the gate is blind to a policy and tools that pretend to be of staging
    pretending = replace(
        BUNDLE,
        environment="staging",
        tools={name: replace(tool, environment="staging") for name, tool in BUNDLE.tools.items()},
    )
    ruled = decided(
        "crm.send_email", arguments, bundle=pretending, now=NOON, principal=staging, environment="staging"
    )
    assert ruled.reason.rule == "env-wall"
