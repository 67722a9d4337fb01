"""What is said of a manifest before and after it is applied: ends, gaps, what stays behind (A3, H2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.document.identity import Agent, Organisation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import Provider, ProviderCredentials, ProviderModel
from interlock.core.document.spending import Budget, Models
from interlock.core.document.tool import Credentials, ToolServer
from interlock.core.model import DAY, WireFamily
from interlock.core.note import notes
from support.policies import NOW, Grant, a_reading_tool, a_tool, a_workflow, documents

ENV = "production"
UPDATE = Grant(tool="crm.update", where={"args.n": {"le": 5}})
PROVIDER = Provider(
    name="openai",
    base_url="https://a",
    wire_formats=(WireFamily.OPENAI,),
    models=(ProviderModel(name="m"),),
)


def declared(**changes: Any) -> list[AnyDocument]:
    return documents(a_workflow(UPDATE, **changes))


def server(expires: int | None) -> ToolServer:
    return ToolServer(
        name="crm", transport="stdio", command=("crm",), credentials=Credentials(expires=expires)
    )


def said(old: list[AnyDocument], new: list[AnyDocument], environment: str = ENV) -> tuple[str, ...]:
    return notes(old, new, environment=environment, now=NOW)


def test_what_to_know_is_said_before_and_after_an_apply() -> None:
    assert said(declared(), declared()) == ()
    assert "identity is not retired" in said(declared(), [])[0]
    other = replace(server(None), environment="staging")
    assert "other environments" in said([], [other])[0]


def test_credentials_are_warned_about_before_they_end() -> None:
    assert said([], [server(NOW + 31 * DAY)]) == ()
    assert "expire in 3 day(s)" in said([], [server(NOW + 3 * DAY)])[0]
    assert "have expired" in said([], [server(NOW)])[0]


def test_credentials_of_a_provider_are_warned_about_too() -> None:
    given = ProviderCredentials(api_key="secret://env/K", expires=NOW)
    assert said([], [replace(PROVIDER, credentials=given)]) == (
        "the credentials of provider openai have expired: its calls are refused",
    )


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [
        ("https://models.example.com/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000/v1", False),
        ("http://localhost/v1", False),
        ("http://[::1]/v1", False),
        ("http://models.example.com:8000/v1", True),
        ("http://localhost.example.com", True),
    ],
)
def test_a_credential_that_is_sent_unencrypted_is_said(base_url: str, warned: bool) -> None:
    for given in (ProviderCredentials(api_key="secret://env/K"), ProviderCredentials(headers={"x": "y"})):
        found = said([], [replace(PROVIDER, base_url=base_url, credentials=given)])
        assert bool(found) is warned
        assert all("unencrypted" in each for each in found)
    assert said([], [replace(PROVIDER, base_url=base_url)]) == ()


@pytest.mark.parametrize("models", [Models(pin={"main": "m"}), Models(allow=("m",))])
def test_models_without_any_budget_are_said(models: Models) -> None:
    budget = Budget(day=1)
    callers = declared(models=models)
    assert said([], callers) == ("workflow refunds may call models, and no budget limits what they cost",)
    assert said([], declared(models=models, budget=budget)) == ()
    payers: list[AnyDocument] = [
        Organisation(name="acme", budget=budget),
        Team(name="leads", members=("maria",), budget=budget),
        Agent(name="refund-bot", owner="maria", backup="deng", budget=budget),
    ]
    for each in payers:
        assert said([], [*(other for other in callers if other.name != each.name), each]) == ()
    assert said([], [*callers, Team(name="others", members=("deng",), budget=budget)]) != ()


def test_a_granted_tool_that_is_not_mapped_is_said_in_production() -> None:
    unmapped = documents(a_workflow(UPDATE), tools=(a_reading_tool(), a_tool(tier=None)))
    assert said([], unmapped) == ("tool crm.update is not mapped, so it cannot be called here",)
    assert said([], unmapped, "dev") == ()
