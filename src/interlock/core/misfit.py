"""What of a derived call (an undo, a second step) fits no schema: names, and kinds of values (E5).

A schema that lists no properties, or takes any, is not looked into, and where a schema does not say what kind
of value it means, nothing is said against one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from interlock.core.document.tool import Companion
from interlock.core.json_schema import Schema, kind_of, kinds, member, needed
from interlock.core.model import Json

_NUMBERS = frozenset({"number", "integer"})
_SOURCES = {"args": "the tool has no argument", "result": "the tool's result has no"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a tool: the schema of its arguments and that of its result, empty if it says none."""

    arguments: Schema
    result: Schema


UNKNOWN = Shape({}, {})
Misfit = tuple[tuple[str, ...], str]


def misfits(call: Companion, given: Shape, taken: Shape) -> list[Misfit]:
    """Return what of a derived call's declaration fits no schema, each with its place under it.

    `given` is the shape of the tool that it is derived from, `taken` that of its own.
    """
    check = _Check(call.tool, given, taken.arguments)
    found: list[Misfit] = [
        (("arguments", name), said)
        for name, value in call.arguments.items()
        for said in check.said(value, member(taken.arguments, taken.arguments, name), name)
    ]
    missing = check.missing(call.arguments, taken.arguments, "")
    return found + [(("arguments",), said) for said in missing]


@dataclass(frozen=True, slots=True)
class _Check:
    """Values of one call, held against what its tool takes."""

    tool: str
    given: Shape
    taken: Schema

    def said(self, value: Json, wanted: Schema | None, place: str) -> Iterator[str]:
        """Yield in words what is wrong with the value at `place`, which has to fit `wanted`."""
        if wanted is None:
            yield f"{self.tool} has no argument {place!r}"
        if isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
            yield from self._referred(value[1:], wanted, place)
            return
        if unlike := _unlike(frozenset({kind_of(value)}), kinds(wanted or {}, self.taken)):
            yield f"{self.tool} takes {place!r} as {unlike}"
            wanted = None
        for step, inner in _inner(value):
            sub: Schema | None = {} if wanted is None else member(wanted, self.taken, step)
            yield from self.said(inner, sub, f"{place}.{step}")
        if wanted is not None and isinstance(value, dict):
            yield from self.missing(cast("dict[str, Json]", value), wanted, f"{place}.")

    def missing(self, value: Mapping[str, Json], wanted: Schema, place: str) -> list[str]:
        """Return in words which names an object has to have, and has not."""
        names = [each for each in needed(wanted, self.taken) if each not in value]
        return [f"{self.tool} requires the argument {place + each!r}" for each in names]

    def _referred(self, reference: str, wanted: Schema | None, place: str) -> Iterator[str]:
        """Yield what is wrong with a reference into what the call before was given, or answered."""
        source, _, path = reference.partition(".")
        root = self.given.arguments if source == "args" else self.given.result
        schema, way = root, path.split(".")
        for at, step in enumerate(way, 1):
            found = member(schema, root, step)
            if found is None:
                yield f"{_SOURCES[source]} {'.'.join(way[:at])!r}"
                return
            schema = found
        if unlike := _unlike(kinds(schema, root), kinds(wanted or {}, self.taken)):
            yield f"{self.tool} takes {place!r} as {unlike}"


def _inner(value: Json) -> Iterator[tuple[str, Json]]:
    """Yield what a value is made of, each with its name or its index."""
    if isinstance(value, dict):
        yield from cast("dict[str, Json]", value).items()
    elif isinstance(value, list):
        yield from ((str(at), each) for at, each in enumerate(cast("list[Json]", value)))


def _unlike(gets: frozenset[str], takes: frozenset[str]) -> str:
    """Return in words how the kinds of a value differ from those that are wanted, "" where it may fit."""
    numbers = takes & _NUMBERS and gets & _NUMBERS
    if not takes or not gets or takes & gets or numbers:
        return ""
    return f"{' or '.join(sorted(takes))}, not as {' or '.join(sorted(gets))}"
