"""Conditions in words, and untrusted values shown short and escaped."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.policy.operator import OPERATORS
from interlock.core.policy.phrase import phrased, said, shown


@pytest.mark.parametrize(
    ("operator", "operand", "words"),
    [
        ("eq", "EUR", '"EUR"'),
        ("le", 50000, "up to 50000"),
        ("ne", None, "anything but null"),
        ("in", list(range(10)), "one of 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
        ("not_in", ["a"], 'none of "a"'),
        ("len", {"ge": 1, "lt": 3}, "a length of at least 1 and less than 3"),
        ("len", 3, "a length of 3"),
        ("present", True, "present"),
        ("present", False, "absent"),
        ("eq", {"odd": 1}, ""),
    ],
)
def test_a_condition_in_words(operator: str, operand: Any, words: str) -> None:
    assert said(operator, operand) == words


@pytest.mark.parametrize("operator", list(OPERATORS))
def test_every_operator_has_words(operator: str) -> None:
    assert "$args.other" in phrased(operator, "$args.other")


def test_values_are_short_and_escaped() -> None:
    assert shown("line\n\u202e") == r'"line\n\u202e"'
    assert len(shown("x" * 10_000)) == 80
    assert len(shown(10**200)) == 80
    assert shown([1, 2]) == "a list of 2"
    assert shown({"a": "b"}) == "an object of 1"
