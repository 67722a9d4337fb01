"""Values that a tool's input schema asks for, the widest first: what a concrete call is made of (A4).

A schema comes from a tool server, so nothing in it is taken on trust: what is not understood gives an
ordinary value, nothing is looked up outside, and depth and size are bounded. The schema check has the last
word on what comes out.
"""

from __future__ import annotations

import math
from itertools import islice

from interlock.core.json_schema import Schema, listed, mapping, parts
from interlock.core.model import Json
from interlock.core.pattern import LONGEST, matching

UNBOUNDED = 1_000_000_000
"""Stands for a number that nothing limits."""

_DEPTH = 6
_MOST = 6
_ITEMS = 100
_INNER = 10
_CHOICES = 1_000
_EFFORT = 5_000
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


def required(schema: Schema) -> dict[str, list[Json]]:
    """Return, for each required property of an object schema, values that it accepts, the widest first."""
    return _Sampler(schema).required(schema, 0)


def samples(schema: Schema, root: Schema) -> list[Json]:
    """Return at most six values that `schema` accepts; `root` is where its references lead."""
    return _Sampler(root).samples(schema, 0)


def capped(bound: int, schema: Schema) -> Json:
    """Return the largest number up to `bound` that `schema` accepts, if there is one."""
    return _number({**schema, "maximum": min(bound, _whole(schema.get("maximum"), bound))})


def property_of(schema: Schema, path: str) -> Schema:
    """Return the schema of the argument at a dotted path; an empty one where nothing is said of it."""
    found = schema
    for step in path.split("."):
        found = mapping(mapping(found.get("properties")).get(step))
    return found


def _far(value: Json) -> tuple[int, float]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (1, value) if number else (0, 0)


class _Sampler:
    """Makes values of one schema. `_left` is how many schemas within it are still looked into."""

    __slots__ = ("_left", "_root")

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _EFFORT

    def required(self, schema: Schema, depth: int) -> dict[str, list[Json]]:
        """Return values of each required property; within another value of the first ten."""
        declared = mapping(schema.get("properties"))
        names = (each for each in listed(schema.get("required")) if isinstance(each, str))
        few = islice(names, None if depth == 0 else _INNER)
        return {name: self.samples(mapping(declared.get(name)), depth) for name in few}

    def samples(self, schema: Schema, depth: int) -> list[Json]:
        """Return values that `schema` accepts, a plain one where it has been looked at for long enough."""
        self._left -= 1
        if depth > _DEPTH or self._left < 0:
            return ["x"]
        if found := listed(schema.get("enum"))[:_CHOICES]:
            return sorted(found, key=_far, reverse=True)[:_MOST]
        if "const" in schema:
            return [schema["const"]]
        if made_of := parts(schema, self._root, _MOST):
            return [each for part in made_of for each in self.samples(part, depth + 1)][:_MOST]
        kinds = schema.get("type")
        several = listed(kinds)[:_MOST] if isinstance(kinds, list) else [kinds]
        made = [each for kind in several for each in self._of_kind(kind, schema, depth)]
        hints = listed(schema.get("examples"))[:_MOST]
        hints = [*hints, *([schema["default"]] if "default" in schema else [])]
        words = all(isinstance(each, str) for each in made)  # a shown text is likelier to be a good one
        return ([*hints, *made] if words else [*made, *hints])[:_MOST]

    def _of_kind(self, kind: Json, schema: Schema, depth: int) -> list[Json]:
        match kind:
            case "integer" | "number":
                return [_number(schema)]
            case "boolean":
                return [True, False]
            case "null":
                return [None]
            case "array":
                return [self._array(schema, depth)]
            case "object":
                inner = self.required(schema, depth + 1)
                return [{name: values[0] for name, values in inner.items() if values}]
            case _:
                return [_text(schema)]

    def _array(self, schema: Schema, depth: int) -> list[Json]:
        each = self.samples(mapping(schema.get("items")), depth + 1)
        least = min(_whole(schema.get("minItems"), 0), _ITEMS // (depth + 1) ** 3)
        most = _whole(schema.get("maxItems"), max(3, least))
        if schema.get("uniqueItems") is True:
            distinct = [value for index, value in enumerate(each) if value not in each[:index]]
            return distinct[: max(most, 0)]
        return [each[index % len(each)] for index in range(max(min(most, max(len(each), least)), 0))]


def _number(schema: Schema) -> int | float:
    """Return the largest whole number that is accepted; a fraction where only a fraction is."""
    least = _bound(schema, "minimum", "exclusiveMinimum", up=True)
    most = _bound(schema, "maximum", "exclusiveMaximum", up=False)
    step = max(_whole(schema.get("multipleOf"), 1), 1)
    largest = most // step * step
    if largest >= least:
        return largest
    low = _finite(schema.get("minimum"), _finite(schema.get("exclusiveMinimum"), least))
    high = _finite(schema.get("maximum"), _finite(schema.get("exclusiveMaximum"), low))
    return (low + high) / 2 if low < high else least


def _bound(schema: Schema, closed: str, opened: str, *, up: bool) -> int:
    """Return the outermost whole number that both forms of one bound allow."""
    toward, rounded = (1, math.ceil) if up else (-1, math.floor)
    bounds = [rounded(_finite(schema[closed], -toward * UNBOUNDED))] if closed in schema else []
    if opened in schema:
        beyond = _finite(schema[opened], -toward * (UNBOUNDED + 1))
        bounds.append(rounded(beyond) + toward * (rounded(beyond) == beyond))
    return (max if up else min)(bounds, default=-toward * UNBOUNDED)


def _text(schema: Schema) -> str:
    least = _least_length(schema)
    if isinstance(schema.get("pattern"), str):
        return matching(schema["pattern"], least).ljust(least, "x")
    known = _FORMATS.get(str(schema.get("format")), "x")
    return known.ljust(least, "x")[: max(_whole(schema.get("maxLength"), LONGEST), 0)]


def _least_length(schema: Schema) -> int:
    return min(max(_whole(schema.get("minLength"), 0), 0), LONGEST)


def _whole(value: Json, otherwise: int) -> int:
    return int(_finite(value, otherwise))


def _finite(value: Json, otherwise: float) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        return otherwise
    return value
