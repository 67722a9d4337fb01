"""What a workflow may do at all (A3)."""

from __future__ import annotations

import pytest

from interlock.core.model import Capability
from interlock.core.policy.condition import Setting, misses
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaws
from interlock.core.scope import CompiledCapabilities, compile_grant
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
