"""The versions of documents: what they cover, which comes next."""

from __future__ import annotations

from typing import Any

from interlock.core.document.identity import Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.rule import Policy
from interlock.core.document.spending import Budget, Customer, Models
from interlock.core.document.workflow import Grant, Webhook
from interlock.core.version import compiled, contents, next_versions
from support.policies import a_reading_tool, a_tool, a_workflow, documents

UPDATE = Grant(tool="crm.update", where={"args.n": {"le": 5}})
WIDER = Grant(tool="crm.update", where={"args.n": {"le": 9}})
ADMIN = Person(name="root", email="r@example.com", roles=("admin",))


def declared(*grants: Grant, **changes: Any) -> list[AnyDocument]:
    return list(documents(a_workflow(*(grants or (UPDATE,)), **changes)))


def test_a_workflow_gets_a_new_version_when_what_it_means_changes() -> None:
    first = next_versions({}, declared())
    assert set(first.values()) == {1}
    known = {name: (1, digest) for name, digest in contents(declared()).items()}
    assert next_versions(known, declared()) == first
    flow = ("Workflow", "refunds")
    assert next_versions(known, declared(WIDER))[flow] == 2
    slower = documents(a_workflow(UPDATE), tools=(a_reading_tool(), a_tool(delay=900)))
    assert next_versions(known, slower)[flow] == 2
    assert next_versions(known, [*declared(), Policy(name="p")])[flow] == 2
    assert next_versions(known, [*declared(), ADMIN])[flow] == 1


def test_a_budget_holds_for_open_runs_and_is_no_new_version() -> None:
    flow = ("Workflow", "refunds")
    known = {name: (1, digest) for name, digest in contents(declared()).items()}
    assert next_versions(known, declared(budget=Budget(run=1), customer=Customer(value="acme")))[flow] == 1
    assert next_versions(known, declared(webhook=Webhook(url="https://a/out")))[flow] == 1
    assert next_versions(known, declared(models=Models(allow=("*",))))[flow] == 2


def test_a_number_is_never_used_twice() -> None:
    known = {("Workflow", "refunds"): (7, "gone")}
    assert next_versions(known, declared())["Workflow", "refunds"] == 8


def test_a_compiled_bundle_carries_its_versions() -> None:
    bundle = compiled(declared(), {("Workflow", "refunds"): 7, ("Agent", "refunds"): 3}, "production")
    assert bundle.workflows["refunds"].label == "refunds@7"
