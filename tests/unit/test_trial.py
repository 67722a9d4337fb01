"""An imaginary call is decided as a real one would be."""

from __future__ import annotations

from interlock.core.bundle import compile_bundle
from interlock.core.document.workflow import Grant
from interlock.core.model import Gate, Verdict
from interlock.core.trial import Trial, ask
from support.policies import NOW, a_rule, a_workflow, documents

BUNDLE = compile_bundle(
    documents(
        a_workflow(
            Grant(tool="crm.update", where={"args.n": {"le": 5}}, max_calls=2),
            rules=(
                a_rule("tainted", then=Verdict.REQUIRE_APPROVAL, when={"run.taints": {"contains": "web"}}),
                a_rule("wide", then=Verdict.DENY, when={"reach.records": {"gt": 10}, "args.n": 1}),
            ),
        )
    ),
    environment="production",
)


def verdict(**changes: object) -> Verdict:
    values = {"workflow": "refunds", "tool": "crm.update", "arguments": {"n": 5}, "now": NOW, **changes}
    return ask(BUNDLE, Trial(**values)).verdict  # pyright: ignore[reportArgumentType]


def test_scope_tier_and_rules_speak() -> None:
    assert verdict() is Verdict.ALLOW_WITH_REVIEW
    assert verdict(arguments={"n": 6}) is Verdict.DENY
    assert verdict(calls={"crm.update": 2}) is Verdict.DENY
    assert verdict(labels=frozenset({"web"})) is Verdict.REQUIRE_APPROVAL
    assert verdict(arguments={"n": 1}, reach={"records": 11}) is Verdict.DENY


def test_what_does_not_exist_is_refused_by_the_scope() -> None:
    decision = ask(BUNDLE, Trial(workflow="nobody", tool="crm.update", now=NOW))
    assert (decision.verdict, decision.reason.gate) == (Verdict.DENY, Gate.SCOPE)


def test_a_known_schema_is_asked() -> None:
    trial = Trial(workflow="refunds", tool="crm.update", arguments={"n": 5}, now=NOW)
    decision = ask(BUNDLE, trial, check=lambda _: "n is not a number")
    assert (decision.verdict, decision.reason.gate) == (Verdict.DENY, Gate.SCHEMA)


def test_an_agent_that_is_not_declared_still_gets_an_answer() -> None:
    bundle = compile_bundle(documents(), environment="production")
    assert ask(bundle, Trial(workflow="refunds", tool="crm.lookup", now=NOW)).verdict is Verdict.ALLOW
