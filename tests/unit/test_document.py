"""Declared documents as values: when a map entry is complete, and what identifies a document (A1)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from interlock.core.document import KINDS, Baseline, FailureMode, Person, Provider, Runbook, key
from interlock.core.model import WireFamily
from support.policies import a_tool, a_workflow


@pytest.mark.parametrize("missing", ["tier", "effect", "blast_radius"])
def test_a_map_entry_is_complete_with_tier_effect_and_blast_radius(missing: str) -> None:
    assert a_tool().mapped
    assert not replace(a_tool(), **{missing: None}).mapped


def test_kind_name_and_environment_identify_a_document() -> None:
    person = Person(name="maria", email="maria@example.com")
    assert key(person) == ("Person", "maria", "")
    assert key(replace(person, environment="dev")) == ("Person", "maria", "dev")
    assert KINDS["Workflow"] is type(a_workflow())


def test_a_document_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        a_tool().name = "other"  # type: ignore[misc]


def test_a_runbook_says_what_it_still_needs() -> None:
    mode = FailureMode(name="runaway", symptoms="cost", first_action="look", escalate_when="it goes on")
    whole = Runbook(
        name="refunds",
        owner="maria",
        baseline=Baseline(success_rate=9_900, latency=45_000_000, cost_per_run=0, runs_per_hour=0),
        failure_modes=(mode,),
        escalation=("deng",),
        rollback="interlock rollback refunds",
    )
    assert whole.missing == ()
    assert Runbook(name="refunds").missing == (
        "baseline.success_rate",
        "baseline.latency",
        "baseline.cost_per_run",
        "baseline.runs_per_hour",
        "failure_modes",
        "escalation",
        "rollback",
        "owner",
    )


@pytest.mark.parametrize(
    ("base_url", "openai", "anthropic"),
    [
        ("https://x", "https://x/v1", "https://x"),
        ("https://x/", "https://x/v1", "https://x"),
        ("https://x:8000/v1", "https://x:8000/v1", "https://x:8000"),
        ("https://x/api/v1/", "https://x/api/v1", "https://x/api"),
        ("https://x/v1beta/openai", "https://x/v1beta/openai", "https://x/v1beta/openai"),
        ("https://x/anthropic", "https://x/anthropic", "https://x/anthropic"),
    ],
)
def test_one_base_url_serves_the_sdks_of_both_families(base_url: str, openai: str, anthropic: str) -> None:
    provider = Provider(name="p", base_url=base_url, wire_formats=tuple(WireFamily))
    assert provider.address(WireFamily.OPENAI) == openai
    assert provider.address(WireFamily.ANTHROPIC) == anthropic
