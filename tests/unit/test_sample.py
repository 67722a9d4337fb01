"""Values made from a tool's schema are what it asks for; a schema that makes no sense breaks nothing (A4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.sample import UNBOUNDED, required, samples


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"enum": ["b", "a"]}, ["b", "a"]),
        ({"examples": ["T-1"], "type": "string"}, ["T-1"]),
        ({"const": None}, [None]),
        ({"default": 7, "type": "integer"}, [7]),
        ({"type": "integer"}, [UNBOUNDED]),
        ({"type": "integer", "maximum": 9}, [9]),
        ({"type": "integer", "exclusiveMaximum": 9}, [8]),
        ({"type": "integer", "maximum": 10, "multipleOf": 3}, [9]),
        ({"type": "integer", "minimum": 2_000_000_000}, [2_000_000_000]),
        ({"type": "integer", "exclusiveMinimum": 2_000_000_000}, [2_000_000_001]),
        ({"type": "number", "maximum": 2.5, "multipleOf": 0}, [2]),
        ({"type": "number", "maximum": float("nan")}, [UNBOUNDED]),
        ({"type": "integer", "maximum": True}, [UNBOUNDED]),
        ({"type": "boolean"}, [True, False]),
        ({"type": "null"}, [None]),
        ({"type": ["null", "integer"], "maximum": 3}, [None, 3]),
        ({"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}]}, [3, None]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, [["a", "b"]]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3}, [[True, False, True]]),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 1}, [["a"]]),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "minItems": 2}, [["a", "b"]]),
        ({"type": "array"}, [["x"]]),
        ({"type": "string"}, ["x"]),
        ({"type": "string", "minLength": 3}, ["xxx"]),
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
    ("pattern", "text"),
    [
        ("", ""),
        (r"^\d{4}-\d{2}$", "0000-00"),
        (r"\w+@\S+\.org", "x@x.org"),
        (r"^(EUR|USD)$", "EUR"),
        (r"^(?:a(b|c)|d)e$", "abe"),
        (r"^a|b$", "a"),
        (r"^()x$", "x"),
        (r"x*y?z+?", "z"),
        (r"[^x]", "0"),
        (r"[^x0-_ A]", ""),
        (r"[\]a]b", "]b"),
        (r"[\d]b", "0b"),
        (r"[a\]]{2,}.", "aax"),
        (r"a{,3}b{x}", "ab"),
        (r"{", "{"),
        ("a\\", "a"),
        ("[", ""),
        ("[\\", ""),
        ("(a", "a"),
        (r"\bword\b", "word"),
        ("a{99999}", "a" * 1000),
    ],
)
def test_a_plain_pattern_has_a_text_that_it_matches(pattern: str, text: str) -> None:
    assert samples({"type": "string", "pattern": pattern}, {}) == [text]


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
