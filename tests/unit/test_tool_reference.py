"""A second step is the last, makes final what could be taken back, and leaves people time (E4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interlock.core.bundle import BundleInvalid, compile_bundle
from interlock.core.document.tool import Exercise, FollowUp, Settlement
from support.policies import Companion, a_reading_tool, a_tool, documents

CALL = Companion(tool="crm.last", arguments={"id": "$result.id"})
FOLLOW_UP = FollowUp(tool="crm.last", arguments={"id": "$args.id"}, after=600)
SETTLEMENT = Settlement(confirm=CALL, void=Companion(tool="crm.undo", arguments={}), within=600)
UNDO = Companion(tool="crm.undo", arguments={})


def said(
    environment: str = "dev", last: dict[str, Any] | None = None, **changes: Any
) -> list[tuple[Any, str]]:
    tools = (
        a_reading_tool(), a_tool(**changes), a_tool("crm.undo"), a_tool("crm.last", **last or {})
    )  # fmt: skip
    try:
        compile_bundle(documents(None, tools=tools), environment=environment)
    except BundleInvalid as invalid:
        return [(each.path[1:], each.message) for each in invalid.problems]
    return []


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_what_can_be_taken_back_may_be_made_final(environment: str) -> None:
    assert said(environment, undo=UNDO, follow_up=FOLLOW_UP) == []
    assert said(environment, settlement=SETTLEMENT, exercise=Exercise(server="crm")) == []


FINAL = "a second step is the last: its tool has neither a follow_up nor a settlement"


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"follow_up": FOLLOW_UP}, ("follow_up",),
         "a follow_up makes final what could be undone until then, and this tool names no undo"),
        ({"settlement": SETTLEMENT, "undo": UNDO}, ("settlement",),
         "what is settled or voided needs neither an undo nor a follow_up beside it"),
        ({"settlement": SETTLEMENT, "follow_up": FOLLOW_UP}, ("settlement",),
         "what is settled or voided needs neither an undo nor a follow_up beside it"),
        ({"undo": UNDO, "follow_up": replace(FOLLOW_UP, tool="crm.update")}, ("follow_up", "tool"), FINAL),
        ({"undo": UNDO, "follow_up": FOLLOW_UP, "last": {"settlement": SETTLEMENT}}, ("follow_up", "tool"),
         FINAL),
        ({"settlement": replace(SETTLEMENT, confirm=Companion(tool="crm.none", arguments={}))},
         ("settlement", "confirm", "tool"), "unknown Tool 'crm.none'"),
        ({"settlement": replace(SETTLEMENT, void=Companion(tool="crm.undo", arguments={"a": "$key"}))},
         ("settlement", "void", "arguments", "a"),
         "'$key' refers to nothing known here: use $args.NAME or $result.NAME"),
        ({"settlement": replace(SETTLEMENT, within=0)}, ("settlement", "within"),
         "people need some time: expected at least 1s"),
    ],
)  # fmt: skip
def test_a_second_step_that_cannot_be_is_a_problem(
    changes: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    assert (path, message) in said(**changes)


def test_in_production_people_have_at_least_ten_minutes() -> None:
    hasty = replace(FOLLOW_UP, after=599)
    assert said(undo=UNDO, follow_up=hasty) == []
    assert said("production", undo=UNDO, follow_up=hasty) == [
        (("follow_up", "after"), "in production people need at least 10m")
    ]
