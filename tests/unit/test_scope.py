"""What a workflow may do at all (A3)."""

from __future__ import annotations

import pytest

from interlock.core.model import Capability
from interlock.core.policy.condition import Setting, misses
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaws
from interlock.core.scope import CompiledCapabilities, compile_grant, wanders
from support.policies import Grant


def test_a_grant_names_every_limit_that_a_call_misses() -> None:
    grant = compile_grant(
        Grant(tool="x.y", where={"args.a": 1, "args.b": {"le": 2}}), Flaws(), Setting(scope={})
    )
    assert misses(grant.where, Facts(args={"a": 1, "b": 2}, tool={})) == ()
    assert [each.field for each in misses(grant.where, Facts(args={"b": 3}, tool={}))] == ["args.a", "args.b"]


def test_a_negative_number_of_calls_is_a_load_error() -> None:
    flaws = Flaws()
    compile_grant(Grant(tool="x.y", max_calls=-1), flaws, Setting(scope={}))
    assert [flaw.path for flaw in flaws.found] == [("max_calls",)]


def test_no_calls_may_be_granted() -> None:
    flaws = Flaws()
    assert compile_grant(Grant(tool="x.y", max_calls=0), flaws, Setting(scope={})).max_calls == 0
    assert not flaws.found


@pytest.mark.parametrize(
    ("capability", "name", "permitted"),
    [
        (Capability.RESOURCE, "file:///repo/README.md", True),
        (Capability.RESOURCE, "file:///etc/passwd", False),
        (Capability.PROMPT, "triage", True),
        (Capability.PROMPT, "triage2", False),
        (Capability.SAMPLING, "", True),
        (Capability.ELICITATION, "", False),
        (Capability.COMPLETION, "", False),
    ],
)
def test_capabilities_are_granted_by_name_or_by_switch(
    capability: Capability, name: str, permitted: bool
) -> None:
    capabilities = CompiledCapabilities(
        resources=("file:///repo/*",), prompts=("triage",), switches=frozenset({Capability.SAMPLING})
    )
    assert capabilities.permit(capability, name) is permitted
    assert not CompiledCapabilities().permit(capability, name)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///repo/../etc/passwd",
        "file:///repo/./secret",
        "file:///repo/..",
        "file:///repo/%2e%2e/etc/passwd",
        "file:///repo/%2E./etc/passwd",
        "file:///repo/a%2f..%2f..%2fetc",
        "file:///repo/%252e%252e%252fetc",
        "file:///repo/%25252525252e%25252525252e/etc",
        "file:///repo/..;x=1/etc",
        "file:///repo\\..\\etc",
        "file:///repo/%5c..%5cetc",
        "file:///repo/\uff0e\uff0e/etc",
        "file:///repo/a%00.md",
        "file:///repo/a\n/b",
    ],
)
def test_a_uri_that_leads_elsewhere_is_in_no_pattern(uri: str) -> None:
    assert wanders(uri)
    assert not CompiledCapabilities(resources=("file:///repo/*", "*")).permit(Capability.RESOURCE, uri)
    assert CompiledCapabilities(resources=(uri,)).permit(Capability.RESOURCE, uri), "it was named as it is"


@pytest.mark.parametrize(
    "uri", ["file:///repo/a..b/.hidden/...", "crm://customers/7%2F8", "x:y", "", "shop://a?b=%41&c=d.e"]
)
def test_an_ordinary_uri_leads_where_it_reads(uri: str) -> None:
    assert not wanders(uri)
