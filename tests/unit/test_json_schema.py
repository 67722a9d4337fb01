"""What a schema says of a value is read as far as it can be told; what is not said is not made up."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.json_schema import kind_of, kinds, member, needed, plain

ROOT: dict[str, Any] = {
    "$defs": {
        "Order": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "a/b": {"type": "boolean"},
        "Loop": {"$ref": "#/$defs/Loop"},
    },
}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"$ref": "#/$defs/Order"}, {"object"}),
        ({"$ref": "#/$defs/a~1b"}, {"boolean"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"integer", "null"}),
        ({"oneOf": [{"$ref": "#/$defs/Order"}, {"const": None}]}, {"object", "null"}),
        ({"allOf": [{"type": "string"}, {"minLength": 3}]}, {"string"}),
        ({"enum": ["a", 1]}, {"string", "integer"}),
        ({"const": 1.5}, {"number"}),
        ({"anyOf": [{"type": "integer"}, {}]}, set()),
        ({"anyOf": [{"type": "integer"}, True]}, set()),
        ({"$ref": "https://example.com/schema"}, set()),
        ({"$ref": "#/$defs/Nobody"}, set()),
        ({"$ref": "#/$defs/Loop"}, set()),
        ({"$ref": 5}, set()),
        ({"type": 5}, set()),
        ({"type": []}, set()),
        ({}, set()),
    ],
)
def test_the_kinds_of_a_value_are_those_that_every_alternative_names(
    schema: dict[str, Any], said: set[str]
) -> None:
    assert kinds(schema, ROOT) == said


ORDERS: dict[str, Any] = {
    "type": "object",
    "properties": {"order": {"$ref": "#/$defs/Order"}, "lines": {"type": "array", "items": {"const": 1}}},
}


@pytest.mark.parametrize(
    ("schema", "step", "found"),
    [
        (ORDERS, "order", {"$ref": "#/$defs/Order"}),
        (ORDERS, "ordre", None),
        (ORDERS | {"additionalProperties": True}, "ordre", {}),
        (ORDERS | {"additionalProperties": False}, "ordre", None),
        (ORDERS | {"patternProperties": {"^o": {}}}, "ordre", {}),
        (ORDERS | {"if": {"required": ["a"]}}, "ordre", {}),
        (ORDERS["properties"]["lines"], "0", {"const": 1}),
        (ORDERS["properties"]["lines"], "id", None),
        ({"type": ["array", "object"]}, "id", {}),
        ({"type": "array", "items": False}, "0", {}),
        ({"$ref": "#/$defs/Order"}, "id", {"type": "integer"}),
        ({"type": "string"}, "id", None),
        ({"type": "object"}, "id", {}),
        ({"properties": {"id": True}}, "id", {}),
        ({"properties": 5}, "id", {}),
        ({"properties": {}}, "id", None),
        ({}, "id", {}),
        ({"$ref": "#/$defs/Loop"}, "id", {}),
        ({"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}]}, "id", {"type": "integer"}),
        ({"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}]}, "di", None),
        ({"anyOf": [{"properties": {"a": {"const": 1}}}, {}]}, "a", {"anyOf": [{}, {"const": 1}]}),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {}}}]}, "a", {"const": 1}),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, "c", None),
    ],
)
def test_what_a_step_leads_to_is_told_left_open_or_denied(
    schema: dict[str, Any], step: str, found: Any
) -> None:
    assert member(schema, ROOT, step) == found


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({"$ref": "#/$defs/Order"}, ["id"]),
        ({"required": ["a", 5]}, ["a"]),
        ({"required": "a"}, []),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, []),
    ],
)
def test_a_name_is_needed_where_there_is_one_way_to_be(schema: dict[str, Any], names: list[str]) -> None:
    assert needed(schema, ROOT) == names


@pytest.mark.parametrize(
    ("value", "kind"),
    [("a", "string"), (1, "integer"), (1.0, "number"), (True, "boolean"), ({}, "object"), ([], "array")],
)
def test_a_value_is_of_one_kind(value: Any, kind: str) -> None:
    assert kind_of(value) == kind
    assert kind_of(None) == "null"


@pytest.mark.parametrize("choices", [2, 99, 100_000])
def test_a_schema_without_end_is_given_up_soon(choices: int) -> None:
    schema: dict[str, Any] = {"anyOf": [{"$ref": "#"}] * choices}
    started = time.perf_counter()
    assert plain(schema, schema) == ()
    assert kinds(schema, schema) == frozenset()
    assert member(schema, schema, "any") == {}
    assert time.perf_counter() - started < 2


def test_a_schema_with_very_many_keywords_and_members_is_read_soon() -> None:
    unknown = {str(each): each for each in range(100_000)}
    schema: dict[str, Any] = {"anyOf": [{"$ref": "#"}] * 100_000, **unknown}
    started = time.perf_counter()
    assert kinds(schema, schema) == frozenset()
    assert member({"allOf": [{"properties": unknown}] * 100}, ROOT, "7") == {}
    assert member({"allOf": [{"properties": unknown}] * 101}, ROOT, "no") == {}
    assert kinds({"enum": ["a"] * 1_001}, ROOT) == frozenset()
    assert member({"$ref": "#" + "/$defs" * 1_000}, ROOT, "no") == {}
    assert time.perf_counter() - started < 2


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["a", "#", "#/anyOf/0", "object", "array"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "anyOf", "allOf", "$ref", "properties", "items", "required", "a", "enum"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(
    st.dictionaries(st.sampled_from(["type", "anyOf", "allOf", "$ref", "properties", "items", "enum"]), _JSON)
)
def test_a_schema_that_makes_no_sense_breaks_nothing(schema: dict[str, Any]) -> None:
    for step in ("a", "0"):
        found = member(schema, schema, step)
        assert found is None or kinds(found, schema) is not None
    assert isinstance(needed(schema, schema), list)
