"""A bound is exact, a promotion by luck is rare however often one looks, and a fallen rate is found (F3)."""

from __future__ import annotations

import random
from math import exp, isclose, log
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.evidence import (
    FULL,
    PROOF,
    REVIEWED,
    Seen,
    Watch,
    clean_needed,
    log_evidence,
    log_ratios,
    lower_bound,
    needed,
    proven,
    shown,
    tail,
)

AGENTS = 4_000


@pytest.mark.parametrize(
    ("rate", "confidence", "sizes"),
    [
        (0.05, 0.95, [59, 93, 124, 153, 208]),
        (0.05, 0.99, [90, 130, 165, 198, 259]),
        (0.01, 0.95, [299, 473, 628, 773, 1049]),
        (0.01, 0.99, [459, 662, 838, 1001, 1307]),
    ],
)
def test_the_sample_sizes_are_those_of_the_exact_test(
    rate: float, confidence: float, sizes: list[int]
) -> None:
    assert [needed(rate, failures, confidence=confidence) for failures in (0, 1, 2, 3, 5)] == sizes


@pytest.mark.parametrize(("trials", "failures"), [(299, 0), (473, 1), (773, 3)])
def test_the_bound_passes_exactly_from_the_sample_size_on(trials: int, failures: int) -> None:
    assert lower_bound(trials, failures) >= 0.99
    assert lower_bound(trials - 1, failures) < 0.99
    assert isclose(tail(failures, trials, 1 - lower_bound(trials, failures)), 0.05, abs_tol=1e-9)


def test_without_failures_the_bound_has_a_closed_form_and_without_successes_it_is_nothing() -> None:
    assert isclose(lower_bound(340, 0), 0.05 ** (1 / 340), abs_tol=1e-9)
    assert lower_bound(0, 0) == lower_bound(7, 7) == 0.0


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.0, 1.0))
def test_a_tail_is_the_sum_of_its_terms(trials: int, failures: int, rate: float) -> None:
    ways = [1]
    for k in range(trials):
        ways.append(ways[-1] * (trials - k) // (k + 1))
    exact = sum(ways[k] * rate**k * (1 - rate) ** (trials - k) for k in range(min(failures, trials) + 1))
    assert isclose(tail(failures, trials, rate), exact, abs_tol=1e-9)


def test_what_always_fails_never_fails_less() -> None:
    assert (tail(0, 3, 1.0), tail(3, 3, 1.0), tail(0, 3, 0.0)) == (0.0, 1.0, 1.0)


def test_the_evidence_is_the_mean_of_five_likelihood_ratios() -> None:
    logs = log_ratios(300, 1, 0.01)
    assert len(logs) == 5
    assert isclose(exp(log_evidence(300, 1, 0.01)), mean(exp(each) for each in logs))
    assert log_evidence(0, 0, 0.01) == 0.0


@pytest.mark.parametrize("rate", [0.01, 0.05])
@pytest.mark.parametrize("failed", [0, 1, 2, 7])
def test_what_is_needed_is_the_first_number_that_proves_it(failed: int, rate: float) -> None:
    clean = clean_needed(failed, rate)
    assert proven(clean, failed, rate)
    assert not proven(clean - 1, failed, rate)
    assert log_evidence(clean, failed, rate) >= log(PROOF) > log_evidence(clean - 1, failed, rate)


def test_about_340_clean_trials_prove_more_than_99_percent() -> None:
    assert (clean_needed(0, 0.01), clean_needed(0, 0.05)) == (341, 67)


def promoted_after(rate: float, trials: int, bounds: list[int], chance: random.Random) -> int | None:
    """Look after each trial of an agent that fails with `rate`; return at which it was promoted, if ever.

    The clean trials before a failure are drawn at once, which is the same as one by one.
    """
    clean, step = 0, log(1 - rate)
    for failed, bound in enumerate(bounds):
        more = int(log(1 - chance.random()) / step)
        if clean + more >= bound:
            return bound + failed if bound + failed <= trials else None
        clean += more
        if clean + failed >= trials:
            return None
    return None


@pytest.fixture(scope="module")
def bounds() -> list[int]:
    return [clean_needed(failed, 0.01) for failed in range(90)]


def promotions(rate: float, trials: int, bounds: list[int]) -> list[int]:
    chance = random.Random(11)
    found = (promoted_after(rate, trials, bounds, chance) for _ in range(AGENTS))
    return [each for each in found if each is not None]


def test_an_agent_at_exactly_99_percent_is_promoted_at_most_once_in_twenty(bounds: list[int]) -> None:
    assert len(promotions(0.01, 5_000, bounds)) <= 0.05 * AGENTS
    assert len(promotions(0.015, 5_000, bounds)) <= 0.01 * AGENTS


def test_agents_at_99_8_percent_are_promoted_with_a_median_of_about_341_trials(bounds: list[int]) -> None:
    found = promotions(0.002, 5_000, bounds)
    assert len(found) == AGENTS
    assert 330 <= median(found) <= 350


def test_agents_at_99_5_percent_need_about_five_times_as_long(bounds: list[int]) -> None:
    found = promotions(0.005, 5_000, bounds)
    assert 0.82 * AGENTS <= len(found) <= 0.92 * AGENTS
    assert 1_200 <= median(found) <= 1_800


def alarm_after(watch: Watch, rate: float, chance: random.Random) -> int:
    """Return after how many trials the alarm comes."""
    total = trials = 0
    step = log(1 - rate)
    while not watch.alarmed(total):
        clean = int(log(1 - chance.random()) / step)
        total = watch.after(max(0, total - clean * watch.success), failed=True)
        trials += clean + 1
    return trials


@pytest.mark.parametrize(
    ("watch", "rate", "between"),
    [
        (FULL, 0.005, (3_200, 4_600)),
        (FULL, 0.03, (100, 130)),
        (FULL, 0.2, (10, 13)),
        (REVIEWED, 0.02, (2_300, 3_400)),
        (REVIEWED, 0.08, (60, 75)),
        (REVIEWED, 0.2, (17, 22)),
    ],
)
def test_a_rate_that_fell_is_found_soon_and_one_that_did_not_is_left_alone(
    watch: Watch, rate: float, between: tuple[int, int]
) -> None:
    chance = random.Random(5)
    low, high = between
    assert low <= mean(alarm_after(watch, rate, chance) for _ in range(2_000)) <= high


def test_what_a_trial_adds_and_takes_is_what_the_rates_say() -> None:
    assert (FULL.failure, FULL.success) == (1_791_759, 25_447)
    assert (REVIEWED.failure, REVIEWED.success) == (1_386_294, 63_179)
    assert FULL.after(10, failed=False) == 0


def test_full_autonomy_is_lost_by_two_failures_back_to_back() -> None:
    once = FULL.after(0, failed=True)
    assert not FULL.alarmed(once)
    assert FULL.alarmed(FULL.after(once, failed=True))


def test_what_is_shown_fades_and_old_versions_weigh_a_quarter_at_most() -> None:
    assert shown([]).rate is None
    assert shown([Seen(failed=True, age=91)]).weight == 0.0
    fresh = shown([Seen(failed=False, age=1)] * 5_000)
    assert 1_390 < fresh.weight < 1_443
    mixed = shown([*[Seen(failed=False, age=1)] * 30, *[Seen(failed=True, age=20, old=True)] * 300])
    assert mixed.rate is not None
    assert isclose(mixed.rate, 0.75)
    assert shown([Seen(failed=True, age=1, old=True)]).weight == 0.0
