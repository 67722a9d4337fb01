"""Operators: a test answers yes or no, or says that it cannot (A5). The forms themselves: test_rule_forms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.policy.operator import OPERATORS, BadOperand, Unclear, kind_of

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab@.*", max_size=4)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2)
)
opposites = st.sampled_from(
    [
        ("eq", "ne"),
        ("in", "not_in"),
        ("le", "gt"),
        ("ge", "lt"),
        ("all_in", "any_not_in"),
        ("all_suffix", "any_not_suffix"),
    ]
)


def answer(operator: str, operand: Any, value: Any) -> bool | str:
    try:
        test = OPERATORS[operator](operand)
    except BadOperand:
        return "bad operand"
    try:
        return test(value)
    except Unclear:
        return "cannot tell"


@given(st.sampled_from(list(OPERATORS)), values, values)
def test_any_operator_with_any_operand_and_value_answers_or_says_why_not(
    operator: str, operand: Any, value: Any
) -> None:
    assert answer(operator, operand, value) in (True, False, "cannot tell", "bad operand")


@given(opposites, values, values)
def test_opposites_disagree_or_neither_can_tell(pair: tuple[str, str], operand: Any, value: Any) -> None:
    one, other = (answer(operator, operand, value) for operator in pair)
    assert one == other if isinstance(one, str) else one is not other


@given(values)
def test_a_value_is_clearly_equal_only_to_its_own_kind(value: Any) -> None:
    for other in (True, 1, 1.0, "1", None, [], {}):
        if answer("eq", value, other) is True:
            assert type(value) is type(other)


def test_kinds_have_names() -> None:
    named = [kind_of(value) for value in ("", 1, True, 1.5, [], {}, None, b"")]
    assert named == [
        "text",
        "a whole number",
        "true or false",
        "a number with a fraction",
        "a list",
        "an object",
        "null",
        "something else",
    ]


def test_what_an_empty_list_wants_is_said_too() -> None:
    with pytest.raises(Unclear, match="nothing, for the list is empty"):
        OPERATORS["in"]([])("a")
