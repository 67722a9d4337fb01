"""Values of documents are said so that a person can agree to them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from interlock.core.document.tool import Companion
from interlock.core.wording import said


class _Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        ((), "nothing"),
        ({}, "nothing"),
        (True, "yes"),
        (0, "0"),
        (_Colour.RED, "red"),
        (("a", "b"), "a, b"),
        ({"a": [1, (2, None)], "b": {}}, "{a: [1, [2, nothing]], b: nothing}"),
        ((Companion(tool="a.b", arguments={"c": "$args.c"}),), "{tool: a.b, arguments: {c: $args.c}}"),
        (Companion(tool="a.b", arguments={}, within=60), "{tool: a.b, arguments: nothing, within: 60}"),
        ("x" * 1_001, f"{'x' * 1_000} … (cut off)"),
    ],
)
def test_a_value_is_said_with_all_that_was_set(value: Any, words: str) -> None:
    assert said(value) == words
