"""Values that a tool's input schema asks for, the widest first: what a concrete call is made of (A4).

A schema comes from a tool server, so nothing in it is taken on trust: what is not understood gives an
ordinary value, nothing is looked up outside, and depth and size are bounded. The schema check has the last
word on what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from interlock.core.model import Json

UNBOUNDED = 1_000_000_000
"""Stands for a number that nothing limits."""

Schema = Mapping[str, Json]

_DEPTH = 6
_MOST = 6
_LENGTH = 1000
_ITEMS = 100
_INNER = 10
_LARGEST = 2**63
_FORMATS = {
    "date": "2100-01-01",
    "date-time": "2100-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "anyone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def required(schema: Schema, root: Schema | None = None, depth: int = 0) -> dict[str, list[Json]]:
    """Return, for each required property of an object schema, values that it accepts, the widest first."""
    top = schema if root is None else root
    declared = _mapping(schema.get("properties"))
    names = [each for each in _list(schema.get("required")) if isinstance(each, str)]
    few = names if depth == 0 else names[:_INNER]
    return {name: samples(_mapping(declared.get(name)), top, depth) for name in few}


def samples(schema: Schema, root: Schema, depth: int = 0) -> list[Json]:
    """Return at most six values that `schema` accepts; `root` is where its references lead."""
    if depth > _DEPTH:
        return ["x"]
    for key in ("enum", "examples"):
        if found := _list(schema.get(key)):
            return found[:_MOST]
    for key in ("const", "default"):
        if key in schema:
            return [schema[key]]
    if isinstance(schema.get("$ref"), str):
        return samples(_referred(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if parts := [_mapping(each) for each in _list(schema.get(key))]:
            return [each for part in parts for each in samples(part, root, depth + 1)][:_MOST]
    kinds = schema.get("type")
    several = _list(kinds) if isinstance(kinds, list) else [kinds]
    return [each for kind in several for each in _of_kind(kind, schema, root, depth)][:_MOST]


def _of_kind(kind: Json, schema: Schema, root: Schema, depth: int) -> list[Json]:
    match kind:
        case "integer" | "number":
            return [_number(schema)]
        case "boolean":
            return [True, False]
        case "null":
            return [None]
        case "array":
            return [_array(schema, root, depth)]
        case "object":
            inner = required(schema, root, depth + 1)
            return [{name: values[0] for name, values in inner.items() if values}]
        case _:
            return [_text(schema)]


def _number(schema: Schema) -> int:
    least = _whole(schema.get("minimum"), _whole(schema.get("exclusiveMinimum"), -UNBOUNDED - 1) + 1)
    most = _whole(schema.get("maximum"), _whole(schema.get("exclusiveMaximum"), UNBOUNDED + 1) - 1)
    step = _whole(schema.get("multipleOf"), 1)
    largest = most // step * step if step > 0 else most
    return max(largest, least)


def _array(schema: Schema, root: Schema, depth: int) -> list[Json]:
    each = samples(_mapping(schema.get("items")), root, depth + 1)
    least = min(_whole(schema.get("minItems"), 0), _ITEMS // (depth + 1) ** 3)
    most = _whole(schema.get("maxItems"), max(3, least))
    if schema.get("uniqueItems") is True:
        return each[: max(most, 0)]
    return [each[index % len(each)] for index in range(max(min(most, max(len(each), least)), 0))]


def _text(schema: Schema) -> str:
    if isinstance(schema.get("pattern"), str):
        return _matching(_first_choice(schema["pattern"])).ljust(_least_length(schema), "x")
    if (known := _FORMATS.get(str(schema.get("format")))) is not None:
        return known
    return "x" * _least_length(schema, 1)


def _least_length(schema: Schema, otherwise: int = 0) -> int:
    return min(max(_whole(schema.get("minLength"), otherwise), 0), _LENGTH)


def _referred(reference: str, root: Schema) -> Schema:
    """Return what a reference within the schema leads to; an empty schema for any other."""
    found: Schema = root if reference.startswith("#") else {}
    for step in reference.split("/")[1:]:
        found = _mapping(found.get(step.replace("~1", "/").replace("~0", "~")))
    return found


def _whole(value: Json, otherwise: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        return otherwise
    return int(value)


def _mapping(value: Json) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []


_CLASSES = {"d": "0", "w": "x", "s": " ", "S": "x", "D": "x", "W": "-", "b": "", "B": ""}


def _matching(pattern: str) -> str:
    """Return a text that a plain pattern matches: each part as seldom as it may be, the first of several."""
    text, made, at = list(pattern[:_LENGTH]), "", 0
    while at < len(text) and len(made) < _LENGTH:
        part, at = _part(text, at)
        count, at = _times(text, at)
        made += part * count
    return made[:_LENGTH]


def _part(text: list[str], at: int) -> tuple[str, int]:
    """Return one text that the part of a pattern at `at` matches, and where the next part begins."""
    match text[at]:
        case "^" | "$":
            return "", at + 1
        case "\\":
            escaped = text[at + 1] if at + 1 < len(text) else ""
            return _CLASSES.get(escaped, escaped), at + 2
        case "[":
            return _of_class(text, at + 1)
        case "(":
            end = _closing(text, at)
            inner = "".join(text[at + 1 : end]).removeprefix("?:")
            return _matching(_first_choice(inner)) if inner else "", end + 1
        case ".":
            return "x", at + 1
        case plain:
            return plain, at + 1


def _of_class(text: list[str], at: int) -> tuple[str, int]:
    end = at if text[at : at + 1] == ["\\"] else at + 1
    while end < len(text) and text[end] != "]":
        end += 2 if text[end] == "\\" else 1
    first = text[at] if at < len(text) else ""
    if first == "^":
        others = set(text[at + 1 : end])
        return next((each for each in "x0-_ A" if each not in others), ""), end + 1
    if first == "\\":
        escaped = text[at + 1] if at + 1 < len(text) else ""
        return _CLASSES.get(escaped, escaped), end + 1
    return first, end + 1


def _closing(text: list[str], at: int) -> int:
    depth = 0
    for index in range(at, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index
    return len(text)


def _first_choice(inner: str) -> str:
    depth = 0
    for index, each in enumerate(inner):
        depth += (each == "(") - (each == ")")
        if each == "|" and depth == 0:
            return inner[:index]
    return inner


def _times(text: list[str], at: int) -> tuple[int, int]:
    """Return how often the part before `at` must stand, and where the next part begins."""
    count, after = 1, at
    if at < len(text) and text[at] in "*+?":
        count, after = int(text[at] == "+"), at + 1
    elif at < len(text) and text[at] == "{" and "}" in text[at:]:
        after = text.index("}", at) + 1
        least = "".join(text[at + 1 : after - 1]).partition(",")[0]
        count = min(int(least), _LENGTH) if least.isascii() and least.isdigit() and len(least) < 6 else 1
    if after > at and after < len(text) and text[after] == "?":
        after += 1
    return count, after
