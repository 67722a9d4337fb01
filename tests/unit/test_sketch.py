"""A sketch is small, its mean exact, and its percentiles never understated and hardly overstated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.sketch import MOST, Sketch, bucket_of, edge_of

numbers = st.lists(st.integers(0, 2_000_000), min_size=1, max_size=60)


def sketch(of: list[int]) -> Sketch:
    made = Sketch()
    for number in of:
        made.add(number)
    return made


@given(st.integers(0, MOST))
def test_a_bucket_is_no_wider_than_a_thirty_second(number: int) -> None:
    edge = edge_of(bucket_of(number))
    assert number <= edge
    assert edge - number <= max(number // 32, 0)
    assert bucket_of(edge) == bucket_of(number)


@given(st.integers(0, MOST - 1))
def test_larger_numbers_never_fall_into_earlier_buckets(number: int) -> None:
    assert bucket_of(number) <= bucket_of(number + 1)


@given(numbers, st.integers(1, 1_000))
def test_a_percentile_is_close_above_the_true_one(of: list[int], permille: int) -> None:
    rank = -(-len(of) * permille // 1_000)
    true = sorted(of)[rank - 1]
    read = sketch(of).percentile(permille)
    assert true <= read <= true + true // 32 + 1


@given(numbers, numbers)
def test_sketches_add_up(one: list[int], other: list[int]) -> None:
    kept = sketch(other)
    joined = sketch(one)
    rows = [(bucket, times, 0) for bucket, times in kept.counts.items()]
    joined.take([*rows[1:], (rows[0][0], rows[0][1], kept.total)])
    assert joined == sketch(one + other)
    merged = sketch(one)
    merged.merge(kept)
    assert merged == joined
    assert joined.mean == sum(one + other) // len(one + other)


def test_nothing_has_no_percentile() -> None:
    assert (Sketch().percentile(950), Sketch().mean, Sketch().count) == (0, 0, 0)


def test_a_sketch_is_bounded() -> None:
    assert bucket_of(MOST * 1_000) == bucket_of(MOST) == 832


def test_what_was_added_can_count_half() -> None:
    made = sketch([10, 10, 10, 10, 9_999])
    made.halve()
    assert (made.count, made.percentile(1_000)) == (2, 10)
    empty = Sketch()
    empty.halve()
    assert empty == Sketch()
