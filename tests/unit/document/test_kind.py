"""What identifies a declared document."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.document.identity import Person
from interlock.core.document.kind import KINDS, key
from support.policies import a_workflow


def test_kind_name_and_environment_identify_a_document() -> None:
    person = Person(name="maria", email="maria@example.com")
    assert key(person) == ("Person", "maria", "")
    assert key(replace(person, environment="dev")) == ("Person", "maria", "dev")
    assert KINDS["Workflow"] is type(a_workflow())
