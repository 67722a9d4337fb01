"""Values made from a tool's schema are what it asks for; a schema that makes no sense breaks nothing (A4)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.sample import UNBOUNDED, capped, property_of, required, samples


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"enum": ["b", "a"]}, ["b", "a"]),
        ({"enum": [1, "a", 70, True]}, [70, 1, "a", True]),
        ({"examples": ["T-1"], "type": "string"}, ["T-1", "x"]),
        ({"const": None}, [None]),
        ({"default": 7, "type": "integer"}, [UNBOUNDED, 7]),
        ({"type": "integer"}, [UNBOUNDED]),
        ({"type": "integer", "maximum": 9}, [9]),
        ({"type": "integer", "exclusiveMaximum": 9}, [8]),
        ({"type": "integer", "maximum": 10, "multipleOf": 3}, [9]),
        ({"type": "integer", "minimum": 2_000_000_000}, [2_000_000_000]),
        ({"type": "integer", "exclusiveMinimum": 2_000_000_000}, [2_000_000_001]),
        ({"type": "number", "maximum": 2.5, "multipleOf": 0}, [2]),
        ({"type": "number", "maximum": float("nan")}, [UNBOUNDED]),
        ({"type": "number", "minimum": 0.2, "maximum": 0.8}, [0.5]),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5]),
        ({"type": "number", "minimum": 0.5, "maximum": 0.5}, [1]),
        ({"type": "number", "maximum": 9, "exclusiveMaximum": 8.5}, [8]),
        ({"type": "integer", "maximum": -0.5}, [-1]),
        ({"type": "integer", "maximum": True}, [UNBOUNDED]),
        ({"type": "boolean"}, [True, False]),
        ({"type": "null"}, [None]),
        ({"type": ["null", "integer"], "maximum": 3}, [None, 3]),
        ({"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}]}, [3, None]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, [["a", "b"]]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3}, [[True, False, True]]),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 1}, [["a"]]),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "minItems": 2}, [["a", "b"]]),
        ({"type": "array", "items": {"enum": ["a", "a"]}, "uniqueItems": True}, [["a"]]),
        ({"type": "array"}, [["x"]]),
        ({"type": "integer", "oneOf": [{"maximum": 3}, {"maximum": 5}]}, [3, 5]),
        ({"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 5}]}, [5]),
        ({"type": "string"}, ["x"]),
        ({"type": "string", "minLength": 3}, ["xxx"]),
        ({"type": "string", "maxLength": 0}, [""]),
        ({"type": "string", "pattern": "^T-[0-9]+$", "minLength": 5}, ["T-000"]),
        ({"type": "string", "format": "email"}, ["anyone@example.com"]),
        ({"type": "string", "pattern": "^T-[0-9]+$"}, ["T-0"]),
        ({"type": "string", "pattern": "^a", "minLength": 3}, ["axx"]),
        ({}, ["x"]),
        ({"type": "colour"}, ["x"]),
    ],
)
def test_a_value_is_what_the_schema_asks_for(schema: dict[str, Any], values: list[Any]) -> None:
    assert samples(schema, schema) == values


@pytest.mark.parametrize(
    ("bound", "schema", "value"),
    [(50, {}, 50), (50, {"maximum": 9}, 9), (50, {"multipleOf": 7}, 49), (50, {"minimum": 60}, 60)],
)
def test_a_bound_is_lowered_to_a_number_that_is_accepted(
    bound: int, schema: dict[str, Any], value: int
) -> None:
    assert capped(bound, schema) == value


def test_an_argument_is_found_by_its_dotted_path() -> None:
    schema = {"properties": {"a": {"properties": {"b": {"type": "integer"}}}}}
    assert property_of(schema, "a.b") == {"type": "integer"}
    assert property_of(schema, "a.c.d") == {}


def test_what_is_required_is_filled_through_references() -> None:
    schema = {
        "$defs": {"a/b": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
        "required": ["one", "far", "bare", 5],
        "properties": {"one": {"$ref": "#/$defs/a~1b"}, "far": {"$ref": "https://example.com/x"}},
    }
    assert required(schema) == {"one": [{"n": UNBOUNDED}], "far": ["x"], "bare": ["x"]}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    node: dict[str, Any] = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}
    assert required(node)["next"][0]["next"]["next"] == {"next": "x"}
    wide: dict[str, Any] = {"type": "object", "required": [str(n) for n in range(500)]}
    wide["properties"] = {str(n): {"$ref": "#"} for n in range(500)}
    assert len(required(wide)["0"][0]) == 10


WORDS = [
    "type", "enum", "items", "required", "properties", "anyOf", "$ref", "pattern", "minimum",
    "maximum", "minItems", "maxItems", "uniqueItems", "minLength", "multipleOf", "format", "a",
]  # fmt: skip
nonsense = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["required", "properties", "$defs"]), nonsense), nonsense)
def test_no_schema_breaks_it(schema: dict[str, Any], one: Any) -> None:
    required(schema)
    assert len(samples(one if isinstance(one, dict) else {}, schema)) <= 6


def test_a_schema_with_very_many_parts_is_looked_into_only_so_far() -> None:
    many = [str(each) for each in range(20_000)]
    inner = {"type": "object", "properties": {key: {"$ref": "#/x"} for key in many}, "required": many}
    schema = inner | {"x": {"anyOf": [{"$ref": "#/y"}] * 6}, "y": {"anyOf": [inner] * 6}}
    started = time.perf_counter()
    made = required(schema)
    assert time.perf_counter() - started < 2
    assert list(made) == many, "every argument that is required gets a value"


def test_a_schema_of_choices_without_end_is_read_as_fast_as_any() -> None:
    schema: dict[str, Any] = {"anyOf": [{"$ref": "#"}] * 1000}
    started = time.perf_counter()
    assert samples(schema, schema) == ["x"] * 6
    assert time.perf_counter() - started < 2
