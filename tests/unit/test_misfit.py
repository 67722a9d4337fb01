"""A derived call is held against the schemas of both tools: its names, and the kinds of its values."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.document.tool import Companion
from interlock.core.misfit import UNKNOWN, Shape, misfits

GIVEN: dict[str, Any] = {
    "properties": {
        "order": {"type": "integer"},
        "name": {"type": "string"},
        "any": {},
        "either": {"type": ["string", "null"]},
        "deep": {"properties": {"flag": {"type": "boolean"}}},
    }
}


RESULT: dict[str, Any] = {
    "$defs": {"Line": {"properties": {"sku": {"type": "string"}, "count": {"type": "integer"}}}},
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "more": {"type": "object", "additionalProperties": True},
    },
}


def said(value: Any, wanted: Any, given: Shape = Shape(GIVEN, RESULT)) -> list[str]:
    call = Companion(tool="crm.restore", arguments={"id": value})
    taken = Shape({"properties": {"id": wanted}}, {})
    return [message for _, message in misfits(call, given, taken)]


@pytest.mark.parametrize(
    ("value", "wanted", "unlike"),
    [
        ("$args.order", "string", "string, not as integer"),
        ("$args.name", "integer", "integer, not as string"),
        ("$args.deep.flag", "string", "string, not as boolean"),
        ("$args.either", "integer", "integer, not as null or string"),
        (7, "string", "string, not as integer"),
        (True, "integer", "integer, not as boolean"),
        (None, "string", "string, not as null"),
        ("$$args.order", "integer", "integer, not as string"),
        (["$args.order"], "object", "object, not as array"),
        ({"a": 1}, "array", "array, not as object"),
        (1.5, ["string", "null"], "null or string, not as number"),
        ("$result.id", "integer", "integer, not as string"),
        ("$result.lines", "string", "string, not as array"),
        ("$result.lines.0.count", "string", "string, not as integer"),
        ("$result.note", "boolean", "boolean, not as null or string"),
    ],
)
def test_a_value_of_another_kind_than_its_argument_is_named(value: Any, wanted: Any, unlike: str) -> None:
    assert said(value, {"type": wanted}) == [f"crm.restore takes 'id' as {unlike}"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("$args.order", {"type": "number"}),
        (1.0, {"type": "integer"}),
        ("$args.either", {"type": "string"}),
        ("$args.any", {"type": "string"}),
        ("$result.id", {"type": "string"}),
        ("$result.lines.7.sku", {"enum": ["a", "b"]}),
        ("$result.note", {"type": "string"}),
        ("$result.more.or.less", {"type": "string"}),
        (["$result.id", "$args.name"], {"type": "array", "items": {"type": "string"}}),
        ({"a": {"b": "$args.order"}}, {"properties": {"a": {"properties": {"b": {"type": "number"}}}}}),
        ({"a": 1}, {"type": "object", "properties": {"a": {}}, "required": ["a"]}),
        ("$args.order", {}),
        ("$args.order", True),
        ("$args.order", {"type": 5}),
    ],
)
def test_a_value_that_may_fit_is_not_judged(value: Any, wanted: Any) -> None:
    assert said(value, wanted) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("$args.nope", "the tool has no argument 'nope'"),
        ("$args.deep.else", "the tool has no argument 'deep.else'"),
        ("$args.order.id", "the tool has no argument 'order.id'"),
        ("$result.idd", "the tool's result has no 'idd'"),
        ("$result.lines.first", "the tool's result has no 'lines.first'"),
        ("$result.lines.0.price", "the tool's result has no 'lines.0.price'"),
        ("$result.id.value", "the tool's result has no 'id.value'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_once(value: str, message: str) -> None:
    assert said(value, {"type": "string"}) == [message]
    assert said(value, {"type": "string"}, given=UNKNOWN) == []
    assert said({"x": [value]}, {}) == [message]


INNER = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "counts": {"type": "array", "items": {"type": "integer"}}},
    "required": ["sku"],
}


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ({"sku": "$result.lines.0.count"}, ["crm.restore takes 'id.sku' as string, not as integer"]),
        (
            {"sku": "a", "counts": [1, "$args.name"]},
            ["crm.restore takes 'id.counts.1' as integer, not as string"],
        ),
        ({"sku": "a", "size": 1}, ["crm.restore has no argument 'id.size'"]),
        ({"counts": []}, ["crm.restore requires the argument 'id.sku'"]),
        (
            [{"sku": "$args.nope"}],
            ["crm.restore takes 'id' as object, not as array", "the tool has no argument 'nope'"],
        ),
    ],
)
def test_what_is_within_a_value_is_held_against_its_schema_too(value: Any, messages: list[str]) -> None:
    assert said(value, INNER) == messages
