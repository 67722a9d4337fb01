"""A digest means these arguments and no others (F4, A6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.canonical import NotCanonical, canonical, check, digest, parse_object

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


def typed(value: Any) -> Any:
    """Return a form in which 1, true and 1.0 differ, and 0.0 and -0.0 too."""
    if isinstance(value, dict):
        return frozenset((key, typed(each)) for key, each in value.items())
    return tuple(typed(each) for each in value) if isinstance(value, list) else (type(value), repr(value))


@given(objects)
def test_key_order_does_not_change_a_digest(value: dict[str, Any]) -> None:
    assert digest(value) == digest(shuffled(value))


@given(objects, objects)
def test_only_equal_values_have_equal_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


@given(objects)
def test_canonical_bytes_read_back_as_the_same_value(value: dict[str, Any]) -> None:
    check(value)
    assert typed(parse_object(canonical(value))) == typed(value)


def test_the_form_is_sorted_without_blanks_and_utf8() -> None:
    assert canonical({"b": [1, 2.0, True, None], "a": "é"}) == '{"a":"é","b":[1,2.0,true,null]}'.encode()
    assert len(digest({})) == 64


def test_integers_may_have_any_size() -> None:
    assert parse_object(b'{"n":' + b"9" * 400 + b"}") == {"n": int("9" * 400)}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a":{"b":1,"b":2}}', "a duplicate key at $.a.b"),
        (b'{"a":1,"b":2,"a":1}', "a duplicate key at $.a"),
        (b'{"a":[1,NaN]}', "a number that is not finite at $.a[1]"),
        (b'{"a":-Infinity}', "a number that is not finite at $.a"),
        (b'{"a":1e999}', "a number that is not finite at $.a"),
        (rb'{"a":"\ud800"}', "a lone surrogate at $.a"),
        (rb'{"\ud800":1}', r'a lone surrogate at $["\ud800"]'),
        (b'{"odd key":[NaN]}', 'a number that is not finite at $["odd key"][0]'),
        (b"[1]", "not a JSON object at $"),
        (b'"text"', "not a JSON object at $"),
        (b"\xff", "not UTF-8"),
        (b"", "not JSON: expecting value at line 1, column 1"),
        (b'{"a":1} x', "not JSON: extra data at line 1, column 9"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"n":' + b"9" * 5_000 + b"}", "a whole number has too many digits"),
    ],
)
def test_a_refusal_says_what_and_where(raw: bytes, message: str) -> None:
    with pytest.raises(NotCanonical) as refused:
        parse_object(raw)
    assert str(refused.value) == message


def test_64_levels_pass_and_65_do_not() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    parse_object(nested(64))
    with pytest.raises(NotCanonical, match=r"nested too deep at \$\.a\[0\]"):
        parse_object(nested(65))
    with pytest.raises(NotCanonical, match="nested too deep"):
        check({"a": {"b": {}}}, max_depth=2)


@pytest.mark.parametrize("value", [{1: "a"}, {"a": b"bytes"}, {"a": (1, 2)}, {"a": {2, 3}}, object()])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        check(value)


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": "\ud800"}, {"a": object()}])
def test_canonical_never_writes_what_check_refuses(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


def test_an_integer_too_long_to_write_is_refused() -> None:
    with pytest.raises(NotCanonical, match="no canonical form"):
        canonical({"n": 10**5_000})


def test_a_refusal_never_shows_the_value_and_caps_the_key() -> None:
    with pytest.raises(NotCanonical) as refused:
        parse_object(json.dumps({"k" * 500: ["hunter2", float("inf")]}).encode())
    assert "hunter2" not in str(refused.value)
    assert len(str(refused.value)) < 120
