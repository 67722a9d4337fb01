"""The packaged price list as ours agrees with the library it comes from, to the last nano-dollar."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import genai_prices
import pytest
from genai_prices import types
from genai_prices.data import providers as library
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.document.provider import Provider
from interlock.core.model import SECOND, WireFamily
from interlock.core.price_book import PriceBook, lists_for
from interlock.core.pricing import Price, cost
from interlock.core.usage import Usage, anthropic, openai_chat, openai_responses
from interlock.upstream.price_list import PriceList, converted

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MODELS = [
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-5.4-2026-03-05"),
    ("openai", "gpt-5-20250807"),
    ("openai", "text-embedding-3-small"),
    ("anthropic", "claude-opus-5"),
    ("anthropic", "claude-sonnet-4-5-20250929"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-pro"),
    ("groq", "llama-3.3-70b-versatile"),
    ("mistral", "mistral-large-latest"),
]
count = st.integers(0, 300_000)


@cache
def our_list() -> PriceList:
    return converted(library, "genai-prices")


@cache
def our_book() -> PriceBook:
    ours = our_list()
    declared = [
        Provider(name=each.name, base_url="http://127.0.0.1", wire_formats=tuple(WireFamily)[:1])
        for each in ours.providers
    ]
    return PriceBook(
        listings=ours.listings,
        lists={each.name: lists_for(each, ours.providers) for each in declared},
        providers=declared,
    )


def our_price(provider: str, model: str) -> Price:
    found = our_book().find(provider, model, now=int(NOW.timestamp()) * SECOND)
    assert found is not None
    return found


@given(
    which=st.sampled_from(MODELS),
    parts=st.tuples(count, count, count, count, count),
    tier=st.sampled_from(["", "flex", "priority"]),
)
def test_a_call_costs_what_the_library_says_rounded_up(
    which: tuple[str, str], parts: tuple[int, int, int, int, int], tier: str
) -> None:
    uncached, read, short, long, output = parts
    ours = Usage(
        input_uncached=uncached, cache_read=read, cache_write_5m=short, cache_write_1h=long, output=output
    )
    theirs = genai_prices.Usage(
        input_tokens=ours.input,
        cache_read_tokens=read,
        cache_write_tokens=short + long,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=output,
    )
    said = genai_prices.calc_price(
        theirs,
        which[1],
        provider_id=which[0],
        genai_request_timestamp=NOW,
        price_context={"service_tier": tier} if tier else None,
    )
    exact = said.total_price * Decimal(10**9)
    assert exact <= cost(ours, our_price(*which), service_tier=tier) < exact + 1


def test_every_name_the_library_knows_means_the_same_model() -> None:
    for each in library:
        for model in each.models:
            listed = our_book().find(each.id, model.id, now=int(NOW.timestamp()) * SECOND)
            theirs = each.find_model(model.id, all_providers=library)
            if listed is not None and theirs is not None:
                assert listed.model == theirs.id


def test_a_model_that_is_not_sold_by_the_token_has_no_price() -> None:
    assert our_book().find("openai", "whisper-1", now=0) is None


def test_a_model_whose_pictures_cost_more_than_its_words_has_no_price() -> None:
    assert our_book().find("google", "gemini-2.5-flash-image", now=0) is None
    assert our_book().find("google", "gemini-2.5-flash", now=0) is not None


def test_a_list_with_a_negative_price_is_refused_whole() -> None:
    (openai,) = [each for each in library if each.id == "openai"]
    (model,) = [each for each in openai.models if each.id == "gpt-4o-mini"]
    price = types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(-1))
    forged = replace(model, prices=price, price_variants=None)
    with pytest.raises(ValueError, match="gpt-4o-mini has a negative price"):
        converted([replace(openai, models=[forged])], "a forged list")


RAW: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("openai", "chat", openai_chat, {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}),
    (
        "openai",
        "chat",
        openai_chat,
        {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "total_tokens": 140,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 0},
        },
    ),
    (
        "openai",
        "responses",
        openai_responses,
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens": 40,
            "output_tokens_details": {"reasoning_tokens": 30},
        },
    ),
    (
        "groq",
        "default",
        openai_chat,
        {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "queue_time": 0.1},
    ),
    (
        "x-ai",
        "chat",
        openai_chat,
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
    ),
    (
        "anthropic",
        "default",
        anthropic,
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70},
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 5},
            "server_tool_use": {"web_search_requests": 2},
        },
    ),
]


@pytest.mark.parametrize(("provider", "flavor", "read", "raw"), RAW)
def test_usage_reads_as_the_library_reads_it(provider: str, flavor: str, read: Any, raw: Any) -> None:
    (source,) = [each for each in library if each.id == provider]
    _, theirs = source.extract_usage({"model": "m", "usage": raw}, api_flavor=flavor)
    ours: Usage = read(raw)
    said = theirs.reported_value
    assert (ours.input, ours.output) == (said("input_tokens"), said("output_tokens"))
    assert ours.cache_read == said("cache_read_tokens")
    assert ours.reasoning == said("output_reasoning_tokens")
    assert ours.cache_write_5m + ours.cache_write_1h == said("cache_write_tokens")
    assert ours.cache_write_1h == said("cache_write_1h_tokens")
    assert ours.tools.get("web_search", 0) == said("web_searches")
