"""What of a derived call (an undo, a second step) fits no input schema: names, and kinds of values (E5).

A schema that lists no properties, or takes any, is not looked into, and where a schema does not say what kind
of value it means, nothing is said against one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from interlock.core.document.tool import Companion
from interlock.core.model import Json

_JSON = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}
_NUMBERS = frozenset({"number", "integer"})


def misfits(
    call: Companion, given: Mapping[str, Json] | None, taken: Mapping[str, Json] | None
) -> list[tuple[tuple[str, ...], str]]:
    """Return what of a derived call's declaration fits no input schema, each with its place under it.

    `given` is the schema of the tool that it is derived from, `taken` that of its own; None is not known.
    """
    found: list[tuple[tuple[str, ...], str]] = []
    known, named = _properties(given), _properties(taken)
    for name, value in call.arguments.items():
        place = ("arguments", name)
        if named is not None and name not in named:
            found.append((place, f"{call.tool} has no argument {name!r}"))
        missing = [each for each in _arguments(value) if known is not None and each[0] not in known]
        found += [(place, f"the tool has no argument {each[0]!r}") for each in missing]
        if named is not None and not missing and (unlike := _unlike(value, named.get(name), given)):
            found.append((place, f"{call.tool} takes {name!r} as {unlike}"))
    required = taken.get("required") if isinstance(taken, Mapping) else None
    needed = cast("list[Json]", required) if isinstance(required, list) else []
    return found + [
        (("arguments",), f"{call.tool} requires the argument {name!r}")
        for name in needed
        if name not in call.arguments
    ]


def _properties(schema: object) -> Mapping[str, Json] | None:
    said = _mapping(schema)
    if said.get("additionalProperties"):
        return None
    properties = said.get("properties")
    return cast("Mapping[str, Json]", properties) if isinstance(properties, Mapping) else None


def _arguments(value: Json) -> Iterator[list[str]]:
    """Yield the paths of the undone call's arguments that a value refers to."""
    if isinstance(value, str) and value.startswith("$args."):
        yield value.split(".")[1:]
    inner = cast("list[Json]", value) if isinstance(value, list) else _mapping(value).values()
    for each in inner:
        yield from _arguments(each)


def _unlike(value: Json, wanted: Json, given: Mapping[str, Json] | None) -> str:
    """Return in words how a value's kind differs from the one that is wanted, "" where it may fit."""
    takes, gets = _kinds(wanted), _kinds_of(value, given)
    numbers = takes & _NUMBERS and gets & _NUMBERS
    if not takes or not gets or takes & gets or numbers:
        return ""
    return f"{' or '.join(sorted(takes))}, not as {' or '.join(sorted(gets))}"


def _kinds_of(value: Json, given: Mapping[str, Json] | None) -> frozenset[str]:
    """Return the kinds a value can be of: its own, or those of the argument it refers to; none: not known."""
    if not isinstance(value, str) or not value.startswith("$") or value.startswith("$$"):
        own = next((name for kind, name in _JSON.items() if type(value) is kind), "null")
        return frozenset({own})
    if not value.startswith("$args."):
        return frozenset()
    schema: object = given
    for name in value.split(".")[1:]:
        schema = (_properties(schema) or {}).get(name)
    return _kinds(schema)


def _kinds(schema: object) -> frozenset[str]:
    """Return the kinds of value that a schema takes, none where it does not say."""
    said = _mapping(schema).get("type")
    if isinstance(said, str):
        return frozenset({said})
    return (
        frozenset(str(each) for each in cast("list[Json]", said)) if isinstance(said, list) else frozenset()
    )


def _mapping(value: object) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, Mapping) else {}
