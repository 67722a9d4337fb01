"""A name that was mistyped is answered with the one that was meant, or with what there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.missing import no_workflow
from support.policies import a_workflow, documents

BUNDLE = compile_bundle(documents(a_workflow()), environment="production")
(ONLY,) = BUNDLE.workflows.values()
MANY = replace(BUNDLE, workflows={f"flow-{each:02}": ONLY for each in range(12)})


@pytest.mark.parametrize(
    ("name", "bundle", "hint"),
    [
        ("refnds", BUNDLE, "Did you mean refunds?"),
        ("zzz", BUNDLE, "There are: refunds."),
        ("zzz", MANY, "flow-09 and 2 more."),
        ("refunds", None, "No workflow is in force."),
        ("refunds", replace(BUNDLE, workflows={}), "No workflow is in force."),
    ],
)
def test_the_hint_helps_whoever_mistyped(name: str, bundle: Bundle | None, hint: str) -> None:
    error = no_workflow(name, bundle)
    assert hint in error.hint
    assert repr(name) in error.message


def test_a_long_name_is_cut() -> None:
    assert len(no_workflow("x" * 5_000, BUNDLE).message) < 120
