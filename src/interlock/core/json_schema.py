"""What a tool's JSON schema says of a value, told without looking anything up outside.

A schema comes from a tool server: how deep and how wide it is read is bounded, and what is not understood
says nothing.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Any, cast

from interlock.core.model import Json

Schema = Mapping[str, Json]

_STEPS = 100
_LONGEST = 1_000
"""Characters of a reference, and values of an enumeration: longer ones say nothing."""
_READ = (
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "dependentSchemas",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "type",
    "unevaluatedProperties",
    "uniqueItems",
)
"""The keywords that anybody here reads: no others are carried along, however many there are."""
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties", "dependentSchemas", "if")
"""Where one of these says something, a value may have properties beside those that are listed."""
_JSON = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}
_INNER = frozenset({"object", "array"})


def parts(schema: Schema, root: Schema, most: int) -> list[Schema]:
    """Return the schemas that this one is made of, each with what is said beside it; none if it is plain.

    References lead within `root`. Of alternatives the first `most` are returned.
    """
    if isinstance(schema.get("$ref"), str):
        return [{**_read(_referred(str(schema["$ref"]), root)), **_read(schema, "$ref")}]
    for key in ("anyOf", "oneOf"):
        if choices := listed(schema.get(key))[:most]:
            beside = _read(schema, key)
            return [{**beside, **_read(mapping(each))} for each in choices]
    together = listed(schema.get("allOf"))
    if len(together) > _STEPS:
        return [{}]
    return [_merged(_read(schema, "allOf"), [_read(mapping(each)) for each in together])] if together else []


def plain(schema: Schema, root: Schema) -> tuple[Schema, ...]:
    """Return the schemas any of which a value may fit, without references or choices; none: too many."""
    left, found = [schema], list[Schema]()
    for _ in range(_STEPS):
        if not left:
            return tuple(found)
        each = left.pop()
        made = parts(each, root, _STEPS)
        left += made
        if not made:
            found.append(each)
    return ()


def kinds(schema: Schema, root: Schema) -> frozenset[str]:
    """Return the kinds of value (`string`, `object` …) that a schema takes; none where it does not say."""
    said = [_kinds(each) for each in plain(schema, root)]
    return frozenset[str]().union(*said) if all(said) else frozenset()


def kind_of(value: Json) -> str:
    """Return the kind of a value in the words of JSON schema; a whole number is an `integer`."""
    return next((name for kind, name in _JSON.items() if type(value) is kind), "null")


def member(schema: Schema, root: Schema, step: str) -> Schema | None:
    """Return the schema of what `step`, a name or an index, leads to in a value.

    It is empty where nothing is said of that, and None where there is no such thing.
    """
    choices = plain(schema, root)
    found = [each for each in (_member(choice, step) for choice in choices) if each is not None]
    if choices and not found:
        return None
    return found[0] if len(found) == 1 else {"anyOf": cast("Json", found)} if found else {}


def needed(schema: Schema, root: Schema) -> list[str]:
    """Return the names that an object has to have, as far as there is only one way to be one."""
    choices = plain(schema, root)
    names = listed(choices[0].get("required")) if len(choices) == 1 else []
    return [each for each in names if isinstance(each, str)]


def mapping(value: Json) -> Mapping[str, Any]:
    """Return `value` if it is an object, an empty one for any other."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def listed(value: Json) -> list[Json]:
    """Return `value` if it is an array, an empty one for any other."""
    return cast("list[Json]", value) if isinstance(value, list) else []


def _read(schema: Schema, *but: str) -> dict[str, Json]:
    return {key: schema[key] for key in _READ if key in schema and key not in but}


def _merged(schema: dict[str, Json], together: list[dict[str, Json]]) -> Schema:
    """Return one schema that says what all of them say; of a keyword but `properties` the last one counts."""
    inner = [cast("dict[str, Json]", mapping(each.get("properties"))) for each in (schema, *together)]
    for each in together:
        schema |= each
    return schema | {"properties": ChainMap(*reversed(inner))} if any(inner) else schema


def _member(schema: Schema, step: str) -> Schema | None:
    said, properties = _kinds(schema), mapping(schema.get("properties"))
    if said and not said & _INNER:
        return None
    if "array" in said:
        return mapping(schema.get("items")) if step.isdecimal() else {} if "object" in said else None
    told = isinstance(schema.get("properties"), Mapping) and not any(schema.get(each) for each in _OPEN)
    return mapping(properties.get(step)) if not told or step in properties else None


def _kinds(schema: Schema) -> frozenset[str]:
    said = schema.get("type")
    if isinstance(said, str):
        return frozenset({said})
    if isinstance(said, list):
        return frozenset(each for each in listed(said)[:_STEPS] if isinstance(each, str))
    values = [schema["const"]] if "const" in schema else listed(schema.get("enum"))
    return frozenset(map(kind_of, values)) if len(values) <= _LONGEST else frozenset()


def _referred(reference: str, root: Schema) -> Schema:
    """Return what a reference within the schema leads to; an empty schema for any other."""
    found: Schema = root if reference.startswith("#") and len(reference) <= _LONGEST else {}
    for step in reference.split("/")[1:]:
        found = mapping(found.get(step.replace("~1", "/").replace("~0", "~")))
    return found
