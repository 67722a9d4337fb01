"""All documents of one environment become one value, or a list of everything that is wrong (A3, A5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.bundle import BundleInvalid, compile_bundle
from interlock.core.document.identity import Organisation, Person, Team
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.rule import Hours
from interlock.core.document.runbook import Runbook
from interlock.core.document.spending import Models
from interlock.core.document.workflow import Workflow
from interlock.core.model import Verdict, WireFamily
from interlock.core.model_route import Route, RoutingTable
from support.policies import Grant, Policy, a_bundle, a_rule, a_tool, a_workflow, documents


def test_a_bundle_holds_what_its_environment_may_see() -> None:
    elsewhere = Person(name="kim", email="k@example.com", environment="production")
    bundle = a_bundle(None, elsewhere)
    assert set(bundle.people) == {"maria", "deng"}
    assert set(bundle.tools) == {"crm.lookup", "crm.update"}
    assert set(bundle.servers) == {"crm"}
    assert set(bundle.agents) == {"refund-bot"}
    assert bundle.teams == {}
    assert elsewhere not in bundle.documents
    assert bundle.environment == "dev"


def test_a_bundle_knows_who_serves_which_model() -> None:
    spoken = (WireFamily.OPENAI,)
    provider = Provider(
        name="openai", base_url="https://x", wire_formats=spoken, models=(ProviderModel(name="m"),)
    )
    other = Provider(name="other", base_url="https://y", wire_formats=spoken, environment="production")
    organisation, runbook = Organisation(name="acme"), Runbook(name="r")
    bundle = a_bundle(None, provider, other, organisation, runbook)
    assert bundle.providers == {"openai": provider}
    assert [each.label for each in _chosen(bundle.routes, "m")] == ["openai/m"]
    assert (bundle.organisation, bundle.runbooks) == (organisation, {"r": runbook})
    assert a_bundle().organisation is None


def _chosen(routes: RoutingTable, model: str) -> tuple[Route, ...]:
    found = routes.choose(Models(allow=("*",)), model, WireFamily.OPENAI)
    assert isinstance(found, tuple)
    return found


def test_workflows_are_numbered_from_one() -> None:
    bundle = compile_bundle(documents(), environment="dev")
    assert bundle.workflows["refunds"].label == "refunds@1"


def test_an_unmapped_tool_stands_in_the_bundle_as_unmapped() -> None:
    bundle = a_bundle(a_workflow(Grant(tool="crm.new")))
    assert bundle.tools["crm.new"].document is None
    assert not bundle.tools["crm.new"].mapped


@given(st.randoms(use_true_random=False))
def test_the_digest_names_the_content_and_not_its_order(random: object) -> None:
    shuffled = documents()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert compile_bundle(shuffled, environment="dev").digest == a_bundle().digest


def test_any_change_gives_another_digest() -> None:
    changed = [
        a_bundle(a_workflow(Grant(tool="crm.lookup", max_calls=1))),
        a_bundle(a_workflow(Grant(tool="crm.lookup", max_calls=2))),
        a_bundle(None, Team(name="leads", members=("maria",))),
        a_bundle(tools=(a_tool(), a_tool("crm.lookup"))),
        a_bundle(),
    ]
    assert len({bundle.digest for bundle in changed}) == len(changed)


def test_all_problems_are_reported_at_once() -> None:
    workflow = a_workflow(
        Grant(tool="crm.lookup", where={"arg.x": 1}),
        owner="nobody",
        rules=(
            a_rule("a", when={"args.x": {"lt": 1.5}}),
            a_rule("b", unless_hours=Hours(tz="Mars/Base", days=(1,), start=8, end=18)),
        ),
    )
    org = Policy(name="org", rules=(a_rule("c", when={"tool.teir": "x"}), a_rule("d", then=Verdict.ALLOW)))
    with pytest.raises(BundleInvalid, match="6 problem") as invalid:
        a_bundle(workflow, org)
    assert {(problem.document[1], problem.path[1:]) for problem in invalid.value.problems} == {
        ("refunds", ("owner",)),
        ("refunds", ("tools", 0, "where", "arg.x")),
        ("refunds", ("rules", 0, "when", "args.x", "lt")),
        ("refunds", ("rules", 1, "unless_hours", "tz")),
        ("org", ("rules", 0, "when", "tool.teir")),
        ("org", ("rules", 1, "then")),
    }


def test_a_policy_is_checked_even_where_no_workflow_meets_it() -> None:
    org = Policy(name="org", rules=(a_rule(when={"args.x": {"gtt": 1}}),))
    with pytest.raises(BundleInvalid, match="unknown operator 'gtt'"):
        compile_bundle([org], environment="dev")


def test_a_policy_that_needs_a_scope_which_a_workflow_lacks_is_a_problem() -> None:
    org = Policy(name="org", rules=(a_rule(when={"args.x": {"not_in": "$scope.ids"}}),))
    with pytest.raises(BundleInvalid, match=r"\$scope.ids is not declared"):
        a_bundle(None, org)


@pytest.mark.parametrize("environment", [None, "dev"])
def test_a_name_declared_twice_for_one_environment_is_a_problem(environment: str | None) -> None:
    again = Person(name="maria", email="m@example.com", environment=environment)
    with pytest.raises(BundleInvalid, match="Person 'maria' is declared twice for dev"):
        a_bundle(None, again)


def test_compiling_is_told_the_time_zones() -> None:
    rule = a_rule(unless_hours=Hours(tz="Europe/Berlin", days=(1,), start=8, end=18))
    asked: list[str] = []

    def zone(name: str) -> object:
        asked.append(name)
        raise KeyError(name)

    with pytest.raises(BundleInvalid, match="unknown time zone"):
        compile_bundle(documents(a_workflow(rules=(rule,))), environment="dev", zone=zone)  # type: ignore[arg-type]
    assert set(asked) == {"Europe/Berlin"}


def test_a_workflow_that_grants_an_unknown_tool_is_still_checked_in_full() -> None:
    workflow = a_workflow(Grant(tool="erp.x"), rules=(a_rule(when={"args.x": {"gtt": 1}}),))
    with pytest.raises(BundleInvalid) as invalid:
        a_bundle(workflow)
    assert len(invalid.value.problems) == 2
    assert isinstance(workflow, Workflow)
