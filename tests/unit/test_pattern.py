"""A text is made that a plain pattern matches; one that makes no sense breaks nothing (A4)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.pattern import LONGEST, matching


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", ""),
        (r"^\d{4}-\d{2}$", "0000-00"),
        (r"\w+@\S+\.org", "x@x.org"),
        (r"^(EUR|USD)$", "EUR"),
        (r"^(?:a(b|c)|d)e$", "abe"),
        (r"^a|b$", "a"),
        (r"^()x$", "x"),
        (r"x*y?z+?", "z"),
        (r"[^x]", "0"),
        (r"[^x0-_ A]", ""),
        (r"[\]a]b", "]b"),
        (r"[\d]b", "0b"),
        (r"[a\]]{2,}.", "aax"),
        (r"a{,3}b{x}", "ab"),
        (r"{", "{"),
        ("a\\", "a"),
        ("[", ""),
        ("[\\", ""),
        ("(a", "a"),
        (r"\bword\b", "word"),
        ("a{99999}", "a" * 1000),
        (r"^(?P<year>\d{4})-(?<q>Q[1-4])$", "0000-Q1"),
        (r"(?i)^a(?=b)(?!c)(?<=a)(?<!d)b$", "ab"),
        (r"(?i:a)b", "ab"),
        (r"^\p{L}\P{Lu}[\p{L}-]$", "xxx"),
        (r"\p", "p"),
        (r"a\n\t", "a\n\t"),
    ],
)
def test_a_plain_pattern_has_a_text_that_it_matches(pattern: str, text: str) -> None:
    assert matching(pattern) == text


@pytest.mark.parametrize(
    ("pattern", "least", "length"),
    [
        (r"^T-[0-9]+$", 6, 6),
        (r"^([A-Z0-9]+)$", 4, 4),
        (r"^(?:ab)+$", 5, 6),
        (r"^a?b{2,4}c{3}$", 8, 8),
        (r"^[a-z]*-?x{2,}$", 9, 9),
        (r"^[A-Z]{3}$", 9, 3),
        (r"^()*a+$", 3, 3),
    ],
)
def test_a_part_that_may_repeat_makes_the_text_long_enough(pattern: str, least: int, length: int) -> None:
    text = matching(pattern, least)
    assert re.fullmatch(pattern, text)
    assert len(text) == length


@given(st.text(alphabet="ab\\[](){}|?*+^$.,:<=!P1-", max_size=20), st.integers(0, 30))
def test_no_pattern_breaks_it(pattern: str, least: int) -> None:
    assert len(matching(pattern, least)) <= LONGEST


@pytest.mark.parametrize(
    "pattern", ["(" * 1_000, "(" * 499 + "a" + ")" * 499, "(" * 160 + "a" + "){99}" * 160]
)
def test_groups_within_groups_without_end_are_given_up(pattern: str) -> None:
    assert isinstance(matching(pattern, 5), str)
    assert matching("(" * 19 + "a" + ")" * 19) == "a"
