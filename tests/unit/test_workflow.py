"""A workflow's rules are indexed by tool, with "*" and the organisation's rules folded in (A3, A5)."""

from __future__ import annotations

from interlock.core.model import Capability, Verdict
from support.policies import Grant, Policy, a_bundle, a_rule, a_workflow

REVIEW = Verdict.ALLOW_WITH_REVIEW


def test_rules_are_indexed_by_granted_tool() -> None:
    workflow = a_workflow(
        rules=(
            a_rule("all", "*", REVIEW),
            a_rule("mine", "crm.update", REVIEW),
            a_rule("writes", "*", REVIEW, when={"tool.effect": {"ne": "read"}}),
        )
    )
    org = Policy(name="org", rules=(a_rule("org", "*", REVIEW), a_rule("other", "crm.lookup", REVIEW)))
    rules = a_bundle(workflow, org).workflows["refunds"].rules
    assert [rule.id for rule in rules["crm.lookup"]] == ["all", "org", "other"]
    assert [rule.id for rule in rules["crm.update"]] == ["all", "mine", "writes", "org"]


def test_a_workflow_knows_its_version_and_label() -> None:
    workflow = a_bundle(version=12).workflows["refunds"]
    assert (workflow.version, workflow.label) == (12, "refunds@12")


def test_a_policy_reads_the_scope_of_each_workflow_it_meets() -> None:
    org = Policy(name="org", rules=(a_rule(when={"args.id": {"not_in": "$scope.ids"}}),))
    one = a_workflow(Grant(tool="crm.lookup"), scope={"ids": [1]})
    two = a_workflow(Grant(tool="crm.lookup"), name="other", scope={"ids": [2]})
    bundle = a_bundle(one, two, org)
    said = [bundle.workflows[name].rules["crm.lookup"][0].hit.message for name in ("refunds", "other")]
    assert "none of 1" in said[0]
    assert "none of 2" in said[1]


def test_switches_become_capabilities() -> None:
    workflow = a_workflow(elicitation=True, completion=True, resources=("file:///a",), prompts=("p",))
    capabilities = a_bundle(workflow).workflows["refunds"].capabilities
    assert capabilities.switches == {Capability.ELICITATION, Capability.COMPLETION}
    assert capabilities.resources == ("file:///a",)
    assert capabilities.prompts == ("p",)


def test_where_people_are_asked_no_client_is() -> None:
    workflow = a_workflow(elicitation="people")
    assert a_bundle(workflow).workflows["refunds"].capabilities.switches == frozenset()
