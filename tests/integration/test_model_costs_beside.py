"""What a call asks for beside tokens: counted or refused, never free (B1, B8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.core.document.spending import Budget
from interlock.core.pricing import PICO_PER_NANO
from interlock.testing import ModelServer, Reply
from support.model_gateway import (
    CLAUDE,
    GPT,
    PRICE,
    ModelGateway,
    a_model,
    a_model_gateway,
    a_provider,
    manifest,
    providers,
)
from support.money import dollars

pytestmark = pytest.mark.anyio
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
SAID = Reply(input_tokens=12, output_tokens=7)
USED = 12 * 2_000 + 7 * 8_000
FEE = 10_000_000
"""Nano-dollars of a search."""


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer([SAID]) as server:
        yield server


@asynccontextmanager
async def budgeted(upstream: ModelServer, data: Path) -> AsyncGenerator[ModelGateway]:
    """Yield a gateway in which searches have a price, and other tools of providers have none."""
    priced = replace(PRICE, tools={"web_search": FEE * PICO_PER_NANO})
    _, claude = providers(upstream, upstream)
    serving = (a_provider("acme", f"{upstream.url}/v1", a_model(GPT, priced)), claude)
    async with a_model_gateway(manifest(serving, Budget(run=dollars(100))), data) as running:
        yield running


UNCOUNTED: list[tuple[str, dict[str, Any], str]] = [
    (RESPONSES, {"background": True}, "background"),
    (RESPONSES, {"background": 1}, "background"),
    (RESPONSES, {"background": "true", "stream": True}, "background"),
    (RESPONSES, {"Background": True}, "spelt"),
    (CHAT, {"models": ["dear-test"]}, "one model"),
    (CHAT, {"max_tokens": 0}, "below its least"),
    (CHAT, {"best_of": 0}, "below its least"),
]


async def test_what_nobody_could_count_or_bound_is_refused(upstream: ModelServer, tmp_path: Path) -> None:
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        for path, more, said in UNCOUNTED:
            answer = await running.ask(token, path, **more)
            assert (answer.status_code, said in answer.text) == (400, True), answer.text
            assert answer.headers["x-should-retry"] == "false"
        assert (await running.ask(token, RESPONSES, background=False, models=None)).status_code == 200
        assert await running.ask(token, MESSAGES, model=CLAUDE, max_tokens=0)
    assert len(upstream.received) == 2


async def test_a_tool_of_the_provider_without_a_price_is_refused_as_a_model_without_one(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        for kind in ("image_generation", "code_interpreter", "file_search"):
            answer = await running.ask(token, RESPONSES, input="hi", tools=[{"type": kind}])
            assert answer.status_code == 403, answer.text
            assert answer.json()["error"]["code"] == "tool_without_price"
        for kind in ("web_search", "mcp"):
            tools = [{"type": kind}]
            assert (await running.ask(token, RESPONSES, input="hi", tools=tools)).status_code == 200
    assert len(upstream.received) == 2


async def test_a_service_that_costs_more_and_has_no_price_is_refused(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        asked = [
            (CHAT, GPT, {"service_tier": "priority"}),
            (MESSAGES, CLAUDE, {"speed": "fast", "max_tokens": 9}),
        ]
        for path, model, more in asked:
            answer = await running.ask(token, path, model=model, **more)
            assert (answer.status_code, "tier_without_price" in answer.text) == (403, True), answer.text
            assert answer.headers["x-should-retry"] == "false"
        assert upstream.received == []
        for tier in ("auto", "default", "flex"):
            assert (await running.ask(token, service_tier=tier)).status_code == 200


async def test_a_search_is_held_and_charged_where_the_answer_does_not_say_that_there_was_one(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        plain = await running.ask(token)
        searched = await running.ask(token, web_search_options={})
        _, row = await running.rows(running.run(token))
        assert (plain.status_code, searched.status_code) == (200, 200)
        assert (row.cost, dict(row.tools)) == (USED + FEE, {"web_search": 1})
        assert row.cost <= row.held_max
        assert await running.spent()


REMOTE: list[dict[str, Any]] = [
    {"prompt": {"id": "pmpt_1"}},
    {"input": [{"type": "item_reference", "id": "msg_1"}]},
    {"input": [{"id": "rs_1"}, {"role": "user", "content": "hi"}]},
    {"previous_response_id": "resp_1"},
    {"tools": [{"type": "mcp", "server_url": "https://mcp.example.com"}]},
]


async def test_several_answers_and_what_lies_at_the_provider_are_held_for(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        await running.ask(token, max_tokens=100, n=2, best_of=5)
        for more in REMOTE:
            await running.ask(token, RESPONSES, **{"input": "hi", "max_output_tokens": 100} | more)
        whole = [{"id": "msg_1", "type": "message", "role": "assistant", "content": []}]
        await running.ask(token, RESPONSES, input=whole, max_output_tokens=100)
        several, *stored, here = await running.rows(running.run(token))
    assert several.held_max >= 5 * 100 * 8_000
    assert all(row.held_max >= 100_000 * 2_000 for row in stored), stored
    assert here.held_max < 10_000 * 2_000


async def test_a_history_that_is_summed_up_on_the_way_is_held_for_and_charged(
    upstream: ModelServer, tmp_path: Path
) -> None:
    summed_up = {"type": "compaction", "input_tokens": 60_000, "output_tokens": 500}
    usage = {"input_tokens": 20, "output_tokens": 5, "iterations": [summed_up]}
    message = {"type": "message", "model": CLAUDE, "content": [], "usage": usage}
    upstream.script(Reply(raw=json.dumps(message).encode()), SAID)
    compact, cleared = (
        {"edits": [{"type": kind}]} for kind in ("compact_20260112", "clear_tool_uses_20250919")
    )
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        for edits in (compact, cleared):
            await running.ask(token, MESSAGES, model=CLAUDE, max_tokens=300, context_management=edits)
        shorter, plain = await running.rows(running.run(token))
        assert shorter.cost == 60_020 * 2_000 + 505 * 8_000 <= shorter.held_max
        assert plain.held_max < 10_000 * 2_000
        assert await running.spent()


async def test_who_does_not_wait_for_a_whole_answer_pays_for_what_was_expected_of_it(
    upstream: ModelServer, tmp_path: Path
) -> None:
    """Its provider goes on writing, and nobody sees how much."""
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        for path, model in ((CHAT, GPT), (RESPONSES, GPT), (MESSAGES, CLAUDE)):
            upstream.script(Reply(wait=0.6))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.15):
                    await running.ask(token, path, model=model, input="hi", max_tokens=300)
        await running.settled()
        rows = await running.rows(running.run(token))
        assert [(row.ending, row.usage_source) for row in rows] == [("left", "estimated")] * 3
        assert all(0 < row.output <= row.held_max // 8_000 for row in rows), rows
        assert await running.spent()


async def test_a_cap_of_any_size_is_held_for_as_far_as_the_money_goes(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with budgeted(upstream, tmp_path) as running:
        token = await running.token()
        for path, model, cap in ((CHAT, GPT, "max_tokens"), (MESSAGES, CLAUDE, "max_tokens")):
            for size in (2**63 - 1, 10**20):
                answer = await running.ask(token, path, **{"model": model, cap: size})
                assert answer.status_code == 200, answer.text
        assert await running.spent()
    assert all(each.body["max_tokens"] < 10**8 for each in upstream.received)


@pytest.mark.parametrize("budget", [None, Budget(run=dollars(100))])
async def test_numbers_that_no_book_can_hold_spoil_nobodys_books(
    upstream: ModelServer, tmp_path: Path, budget: Budget | None
) -> None:
    """A row that cannot be written would keep those of all others from being written."""
    huge = 10**20
    search = {"type": "web_search", "max_uses": huge}
    asked: list[dict[str, Any]] = [
        {"max_tokens": huge},
        {"max_tokens": 2**62},
        {"tools": [search] * 9, "max_tokens": huge},
    ]
    async with a_model_gateway(manifest(providers(upstream, upstream), budget), tmp_path) as running:
        token, other = await running.token(), await running.token()
        for more in asked:
            assert (await running.ask(token, **more)).status_code in (200, 402, 403)
        assert (await running.ask(token, n=huge)).status_code == 400
        assert (await running.ask(token, best_of=huge)).status_code == 400
        upstream.script(Reply(wait=0.6))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15):
                await running.ask(token, max_tokens=huge, best_of=1_000)
        upstream.script(SAID)
        assert (await running.ask(other)).status_code == 200
        await running.settled()
        assert [row.cost for row in await running.rows(running.run(other))] == [USED]


async def test_a_name_that_no_database_can_hold_spoils_nobodys_books(
    upstream: ModelServer, tmp_path: Path, database_url: str
) -> None:
    served = manifest(providers(upstream, upstream), Budget(run=dollars(100)))
    async with a_model_gateway(served, tmp_path, database=database_url) as running:
        token = await running.token()
        for name in ("null\0byte", "lone\ud800half", "long" * 100_000, "two\nlines"):
            upstream.script(replace(SAID, model=name))
            for stream in (False, True):
                answer = await running.ask(token, stream=stream)
                assert answer.status_code == 200
        rows = await running.rows(running.run(token))
        assert [row.cost >= USED for row in rows] == [True] * 8
        assert all(len(row.served_model) <= 256 and row.served_model.isprintable() for row in rows), rows
