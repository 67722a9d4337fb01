"""Globs match as a reader expects and never take long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.policy.glob import compile_glob


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=12))
def test_a_glob_means_what_its_regular_expression_means(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    assert compile_glob(pattern)(text) == bool(re.fullmatch(expression, text, re.DOTALL))


@pytest.mark.parametrize("pattern", ["*a" * 30 + "*b", "*?a" * 20 + "*b", "a*" * 40 + "c"])
def test_no_pattern_makes_it_run_for_ever(pattern: str) -> None:
    matches = compile_glob(pattern)
    started = time.perf_counter()
    assert not matches("a" * 20_000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "matches"), [("xaybcx", True), ("abc", False), ("aybcaxbc", True), ("xbc", False)]
)
def test_a_question_mark_between_stars_is_looked_for_everywhere(text: str, matches: bool) -> None:
    assert compile_glob("*a?bc*")(text) is matches
