"""Every provider's way of counting comes to the same struct, and no report can break it."""

from __future__ import annotations

from interlock.core.usage import Usage, anthropic, openai_chat


def test_openai_counts_cached_tokens_among_the_prompt() -> None:
    usage = openai_chat(
        {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}
    )
    assert usage == Usage(input_uncached=40, cache_read=60, output=7)
    assert (usage.input, usage.context) == (100, 107)


def test_anthropic_counts_cached_tokens_beside_the_input() -> None:
    usage = anthropic({"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 7})
    assert usage == Usage(input_uncached=40, cache_read=60, output=7)
