"""The JSON Schema of a manifest document, one for all kinds, for editors and other programs."""

from __future__ import annotations

from typing import Any

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
