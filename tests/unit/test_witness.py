"""Arguments that are built from conditions satisfy them, and reach as far as they allow."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.policy.condition import Setting, compile_conditions, judge
from interlock.core.policy.field import Facts
from interlock.core.policy.flaw import Flaws
from interlock.core.witness import UNBOUNDED, arguments


def worst(where: dict[str, Any], **over: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"scope": {}, "schema": {}, "measures": (), "sinks": (), **over}
    return next(arguments(where, **values))


FURTHEST: list[tuple[Any, Any]] = [
    ({"le": 50000}, 50000),
    ({"lt": 50000}, 49999),
    ({"ge": 3}, UNBOUNDED),
    ({"gt": 3, "le": 9, "ne": 9}, 8),
    ("EUR", "EUR"),
    ({"in": [1, 7, 3]}, 7),
    ({"not_in": [UNBOUNDED]}, UNBOUNDED + 1),
    ({"prefix": "T-"}, "T-x"),
    ({"suffix": "@example.com"}, "anyone@example.com"),
    ({"glob": "T-*"}, "T-*x"),
    ({"len": 4}, None),
    ({"len": {"lt": 3}}, None),
    ({"len": {"gt": 3}}, None),
    ({"len": {"ne": 3}}, None),
    ({"all_in": ["a", "b"]}, None),
    ({"all_in": ["a", "b"], "len": {"le": 1}}, ["a"]),
    ({"all_suffix": "@example.com", "len": {"le": 2}}, None),
    ({"any_not_in": [1]}, None),
    ({"contains": "web"}, None),
    ({"present": True}, None),
    ({"eq": "$$home"}, "$home"),
    ({"in": "$scope.team.ids"}, "b-long"),
    (True, True),
]


@pytest.mark.parametrize(("asked", "value"), FURTHEST)
def test_the_furthest_value_that_fits_comes_first(asked: Any, value: Any) -> None:
    scope = {"team": {"ids": ["a", "b-long"]}}
    found = worst({"args.x": asked}, scope=scope)
    if value is not None:
        assert found == {"x": value}
    clauses = compile_conditions({"args.x": asked}, Flaws(), Setting(scope=scope))
    assert clauses is not None
    assert judge(clauses, Facts(args=found, tool={})) is True


def test_an_argument_that_must_be_absent_is_left_out() -> None:
    assert worst({"args.x": {"present": False}, "args.y": 1}) == {"y": 1}


def test_what_cannot_be_satisfied_is_left_out() -> None:
    assert worst({"args.x": {"le": 1, "ge": 2}}) == {}
    assert worst({"args.x": {"in": []}}) == {}


def test_a_list_is_as_long_as_it_may_be() -> None:
    found = worst({"args.x": {"all_suffix": "@example.com", "len": {"le": 2}}})
    assert len(found["x"]) == 2
    assert len(worst({"args.x": {"len": {"gt": 3}}})["x"]) >= 4


def test_conditions_on_other_things_are_not_arguments() -> None:
    assert worst({"run.taints": {"contains": "web"}, "args.a.b": 1, "args.a.c": 2}) == {"a": {"b": 1, "c": 2}}


def test_what_decides_the_reach_is_unlimited_unless_limited() -> None:
    assert worst({}, measures=["args.n"], sinks=["args.to"]) == {"n": UNBOUNDED, "to": "anyone"}
    assert worst({"args.n": {"le": 5}}, measures=["args.n"], sinks=["args.n"]) == {"n": 5}


SCHEMA = {
    "required": ["n", "top", "kind", "flag", "many", "inner", "text", "fixed", "usual", "any", "a.b"],
    "properties": {
        "n": {"type": "integer", "maximum": 9},
        "top": {"type": "number"},
        "kind": {"enum": ["a", "b"]},
        "flag": {"type": "boolean"},
        "many": {"type": "array", "items": {"type": "string"}, "maxItems": 1},
        "inner": {"type": "object", "required": ["k"], "properties": {"k": {"const": 1}}},
        "text": {"type": "string", "minLength": 2},
        "fixed": {"const": "c"},
        "usual": {"default": "d", "type": "string"},
    },
}


def test_the_tool_s_own_schema_fills_what_it_requires() -> None:
    assert worst({"args.kind": {"in": ["a", "b"]}}, schema=SCHEMA) == {
        "n": 9,
        "top": UNBOUNDED,
        "kind": "a",
        "flag": True,
        "many": ["x"],
        "inner": {"k": 1},
        "text": "xx",
        "fixed": "c",
        "usual": "d",
        "any": "x",
    }
    assert worst({}, schema={"required": []}) == {}


def test_at_most_128_are_tried() -> None:
    where: dict[str, Any] = {f"args.a{n}": {"in": [1, 2, 3]} for n in range(9)}
    assert len(list(arguments(where, scope={}, schema={}, measures=(), sinks=()))) == 128
