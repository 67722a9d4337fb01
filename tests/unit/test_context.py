"""Bytes bound tokens, percentiles are read per deployment, and slow growth is seen as growth."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.context import (
    MOST_MEDIA_TOKENS,
    Reading,
    Size,
    TrendRule,
    growth,
    measure,
    most_input,
    near,
    reading,
)
from interlock.core.sketch import Sketch


def readings(*p95s: int, calls: int = 100) -> list[Reading]:
    return [
        Reading(version=number, calls=calls, mean=p95 // 2, p95=p95, p99=p95)
        for number, p95 in enumerate(p95s, 1)
    ]


@given(st.text(max_size=200))
def test_a_text_is_all_bytes(text: str) -> None:
    raw = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    assert measure(raw) == Size(bytes=len(raw), text=len(raw), media=0)


def test_encoded_media_are_not_text() -> None:
    data = base64.b64encode(b"\x00" * 30_000).decode()
    image = {"type": "image", "source": {"type": "base64", "data": data}}
    raw = json.dumps({"content": [image]}).encode()
    size = measure(raw)
    assert (size.bytes, size.media) == (len(raw), 1)
    assert size.text == len(raw) - len(data)


def test_media_that_are_only_named_count_too() -> None:
    raw = b'{"content": [{"type":"image_url","image_url":{"url":"https://a.example"}}, {"type": "file"}]}'
    assert measure(raw) == Size(bytes=len(raw), text=len(raw), media=2)


def test_bytes_bound_tokens_and_so_does_the_window() -> None:
    size = Size(bytes=1_000, text=1_000)
    assert most_input(size, window=None) == 1_000
    assert most_input(size, window=400) == 400
    assert most_input(Size(bytes=1_000, text=900, media=2), window=None) == 1_000 + 2 * MOST_MEDIA_TOKENS


def test_only_the_window_bounds_what_is_at_the_provider() -> None:
    size = Size(bytes=10, text=10)
    assert most_input(size, window=8_000, remote=True) == 8_000
    assert most_input(size, window=None, remote=True) is None


def test_every_call_of_a_server_tool_reads_the_context_again() -> None:
    assert most_input(Size(bytes=10, text=10), window=8_000, server_calls=2) == 24_000


@pytest.mark.parametrize(("estimate", "said"), [(899, False), (900, True), (1_000, True), (1_101, False)])
def test_counting_is_worth_it_near_a_line_only(estimate: int, said: bool) -> None:
    assert near(estimate, 1_000) is said


def sketch(*numbers: int) -> Sketch:
    made = Sketch()
    for number in numbers:
        made.add(number)
    return made


def test_a_reading_is_over_all_models_of_a_deployment() -> None:
    told = reading(7, [(sketch(*[1_000] * 98, 5_000), 10_000), (sketch(8_000), 10_000)])
    assert (told.version, told.calls, told.mean) == (7, 100, 1_110)
    assert 1_000 <= told.p95 <= 1_032
    assert 5_000 <= told.p99 <= 5_160
    assert told.utilisation in range(100, 104)


def test_only_a_known_window_can_be_used() -> None:
    assert reading(1, [(sketch(500), None)]).utilisation is None
    assert reading(1, []) == Reading(version=1, calls=0, mean=0, p95=0, p99=0)
    assert reading(1, [(sketch(500), None), (sketch(900), 1_000)]).utilisation in range(900, 930)


def test_a_context_that_grew_by_a_fifth_is_told() -> None:
    grown = growth(readings(1_000, 1_200))
    assert grown is not None
    assert (grown.measure, grown.rise, grown.before.version, grown.after.version) == ("p95", 200, 1, 2)
    assert growth(readings(1_000, 1_190)) is None
    assert growth(readings(1_200, 1_000)) is None


def test_many_small_steps_are_seen_as_one() -> None:
    grown = growth(readings(1_000, 1_080, 1_160, 1_240))
    assert grown is not None
    assert (grown.before.version, grown.after.version, grown.rise) == (1, 4, 240)


def test_what_is_long_past_is_no_measure() -> None:
    assert growth(readings(100, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000)) is None


def test_the_mean_alone_can_grow() -> None:
    before, after = readings(1_000, 1_000)
    grown = growth([before, Reading(version=2, calls=100, mean=900, p95=after.p95, p99=after.p99)])
    assert grown is not None
    assert grown.measure == "mean"


def test_a_deployment_with_few_calls_says_nothing_yet() -> None:
    few = Reading(version=3, calls=49, mean=9_000, p95=9_000, p99=9_000)
    assert growth([*readings(1_000, 1_000), few]) is None
    assert growth(readings(1_000)) is None
    assert growth([]) is None
    skipped = growth([readings(1_000)[0], few, Reading(version=4, calls=50, mean=1, p95=2_000, p99=1)])
    assert skipped is not None
    assert skipped.before.version == 1


def test_nothing_before_is_no_division_by_zero() -> None:
    assert growth(readings(0, 100), TrendRule(calls=1)) is not None
