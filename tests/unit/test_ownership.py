"""Who answers for an agent may let it in; who runs the platform may only stop it."""

from __future__ import annotations

import pytest

from interlock.core.ownership import Owners, may_enrol, may_start, may_stop

OWNERS = Owners(owner="maria", backup="deng")


@pytest.mark.parametrize(
    ("person", "role", "enrol", "stop", "start"),
    [
        ("maria", "agent_owner", True, True, True),
        ("deng", "agent_owner", True, True, True),
        ("vera", "agent_owner", False, False, False),
        ("maria", "viewer", False, False, False),
        ("otto", "operator", False, True, True),
        ("dana", "developer", False, False, True),
        ("ada", "admin", True, True, True),
        ("aaron", "approver", False, False, False),
    ],
)
def test_the_table_of_who_may_what(person: str, role: str, enrol: bool, stop: bool, start: bool) -> None:
    assert may_enrol(person, {role}, OWNERS) is enrol
    assert may_stop(person, {role}, OWNERS) is stop
    assert may_start(person, {role}, OWNERS) is start


def test_without_a_backup_nobody_stands_in() -> None:
    assert not may_enrol("deng", {"agent_owner"}, Owners(owner="maria"))
