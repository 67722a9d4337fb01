"""A decision in lines that a person or a model can act on (A5)."""

from __future__ import annotations

from interlock.core.explain import explain
from interlock.core.model import Verdict
from support.policies import Grant, a_bundle, a_rule, a_workflow, decided


def test_a_refusal_says_what_would_have_passed() -> None:
    workflow = a_workflow(Grant(tool="crm.update", where={"args.amount_cents": {"le": 50000}}))
    assert explain(decided("crm.update", {"amount_cents": 90000}, bundle=a_bundle(workflow))) == (
        "deny: Refused; nothing was executed.",
        "  constraints [out_of_scope]: refunds@7 grants crm.update within limits; "
        "this call is outside: args.amount_cents.",
        "    args.amount_cents: up to 50000; this was 90000",
    )


def test_what_determined_the_verdict_comes_first() -> None:
    workflow = a_workflow(rules=(a_rule("second", then=Verdict.REQUIRE_APPROVAL),))
    lines = explain(decided("crm.update", bundle=a_bundle(workflow)))
    assert lines[0] == "require_approval: Not executed yet: a person must approve it first."
    assert lines[1].startswith("  rules second [rule_require_approval]: The rule second asks for")
    assert lines[2].startswith("  approval [tier_limited_write]: The floor")
