"""Merging single fields: the words, and the value that may stand at once."""

from __future__ import annotations

from interlock.core import merge
from interlock.core.document.tool import Companion
from interlock.core.document.workflow import Grant
from interlock.core.merge import NARROWS, NEITHER, WIDENS


def test_a_limit_says_where_it_came_from() -> None:
    value, [change] = merge.lower("calls a run")(5, None)
    assert (value, change.words) == (5, "calls a run widened from 5 to no limit")
    value, [change] = merge.higher("floor")(None, 7)
    assert (value, change.words, change.direction) == (7, "floor narrowed from no limit to 7", NARROWS)


def test_plain_values_are_said_briefly() -> None:
    def words(old: object, new: object) -> str:
        return merge.value("x")(old, new)[1][0].words

    assert words(None, ("a", "b")) == "x changed from nothing to a, b"
    assert words(True, False) == "x changed from yes to no"
    assert words(1, {"a": 1, "b": [True, {}]}) == "x changed from 1 to {a: 1, b: [yes, nothing]}"
    assert words("a" * 1_000, ("a" * 1_001,)).endswith(f"{'a' * 1_000} … (cut off)")


def test_a_changed_undo_says_what_is_called_and_with_what() -> None:
    old = Companion(tool="crm.restore", arguments={"id": "$args.id"})
    new = Companion(tool="crm.restore", arguments={"id": "$result.id"}, within=60)
    _, [change] = merge.value("undo")(old, new)
    assert change.words == (
        "undo changed from {tool: crm.restore, arguments: {id: $args.id}}"
        " to {tool: crm.restore, arguments: {id: $result.id}, within: 60}"
    )


def test_one_name_more_and_one_less_is_two_changes() -> None:
    value, changes = merge.names("role")(("a", "b"), ("b", "c"))
    assert value == ("b",)
    assert [(each.words, each.direction) for each in changes] == [
        ("role c added", WIDENS),
        ("role a removed", NARROWS),
    ]


def test_of_a_mapping_what_was_there_stays_until_somebody_agrees() -> None:
    value, changes = merge.entries("degradation of")(
        {"a": "x", "b": "y", "c": "z"}, {"b": "w", "c": "z", "d": "v"}
    )
    assert value == {"b": "y", "c": "z"}
    assert [(each.field, each.words, each.direction) for each in changes] == [
        ("a", "degradation of a removed", NARROWS),
        ("b", "degradation of b changed from y to w", WIDENS),
        ("d", "degradation of d added: v", WIDENS),
    ]


def test_guards_only_pile_up_until_somebody_agrees() -> None:
    value, changes = merge.guards("sink")(("a",), ("b",))
    assert value == ("b", "a")
    assert {each.direction for each in changes} == {WIDENS, NARROWS}


def test_a_record_of_harmless_changes_keeps_the_rest() -> None:
    old, new = Grant(tool="s.t", max_calls=3), Grant(tool="s.t", max_calls=2)
    value, [change] = merge.record(old, new, {"max_calls": merge.lower("calls")})
    assert (value, change.field) == (new, "max_calls")
    value, [change] = merge.record(old, new, {})
    assert (value, change.direction) == (old, WIDENS)


def test_a_section_that_comes_or_goes_has_opposite_directions() -> None:
    within = merge.inside("note", merge.text("note"), absent=NEITHER)
    assert within(None, "x")[1][0].direction is NEITHER
    assert within("x", "y")[0] == "y"


def test_conditions_of_a_grant_merge_one_by_one() -> None:
    old = {"args.a": {"le": 5}, "args.b": 1, "args.same": 1}
    new = {"args.a": {"le": 9}, "args.c": 2, "args.same": 1}
    value, changes = merge.where(old, new)
    assert value == {"args.a": {"le": 5}, "args.b": 1, "args.c": 2, "args.same": 1}
    assert [each.words for each in changes] == [
        "args.a widened from up to 5 to up to 9",
        "args.b may now be anything (was 1)",
        "args.c must now be 2",
    ]
