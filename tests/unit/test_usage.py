"""Every provider's way of counting comes to the same struct, and no report can break it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.usage import (
    MOST_TOKENS,
    Usage,
    UsageSource,
    anthropic,
    at_least,
    embeddings,
    estimated,
    merge,
    openai_chat,
    openai_responses,
    reported,
    tier_of,
    tokens,
)

UNCERTAIN = UsageSource.UNCERTAIN
counts = st.integers(0, 10_000)
garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = [
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens",
    "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details", "reasoning_tokens",
    "cache_creation", "cache_creation_input_tokens", "cache_read_input_tokens", "server_tool_use",
    "ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens", "thinking_tokens", "web_search_requests",
]  # fmt: skip
reports = st.dictionaries(
    st.sampled_from(NAMES), garbage | st.dictionaries(st.sampled_from(NAMES), garbage | counts), max_size=12
)


def test_openai_counts_cached_tokens_among_the_prompt() -> None:
    usage = openai_chat(
        {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}
    )
    assert usage == Usage(input_uncached=40, cache_read=60, output=7)
    assert (usage.input, usage.context) == (100, 107)


def test_anthropic_counts_cached_tokens_beside_the_input() -> None:
    usage = anthropic({"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 7})
    assert usage == Usage(input_uncached=40, cache_read=60, output=7)


@given(uncached=st.integers(1, 10_000), read=counts, written=counts, output=counts)
def test_the_same_call_is_the_same_usage_in_every_dialect(
    uncached: int, read: int, written: int, output: int
) -> None:
    prompt, details = uncached + read + written, {"cached_tokens": read, "cache_write_tokens": written}
    expected = Usage(input_uncached=uncached, cache_read=read, cache_write_5m=written, output=output)
    chat = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": details}
    response = {"input_tokens": prompt, "output_tokens": output, "input_tokens_details": details}
    message = {
        "input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": output,
    }
    assert openai_chat(chat) == openai_responses(response) == anthropic(message) == expected


@given(raw=reports)
def test_no_report_raises_or_counts_below_zero(raw: dict[str, Any]) -> None:
    for usage in (openai_chat(raw), openai_responses(raw), anthropic(raw), embeddings(raw)):
        parts = (usage.input_uncached, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h)
        assert all(count >= 0 for count in (*parts, usage.output, *usage.tools.values()))
        assert 0 <= usage.reasoning <= usage.output


@pytest.mark.parametrize(
    "wrong", [-1, 1.5, "12", True, [], {}, MOST_TOKENS + 1, float("nan"), float("inf"), None]
)
def test_a_count_that_cannot_be_right_makes_the_usage_uncertain(wrong: object) -> None:
    assert openai_chat({"prompt_tokens": wrong, "completion_tokens": 7}) == Usage(output=7, source=UNCERTAIN)


@pytest.mark.parametrize("read", [openai_chat, openai_responses, anthropic, embeddings])
def test_a_report_of_nothing_read_is_not_believed(read: Any) -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 0, "output_tokens": 0}
    assert read(nothing) == Usage(source=UNCERTAIN)


def test_a_whole_number_may_come_with_a_decimal_point() -> None:
    assert embeddings({"prompt_tokens": 12.0}) == Usage(input_uncached=12)


def test_what_is_not_an_object_at_all_is_uncertain() -> None:
    nothing: Any = ["prompt_tokens"]
    assert openai_chat(nothing) == Usage(source=UNCERTAIN)
    assert anthropic({"input_tokens": 1, "output_tokens": 1, "cache_creation": 3}) == Usage(
        input_uncached=1, output=1
    )


def test_a_part_larger_than_its_whole_is_cut_and_uncertain() -> None:
    usage = openai_chat(
        {"prompt_tokens": 10, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}
    )
    assert usage == Usage(cache_read=10, output=7, source=UNCERTAIN)


def test_reasoning_is_a_part_of_the_output() -> None:
    raw = {"prompt_tokens": 9, "completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 5}}
    assert openai_chat(raw) == Usage(input_uncached=9, output=8, reasoning=5)


def test_reasoning_counted_beside_the_completion_is_found_in_the_total() -> None:
    raw = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }
    assert openai_chat(raw) == Usage(input_uncached=32, output=103, reasoning=94)


@pytest.mark.parametrize("field", ["prompt_cache_hit_tokens", "cached_tokens"])
def test_a_compatible_provider_may_name_cached_tokens_its_own_way(field: str) -> None:
    usage = openai_chat({"prompt_tokens": 100, "completion_tokens": 1, field: 64})
    assert (usage.input_uncached, usage.cache_read) == (36, 64)


def test_audio_tokens_are_counted_where_they_cost_extra() -> None:
    raw = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_tokens_details": {"audio_tokens": 8},
        "completion_tokens_details": {"audio_tokens": 4},
    }
    usage = openai_chat(raw)
    assert (usage.input, usage.output, usage.tools) == (20, 9, {"input_audio": 8, "output_audio": 4})


def test_a_response_names_its_server_side_tool_calls_in_its_output() -> None:
    items = [{"type": "web_search_call"}, {"type": "message"}, {"type": "web_search_call"}, "text", {}]
    usage = openai_responses({"input_tokens": 5, "output_tokens": 2}, items)
    assert usage == Usage(input_uncached=5, output=2, tools={"web_search": 2})


def test_anthropic_cache_writes_are_told_apart_by_their_life() -> None:
    raw = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70},
    }
    assert anthropic(raw) == Usage(input_uncached=1, cache_write_5m=30, cache_write_1h=70, output=2)
    del raw["cache_creation"]
    assert anthropic(raw).cache_write_5m == 100


def test_anthropic_thinking_and_searches_are_counted() -> None:
    raw = {
        "input_tokens": 1,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 6},
        "server_tool_use": {"web_search_requests": 3},
    }
    assert anthropic(raw) == Usage(input_uncached=1, output=9, reasoning=6, tools={"web_search": 3})


def test_what_anthropic_did_beside_the_answer_stands_only_among_its_iterations_and_counts() -> None:
    summed_up = {"type": "compaction", "input_tokens": 180, "output_tokens": 35, "cache_read_input_tokens": 7}
    answered = {"type": "message", "input_tokens": 23, "output_tokens": 10}
    raw: Any = {"input_tokens": 23, "output_tokens": 10, "iterations": [summed_up, answered]}
    assert anthropic(raw) == Usage(input_uncached=203, cache_read=7, output=45)
    raw = {"input_tokens": 0, "output_tokens": 0, "iterations": [summed_up]}
    assert anthropic(raw).source is UsageSource.PROVIDER
    raw = {"input_tokens": 23, "output_tokens": 10, "iterations": [summed_up | {"output_tokens": -1}]}
    assert anthropic(raw).source is UsageSource.UNCERTAIN


def test_of_two_reports_of_a_stream_the_later_counts_where_it_speaks() -> None:
    start = {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 1}
    delta = {"output_tokens": 25, "input_tokens": None}
    assert anthropic(merge(merge({}, start), delta)) == Usage(input_uncached=40, cache_read=60, output=25)


def test_embeddings_have_no_output() -> None:
    assert embeddings({"prompt_tokens": 5, "total_tokens": 5}) == Usage(input_uncached=5)
    assert embeddings({}).source is UNCERTAIN


@pytest.mark.parametrize(
    "event",
    [
        {"usage": {"prompt_tokens": 5}},
        {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 5}},
        {"type": "response.completed", "response": {"usage": {"prompt_tokens": 5}}},
        {"type": "message_start", "message": {"usage": {"prompt_tokens": 5}}},
        {"usage": None, "x_groq": {"id": "req_1", "usage": {"prompt_tokens": 5}}},
    ],
)
def test_usage_is_found_wherever_an_event_carries_it(event: dict[str, Any]) -> None:
    assert reported(event) == {"prompt_tokens": 5}


@pytest.mark.parametrize("event", [{}, {"usage": None}, {"usage": {}}, {"usage": 3, "message": "usage"}])
def test_an_event_without_usage_reports_none(event: dict[str, Any]) -> None:
    assert reported(event) is None


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        (({}, {}), ""),
        (({"service_tier": "flex"}, {}), "flex"),
        (({"service_tier": None}, {"service_tier": "priority"}), "priority"),
        (({}, {"service_tier": "standard", "speed": "fast"}), "fast"),
        (({}, {"service_tier": "standard", "speed": "standard"}), "standard"),
    ],
)
def test_the_service_tier_is_what_the_reply_says(said: Any, tier: str) -> None:
    assert tier_of(*said) == tier


def test_what_nobody_reported_is_estimated_from_the_bytes_and_rounded_up() -> None:
    assert [tokens(size) for size in (0, 1, 1000, 1001)] == [0, 1, 300, 301]
    assert estimated(input_tokens=12, output_bytes=10) == Usage(
        input_uncached=12, output=3, source=UsageSource.ESTIMATED
    )


def test_an_uncertain_report_is_never_less_than_what_was_seen() -> None:
    seen = estimated(input_tokens=50, output_bytes=1000)
    doubtful = Usage(input_uncached=10, cache_read=20, output=5, source=UNCERTAIN)
    raised = at_least(doubtful, seen)
    assert (raised.input, raised.cache_read, raised.output, raised.source) == (50, 20, 300, UNCERTAIN)
    certain = Usage(input_uncached=10, output=5)
    assert at_least(certain, seen) is certain
