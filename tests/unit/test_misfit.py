"""A derived call is held against both input schemas: its names, and the kinds of its values."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.document.tool import Companion
from interlock.core.misfit import misfits

GIVEN: dict[str, Any] = {
    "properties": {
        "order": {"type": "integer"},
        "name": {"type": "string"},
        "any": {},
        "either": {"type": ["string", "null"]},
        "deep": {"properties": {"flag": {"type": "boolean"}}},
    }
}


def said(value: Any, wanted: Any, given: Any = GIVEN) -> list[str]:
    call = Companion(tool="crm.restore", arguments={"id": value})
    return [message for _, message in misfits(call, given, {"properties": {"id": wanted}})]


@pytest.mark.parametrize(
    ("value", "wanted", "unlike"),
    [
        ("$args.order", "string", "string, not as integer"),
        ("$args.name", "integer", "integer, not as string"),
        ("$args.deep.flag", "string", "string, not as boolean"),
        ("$args.either", "integer", "integer, not as null or string"),
        (7, "string", "string, not as integer"),
        (True, "integer", "integer, not as boolean"),
        (None, "string", "string, not as null"),
        ("$$args.order", "integer", "integer, not as string"),
        (["$args.order"], "object", "object, not as array"),
        ({"a": 1}, "array", "array, not as object"),
        (1.5, ["string", "null"], "null or string, not as number"),
    ],
)
def test_a_value_of_another_kind_than_its_argument_is_named(value: Any, wanted: Any, unlike: str) -> None:
    assert said(value, {"type": wanted}) == [f"crm.restore takes 'id' as {unlike}"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("$args.order", {"type": "number"}),
        (1.0, {"type": "integer"}),
        ("$args.either", {"type": "string"}),
        ("$args.any", {"type": "string"}),
        ("$args.deep.else", {"type": "string"}),
        ("$result.id", {"type": "string"}),
        ("$args.order", {}),
        ("$args.order", True),
        ("$args.order", {"type": 5}),
    ],
)
def test_a_value_that_may_fit_is_not_judged(value: Any, wanted: Any) -> None:
    assert said(value, wanted) == []


def test_an_argument_that_does_not_exist_is_named_once() -> None:
    assert said("$args.nope", {"type": "string"}) == ["the tool has no argument 'nope'"]
    assert said("$args.order", {"type": "string"}, given=None) == []
