"""The JSON Schema of a manifest document, one for all kinds, for editors and other programs."""

from __future__ import annotations

from typing import Any, cast

from interlock.manifest.field import THRESHOLD_PATTERN
from interlock.manifest.kinds import API_VERSION, NAMES, SPECS, Metadata

ID = "https://interlock.dev/schema/v1.json"
_OPTIONAL_SPEC = ("Tool", "Team", "Policy")


def json_schema() -> dict[str, Any]:
    """Return the schema that every document of a manifest satisfies."""
    definitions: dict[str, Any] = {}
    branches = [_branch(kind, definitions) for kind in SPECS]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Interlock manifest document",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": list(SPECS)}},
        "oneOf": branches,
        "$defs": definitions,
    }


def _branch(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    definitions[f"{kind}Metadata"] = _metadata(kind)
    schema = SPECS[kind].model_json_schema(ref_template="#/$defs/{model}", by_alias=True)
    _write_defaults(schema)
    definitions.update(schema.pop("$defs", {}))
    definitions[f"{kind}Spec"] = schema
    branch: dict[str, Any] = {
        "title": kind,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": {"$ref": f"#/$defs/{kind}Metadata"},
            "spec": {"$ref": f"#/$defs/{kind}Spec"},
        },
        "additionalProperties": False,
    }
    if kind not in _OPTIONAL_SPEC:
        branch["required"] = ["spec"]
    return branch


def _metadata(kind: str) -> dict[str, Any]:
    schema = Metadata.model_json_schema()
    pattern = NAMES.get(kind)
    if pattern is not None:
        schema["properties"]["name"]["pattern"] = f"^{pattern[0].pattern}$"
    return schema


def _write_defaults(schema: object) -> None:
    """Put every default as it would be written: models hold seconds, basis points and thousandths."""
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        if "default" in found:
            found["default"] = _written(found["default"], found)
        for each in found.values():
            _write_defaults(each)
    elif isinstance(schema, list):
        for each in cast("list[Any]", schema):
            _write_defaults(each)


def _written(value: object, field: dict[str, Any]) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or field.get("type") == "integer":
        return value
    pattern = str(field.get("pattern", ""))
    if pattern == THRESHOLD_PATTERN:
        return f"{value // 10}%"
    if "%" in pattern or field.get("maximum") == 1:
        return f"{value // 100}%"
    if "d)" in pattern:
        for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
        return f"{value}s"
    return value
