"""A name means the model whose pattern it fits, with a date in either spelling."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.model_name import matches, spellings


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ({"equals": "gpt-5"}, "gpt-5", True),
        ({"equals": "gpt-5"}, "gpt-5-mini", False),
        ({"starts_with": "gpt-5"}, "gpt-5-mini", True),
        ({"ends_with": "-mini"}, "gpt-5-mini", True),
        ({"contains": "claude"}, "eu.claude-5", True),
        ({"regex": r"^o\d$"}, "o3", True),
        ({"regex": r"^o\d$"}, "o3-mini", False),
        ({"any": [{"equals": "a"}, {"equals": "b"}]}, "b", True),
        ({"any": []}, "b", False),
        ({"all": [{"starts_with": "a"}, {"ends_with": "z"}]}, "abz", True),
        ({"all": [{"starts_with": "a"}, {"ends_with": "z"}]}, "ab", False),
    ],
)
def test_a_pattern_means_the_names_it_fits(pattern: dict[str, Any], name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_a_date_is_looked_for_in_both_spellings() -> None:
    assert spellings("GPT-5.2-20261211") == ("gpt-5.2-20261211", "gpt-5.2-2026-12-11")
    assert spellings("gpt-5-99999999") == ("gpt-5-99999999",)


def test_an_unknown_kind_of_pattern_is_no_match_but_a_fault() -> None:
    with pytest.raises(KeyError):
        matches({"sounds_like": "gpt"}, "gpt")
