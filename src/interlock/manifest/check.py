"""What a pydantic model finds wrong, in our words and at its place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from interlock.manifest.field import Strict
from interlock.manifest.problem import ManifestProblem, dotted, near, shown
from interlock.manifest.tree import Node

_SECRETIVE = frozenset({"credentials", "base_url"})


def problems_of(
    model: type[Strict], node: Node, *, part: str = "", document: str = ""
) -> list[ManifestProblem]:
    """Return what `model` finds wrong with `node`, or with its part of that name."""
    try:
        model.model_validate(plain(node, part))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        return [_translated(model, node, part, document, each) for each in details]
    return []


def plain(node: Node, part: str) -> object:
    """Return the plain value of a part of a node; nothing said counts as an empty mapping."""
    child = node.child(part) if part else node
    return {} if child is None or child.value is None else child.plain()


def _translated(
    model: type[Strict], node: Node, part: str, document: str, error: ErrorDetails
) -> ManifestProblem:
    steps = tuple(step for step in error["loc"] if step != "[key]")
    path = (part, *steps) if part else steps
    unknown = error["type"] == "extra_forbidden"
    suggestion = None
    if unknown:
        suggestion = near(str(path[-1]), _fields(model, steps[:-1]))
    elif error["type"] in {"literal_error", "enum"}:
        suggestion = near(str(error["input"]), _choices(error))
    return ManifestProblem(
        place=node.place_of(path, of_key=unknown),
        field=dotted(path),
        message=_message(error),
        document=document,
        near=suggestion,
    )


def _message(error: ErrorDetails) -> str:
    """Say what was expected. What may be or hold a secret is never repeated."""
    given = _given(error["input"]) if _SECRETIVE.isdisjoint(error["loc"]) else "what stands here"
    match error["type"]:
        case "missing":
            return "required and missing"
        case "extra_forbidden":
            return "unknown field"
        case "literal_error" | "enum":
            return f"expected {_listed(_choices(error))}, not {shown(error['input'])}"
        case "value_error":
            return f"{error['msg'].removeprefix('Value error, ')}, not {given}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"expected a mapping, not {given}"
        case "list_type":
            return f"expected a list, not {given}"
        case "string_type":
            return f"expected text, not {given}; quote it"
        case "bool_type":
            return f"expected true or false, not {given}"
        case "int_type":
            return f"expected a whole number, not {given}"
        case _:
            return error["msg"][:1].lower() + error["msg"][1:]


def _given(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "this mapping"
        case list():
            return "a list"
        case _:
            return shown(value)


def _choices(error: ErrorDetails) -> list[str]:
    expected = str(error.get("ctx", {}).get("expected", ""))
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")]


def _listed(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _fields(model: type[Strict], steps: Sequence[str | int]) -> list[str]:
    current: type[Strict] | None = model
    for step in steps:
        if current is not None and isinstance(step, str):
            current = _model_of(current, step)
    if current is None:
        return []
    return [info.alias or name for name, info in current.model_fields.items()]


def _model_of(model: type[Strict], name: str) -> type[Strict] | None:
    info = next((each for own, each in model.model_fields.items() if name in {own, each.alias}), None)
    return _inner_model(info.annotation) if info else None


def _inner_model(annotation: object) -> type[Strict] | None:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    inner = (_inner_model(each) for each in get_args(annotation))
    return next((each for each in inner if each is not None), None)
