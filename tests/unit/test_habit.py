"""From the second call on an estimate is close; late calls count more; memory is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.habit import USUAL_OUTPUT, Habit, Habits, ratio_of


def learned(*replies: tuple[int, int]) -> Habit:
    habit = Habit()
    for size, tokens in replies:
        habit.learn(size=size, input=tokens, cached=tokens // 2, output=100, reasoning=25)
    return habit


def test_nothing_learned_is_300_tokens_per_thousand_bytes() -> None:
    expected = Habit().expect(1_000)
    assert 300 <= expected.input <= 301
    assert (expected.output, expected.cached, expected.reasoning) == (USUAL_OUTPUT, 0, None)


@given(st.integers(1_000, 1_000_000), st.integers(50, 900))
def test_one_reply_is_enough_for_a_close_estimate(size: int, per_thousand: int) -> None:
    habit = learned((size, size * per_thousand // 1_000))
    true = 2 * size * per_thousand // 1_000
    assert abs(habit.tokens(2 * size) - true) <= true // 50 + 2


def test_the_rest_is_learned_too() -> None:
    expected = learned((10_000, 2_500)).expect(10_000, media=100)
    assert expected.input in (2_600, 2_601)
    assert expected.cached == expected.input * 500 // 1_000
    assert 100 <= expected.output <= 104
    assert expected.reasoning == expected.output * 250 // 1_000


def test_media_are_not_taken_for_text() -> None:
    habit = Habit()
    habit.learn(size=10_000, input=4_000, cached=0, output=1, reasoning=0, media=1_500)
    assert habit.tokens(10_000) in (2_500, 2_501)
    assert habit.expect(10_000, media=1_500).input in (4_000, 4_001)


def test_late_calls_count_more_than_early_ones() -> None:
    habit = learned((1_000, 250), *[(1_000, 500)] * 20)
    assert 490 <= habit.tokens(1_000) <= 501


def test_an_estimate_never_passes_the_bytes() -> None:
    assert learned((100, 5_000)).tokens(10) == 10
    assert Habit().tokens(0) == 0


def test_a_reply_that_says_nothing_teaches_nothing() -> None:
    assert learned((0, 50)) == Habit()
    assert learned((50, 0)) == Habit()


def test_old_answers_fade() -> None:
    habit = learned(*[(1_000, 250)] * 512)
    assert habit.outputs.count == 256


def test_a_ratio_that_was_counted_counts_instead_of_the_one_learned() -> None:
    habit = learned((1_000, 250))
    assert habit.expect(1_000, ratio=ratio_of(400, 1_000)).input == 401
    assert habit.expect(2_000, media=7, ratio=ratio_of(400, 1_000)).input in (807, 808)
    assert ratio_of(5, 0) == 5 << 20


def test_the_longest_unused_habits_are_forgotten() -> None:
    habits: Habits[str] = Habits(most=2)
    kept = habits.of("a")
    kept.calls = 7
    habits.of("b")
    assert habits.of("a") is kept
    habits.of("c")
    assert habits.of("a") is kept
    assert habits.of("b") == Habit()


def test_how_long_answers_are_is_looked_up_after_each_of_the_first_calls_then_now_and_then() -> None:
    habit = learned(*[(1_000, 250)] * 15)
    usual = habit.output
    for _ in range(32):
        habit.learn(size=1_000, input=250, cached=0, output=4_000, reasoning=0)
    assert usual < 4_000 <= habit.expect(1_000).output
