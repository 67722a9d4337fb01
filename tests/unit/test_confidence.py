"""What is not known counts as low, and a floor only ever asks for more (F1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.confidence import MOST_TRIALS, Confidence, asked, low_score, novel
from interlock.core.document.workflow import Autonomy
from interlock.core.evidence import clean_needed

BOTH = Confidence(floor=7_000, trials=5)


def test_a_workflow_that_declares_nothing_asks_for_nothing() -> None:
    assert asked(Autonomy()) is None
    assert asked(Autonomy(confidence_floor=7_000)) == Confidence(floor=7_000, trials=0)
    assert asked(Autonomy(familiar_after=5)) == Confidence(floor=None, trials=5)


def test_a_score_below_the_floor_and_none_at_all_are_low() -> None:
    assert low_score(BOTH, 4_200) == "The run's quality score 0.42 is below 0.7, so a person decides (F1)."
    assert "no quality score yet: unknown counts as low" in low_score(BOTH, None)
    assert low_score(BOTH, 7_000) == ""
    assert low_score(Confidence(floor=None, trials=5), None) == ""


def test_a_tool_is_new_until_its_clean_trials_are_enough() -> None:
    assert "crm.update is new to this version of the workflow: 4 of 5 clean trials" in novel(
        BOTH, "crm.update", 4
    )
    assert novel(BOTH, "crm.update", 5) == ""
    assert novel(Confidence(floor=7_000, trials=0), "crm.update", 0) == ""


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, MOST_TRIALS))
def test_a_higher_floor_never_passes_what_a_lower_one_holds_up(
    low: int, more: int, score: int, seen: int
) -> None:
    if low_score(Confidence(floor=low, trials=0), score):
        assert low_score(Confidence(floor=max(low, more), trials=0), score)
    if novel(Confidence(floor=None, trials=low), "t", seen):
        assert novel(Confidence(floor=None, trials=max(low, more)), "t", seen)


@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_no_workflow_can_ask_for_more_trials_than_a_promotion_takes(rate: float) -> None:
    assert clean_needed(0, rate) > MOST_TRIALS


def test_it_is_said_in_words_what_a_person_is_asked_for() -> None:
    assert BOTH.in_words == (
        "a person below a quality score of 0.7",
        "a person until 5 of its trials were clean",
    )
    assert Confidence(floor=None, trials=1).in_words == ("a person until 1 of its trials were clean",)
    assert Confidence(floor=1, trials=0).in_words == ("a person below a quality score of 0.0001",)
