"""The manifest reference as Markdown, generated from the models so that it cannot fall behind them."""

from __future__ import annotations

from typing import Any, cast

from interlock.manifest.kinds import LATER, NAMES, SPECS
from interlock.manifest.schema import json_schema

_KINDS = {
    "Person": "A human, who answers for agents and decides what waits. The first `interlock apply` signs the "
    "administrator in.",
    "Team": "People who answer together.",
    "Rotation": "A rota: people who are on duty in turn (F2). The member whose turn it is is asked.",
    "ToolServer": "An upstream that offers tools: an MCP server started by a command or reached by a URL.",
    "Tool": "One entry of the blast-radius map. It is complete with `tier`, `effect`, `blast_radius`; until "
    "then the tool counts as `high_blast_radius`, and in `production` it cannot be called (A1, A2).",
    "Agent": "A non-human identity with one accountable owner (H1, H3).",
    "Workflow": "What an agent may do: its scope, its rules, its models, its budget and who answers for it "
    "(A3, B2, G7). A model is named as `name` or `provider/name`.",
    "Policy": "Rules that hold for every workflow.",
    "Organisation": "The whole: what all workflows together may spend (B2). There is at most one.",
    "Provider": "An upstream that serves models, with its credentials, limits and prices. Nothing is "
    "translated: an agent that speaks `openai` reaches providers that speak `openai`.",
    "Runbook": "What a person who is woken needs (G1). It is complete when every field says something; a "
    "workflow can only name a complete one.",
}
_HEAD = """\
# The manifest

Everything a team reviews is declared in YAML: one file or a folder, any number of documents separated by
`---`. `interlock validate` checks it offline, `interlock plan` says what it changes, `interlock apply` puts
it in force. `interlock schema` prints the JSON Schema of this page. This page is generated.

Every document has four fields:

| field | meaning |
|---|---|
| `apiVersion` | always `interlock/v1` |
| `kind` | one of the kinds below |
| `metadata` | `name`, unique within its kind, and `environment`, the one it is meant for; without it, all |
| `spec` | what the kind says |

How values are written: durations as `30s`, `15m`, `24h`, `90d`; percentages as `70%`; money as `2.00`, read
exactly, never through a binary float, and prices of models in dollars per million tokens; sizes as `16KiB`;
dates as `2027-06-30`; secrets only as `secret://env/NAME`, never in the manifest. A file is at most 1024 KiB
of UTF-8, nested at most 40 deep. Duplicate keys, YAML tags, merge keys and unknown fields are errors with
file, line, column and a near name. Rules and conditions are described in [policy](policy.md).
"""


def markdown() -> str:
    """Return the whole page."""
    written: dict[str, Any] = json_schema()["$defs"]
    definitions: dict[str, dict[str, Any]] = {
        name: _spelled_out(each, written) for name, each in written.items()
    }
    parts = [_HEAD, *(_kind(kind, definitions) for kind in SPECS), _later()]
    return "\n".join(parts)


def _spelled_out(value: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema in which references to lists of values are those lists."""
    if isinstance(value, list):
        return [_spelled_out(each, definitions) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    target = definitions.get(_name(str(found.get("$ref", ""))), {})
    if "enum" in target:
        found = {**{name: each for name, each in found.items() if name != "$ref"}, "enum": target["enum"]}
    return {name: _spelled_out(each, definitions) for name, each in found.items()}


def _kind(kind: str, definitions: dict[str, dict[str, Any]]) -> str:
    named = f"\n`metadata.name` is {NAMES[kind][1]}.\n" if kind in NAMES else ""
    lines = [f"## {kind}\n", _KINDS[kind] + "\n" + named, *_table(definitions[f"{kind}Spec"])]
    for name in _nested(definitions[f"{kind}Spec"], definitions, []):
        lines += [f"### {kind}: {_title(name)}\n", *_table(definitions[name])]
    return "\n".join(lines)


def _table(schema: dict[str, Any]) -> list[str]:
    required = cast("list[str]", schema.get("required", []))
    rows = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for name, field in cast("dict[str, dict[str, Any]]", schema.get("properties", {})).items():
        default = "required" if name in required else _default(field)
        rows.append(f"| `{name}` | {_type(field)} | {default} | {_plain(field.get('description', ''))} |")
    return [*rows, ""]


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{value}`"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return _title(_name(field["$ref"]))
    if "anyOf" in field:
        kinds = [_type(each) for each in field["anyOf"] if each.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return _scalar(field)


def _scalar(field: dict[str, Any]) -> str:
    pattern = str(field.get("pattern", ""))
    kind = field.get("type")
    if "%" in pattern:
        return "percentage"
    if "d)" in pattern or "ms" in pattern:
        return "duration"
    if "iB" in pattern:
        return "size"
    if field.get("format") == "date":
        return "date"
    if kind == ["number", "string"]:
        return "share of one" if field.get("maximum") == 1 else "money"
    words = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`", "object": "mapping"}
    return words.get(str(kind), "any value")


def _nested(schema: dict[str, Any], definitions: dict[str, dict[str, Any]], seen: list[str]) -> list[str]:
    for reference in _references(schema):
        name = _name(reference)
        if name not in seen and definitions[name].get("type") == "object":
            seen.append(name)
            _nested(definitions[name], definitions, seen)
    return seen


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [each for name, each in cast("dict[str, Any]", value).items() if name == "$ref"]
        return own + [found for each in cast("dict[str, Any]", value).values() for found in _references(each)]
    if isinstance(value, list):
        return [found for each in cast("list[Any]", value) for found in _references(each)]
    return []


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _title(name: str) -> str:
    return "".join(
        f" {each.lower()}" if each.isupper() else each for each in name.removesuffix("Spec")
    ).strip()


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _later() -> str:
    named = ", ".join(f"`{each}`" for each in LATER)
    return f'## Not yet\n\nThese kinds are refused with their line and "not supported yet": {named}.\n'
