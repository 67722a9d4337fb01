"""What acts at once, what waits, for whom, and how versions are counted (A3, G7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.authority import Direction
from interlock.core.bundle import BundleInvalid
from interlock.core.change import (
    affected,
    compiled,
    effective,
    may_decide,
    stage,
)
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.rule import Policy
from interlock.core.document.spending import Models
from interlock.core.document.tool import ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import Verdict, WireFamily
from support.policies import a_rule, a_workflow, documents

ENV = "production"
UPDATE = Grant(tool="crm.update", where={"args.n": {"le": 5}})
WIDER = Grant(tool="crm.update", where={"args.n": {"le": 9}})


def declared(*grants: Grant, people: tuple[Person, ...] = (), **changes: Any) -> list[AnyDocument]:
    return [*documents(a_workflow(*(grants or (UPDATE,)), **changes)), *people]


PROVIDER = Provider(
    name="openai",
    base_url="https://a",
    wire_formats=(WireFamily.OPENAI,),
    models=(ProviderModel(name="m"),),
)
ADMIN = Person(name="root", email="r@example.com", roles=("admin",))


def test_the_same_documents_change_nothing() -> None:
    staged = stage(declared(), declared(), environment=ENV)
    assert (staged.differences, staged.acts, staged.waits) == ((), None, False)


def test_a_bundle_is_of_the_documents_of_its_environment_alone() -> None:
    elsewhere = replace(ADMIN, name="eve", environment="staging")
    bundle = compiled([*declared(), ADMIN, elsewhere], ENV)
    assert (bundle.environment, bundle.documents) == (ENV, effective([*declared(), ADMIN], ENV))


def test_a_narrowing_acts_at_once_as_a_whole() -> None:
    new = declared(replace(UPDATE, max_calls=1))
    staged = stage(declared(), new, environment=ENV)
    assert staged.acts == effective(new, ENV)
    assert not staged.waits


def test_a_widening_waits_and_nothing_acts() -> None:
    staged = stage(declared(), declared(WIDER), environment=ENV)
    assert staged.acts is None
    assert staged.waits
    assert not staged.together


def test_an_agreed_widening_acts_at_once() -> None:
    staged = stage(declared(), declared(WIDER), environment=ENV, agreed=True)
    assert staged.acts == effective(declared(WIDER), ENV)
    assert not staged.waits


def test_of_a_mixed_change_the_narrowing_acts_and_only_the_widening_waits() -> None:
    staged = stage(declared(), declared(replace(WIDER, max_calls=1)), environment=ENV)
    assert staged.acts is not None
    [flow] = [each for each in staged.acts if isinstance(each, Workflow)]
    assert flow.tools == (replace(UPDATE, max_calls=1),)
    assert [each.direction for each in staged.waiting] == [Direction.WIDENS]
    assert len(staged.differences) == 2


def test_a_document_that_is_still_referred_to_stays_until_the_rest_is_agreed() -> None:
    old = [*declared(), Agent(name="new-bot", owner="maria")]
    new = [
        each for each in declared(replace(UPDATE, max_calls=1), agent="new-bot") if each.name != "refund-bot"
    ]
    staged = stage(old, [*new, Agent(name="new-bot", owner="maria")], environment=ENV)
    assert staged.acts is not None
    assert "refund-bot" in {each.name for each in staged.acts}
    [flow] = [each for each in staged.acts if isinstance(each, Workflow)]
    assert (flow.agent, flow.tools[0].max_calls) == ("refund-bot", 1)


def test_a_narrowing_that_cannot_be_taken_out_waits_with_the_whole() -> None:
    rule = a_rule("moved", tool="crm.update", then=Verdict.DENY)
    old = declared(rules=(rule,))
    new = [*declared(), Policy(name="all", rules=(rule,))]
    staged = stage(old, new, environment=ENV)
    assert staged.acts is None
    assert staged.together
    assert len(staged.waiting) == len(staged.differences) == 2


def test_a_bundle_that_does_not_compile_is_refused() -> None:
    with pytest.raises(BundleInvalid):
        stage(declared(), declared(Grant(tool="nobody.knows")), environment=ENV)


def test_documents_of_other_environments_do_not_count() -> None:
    other = ToolServer(name="elsewhere", transport="stdio", command=("x",), environment="staging")
    assert not stage(declared(), [*declared(), other], environment=ENV).differences
    assert effective([other], "staging") == (other,)


def test_whoever_decides_is_named_by_what_is_in_force_and_is_never_the_author() -> None:
    old = declared(people=(ADMIN,))
    new = declared(WIDER, people=(ADMIN, Person(name="crony", email="c@example.com", roles=("admin",))))
    staged = stage(old, new, environment=ENV)
    assert may_decide("deng", staged.waiting, old) == ("maria", "root")
    assert may_decide("maria", staged.waiting, old) == ("root",)
    assert may_decide("root", staged.waiting, old) == ("maria",)


def test_the_owner_of_another_workflow_has_no_say() -> None:
    old = [*declared(), Workflow(name="other", agent="refund-bot", owner="deng")]
    staged = stage(old, [*declared(WIDER), old[-1]], environment=ENV)
    assert affected(staged.waiting, old) == {"refunds"}
    assert may_decide("nobody", staged.waiting, old) == ("maria",)


def test_a_workflow_is_touched_through_its_agent_its_tools_and_their_servers() -> None:
    def touched(old: list[AnyDocument], new: list[AnyDocument]) -> frozenset[str]:
        return affected(stage(old, new, environment=ENV).waiting, old)

    def swap(name: str, **changes: object) -> list[AnyDocument]:
        return [replace(each, **changes) if each.name == name else each for each in declared()]

    assert touched(declared(), swap("refund-bot", owner="deng", backup="maria")) == {"refunds"}
    assert touched(declared(), swap("crm", stateless=True)) == {"refunds"}
    assert touched(declared(), swap("crm.update", delay=900)) == {"refunds"}
    assert touched(declared(), swap("crm.lookup", sinks=())) == frozenset()


def test_a_provider_touches_the_workflows_that_may_call_its_models() -> None:
    caller = a_workflow(UPDATE, name="caller", models=Models(allow=("m",)))
    old: list[AnyDocument] = [*declared(), caller, PROVIDER, replace(PROVIDER, name="other", models=())]
    for moved in ("openai", "other"):
        new = [replace(each, base_url="https://b") if each.name == moved else each for each in old]
        waiting = stage(old, new, environment=ENV).waiting
        assert affected(waiting, old) == ({"caller"} if moved == "openai" else frozenset())
