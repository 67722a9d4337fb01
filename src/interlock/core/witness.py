"""Concrete arguments that a grant's conditions allow, those that reach furthest first (A4).

Values are guessed from the conditions and the tool's own schema and kept only if every operator of the
condition accepts them, so what comes out satisfies the grant or nothing does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Any, cast

from interlock.core import narrowing
from interlock.core.document.rule import Conditions
from interlock.core.model import Json
from interlock.core.policy.operator import OPERATORS, Unclear
from interlock.core.sample import UNBOUNDED, Schema, capped, property_of, required, samples

__all__ = ["ARGS", "UNBOUNDED", "Schema", "arguments"]

ARGS = "args."
_COMBINATIONS = 128
_EFFORT = 20_000
_MOST = 6


def arguments(
    where: Conditions,
    *,
    scope: Mapping[str, Json],
    schema: Schema,
    measures: Iterable[str],
    sinks: Iterable[str],
) -> Iterator[dict[str, Json]]:
    """Yield argument objects that satisfy `where`, at most 128 and fewer very large ones, the furthest first.

    `measures` and `sinks` name arguments that decide how far a call reaches: a number, and who is reached.
    """
    choices = dict(_of_schema(schema))
    for names, unsaid in ((measures, UNBOUNDED), (sinks, "anyone")):
        for name in names:
            choices.setdefault(name, _declared(schema, name) or [unsaid])
    for name, asked in where.items():
        if name.startswith(ARGS):
            more = choices.get(name) or _declared(schema, name)
            choices[name] = _choices(asked, scope, property_of(schema, name.removeprefix(ARGS)), more)
    names = [name for name in choices if choices[name]]
    few = max(min(_COMBINATIONS, _EFFORT // (len(names) or 1)), 1)
    for values in islice(product(*(choices[name] for name in names)), few):
        yield _nested(zip(names, values, strict=True))


def _nested(pairs: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    arguments: dict[str, Json] = {}
    for name, value in pairs:
        *path, last = name.removeprefix(ARGS).split(".")
        inner = arguments
        for step in path:
            inner = cast("dict[str, Json]", inner.setdefault(step, {}))
        inner[last] = value
    return arguments


def _of_schema(schema: Schema) -> dict[str, list[Json]]:
    """Return values for the required arguments of a tool's own schema."""
    return {ARGS + name: values for name, values in required(schema).items() if "." not in name}


def _declared(schema: Schema, name: str) -> list[Json]:
    """Return values of an argument that the schema declares; none where it does not."""
    declared = property_of(schema, name.removeprefix(ARGS))
    return samples(declared, schema) if declared else []


def _choices(asked: Json, scope: Mapping[str, Json], declared: Schema, more: list[Json]) -> list[Json]:
    """Return the values that satisfy one condition, those that reach furthest first.

    `declared` is the argument's own schema: a bound of the condition is lowered to a number that it accepts.
    """
    operators = {name: _resolved(operand, scope) for name, operand in narrowing.operators(asked).items()}
    if operators.get("present") is False:
        return []
    tests = [OPERATORS[name](operand) for name, operand in operators.items() if name in OPERATORS]
    bounds = [each for each in operators.values() if isinstance(each, int) and not isinstance(each, bool)]
    lowered = (capped(each - below, declared) for each in bounds for below in (0, 1)) if declared else ()
    guessed = (*lowered, *more, *_candidates(operators))
    fitting = [each for each in guessed if all(_holds(test, each) for test in tests)]
    return sorted(fitting, key=_far, reverse=True)[:_MOST]


def _resolved(operand: Json, scope: Mapping[str, Json]) -> Json:
    if isinstance(operand, str) and operand.startswith("$scope."):
        found: Any = scope
        for step in operand.removeprefix("$scope.").split("."):
            found = cast("Mapping[str, Any]", found)[step]
        return found
    return operand[1:] if isinstance(operand, str) and operand.startswith("$$") else operand


def _holds(test: Any, value: Json) -> bool:
    try:
        return test(value)
    except Unclear:
        return False


def _far(value: Json) -> tuple[int, int]:
    if isinstance(value, int):
        return 1, int(value)
    return 0, len(cast("str | list[Json]", value)) if isinstance(value, str | list) else 0


def _candidates(operators: Mapping[str, Json]) -> Iterator[Json]:
    yield from (UNBOUNDED, -UNBOUNDED, "x", "anyone", True, False, [])
    size = _largest_length(operators.get("len"))
    for name, operand in operators.items():
        for value in cast("list[Json]", operand) if isinstance(operand, list) else [operand]:
            yield from _around(name, value, size)
        if isinstance(operand, list):
            members = cast("list[Json]", operand)
            yield members
            yield [each for each, _ in zip(_cycled(members), range(size), strict=False)]
            yield ["anyone" + str(each) for each in members]
    yield "x" * size
    yield ["x"] * size


def _cycled(members: list[Json]) -> Iterator[Json]:
    while members:
        yield from members


def _around(name: str, value: Json, size: int) -> Iterator[Json]:
    yield value
    yield [value] * size
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (value - 1, value + 1, [value + 1] * size)
    if isinstance(value, str):
        yield from (value + "x", "anyone" + value, ["anyone" + value] * size)
        if name == "glob":
            yield value.replace("*", "x").replace("?", "x")


def _largest_length(asked: Json) -> int:
    bounds: Mapping[str, Json] = {} if asked is None else narrowing.operators(asked)
    for name, step in (("eq", 0), ("le", 0), ("lt", -1), ("ge", 0), ("gt", 1)):
        if name in bounds:
            return min(max(int(bounds[name]) + step, 0), 1000)
    return 3
