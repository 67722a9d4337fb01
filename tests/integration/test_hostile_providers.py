"""What a provider may answer that is wrong on purpose: it gains nothing, and harms nobody but its own call.

Usage that cannot be, answers of another kind than was asked, bombs, redirects, headers in our name: the
caller gets an answer, the call is charged for what passed at least, the next one goes well (B1, B8).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.core.document.provider import DeclaredPrice, DeclaredRates
from interlock.core.document.spending import Budget
from interlock.testing import ModelServer, Reply
from interlock.upstream.llm.packed import PIECE, Unpacker
from support.model_gateway import CLAUDE, GPT, a_model, a_model_gateway, a_provider, manifest, providers
from support.money import dollars

pytestmark = pytest.mark.anyio
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
WORDS = "word " * 2_000


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def whole(usage: Any, text: str = "hi") -> bytes:
    """Return a chat completion with such a usage."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


USAGES: list[Any] = [
    {"prompt_tokens": 10**30, "completion_tokens": 10**30},
    {"prompt_tokens": 1e308, "completion_tokens": -1e308},
    {"prompt_tokens": -1, "completion_tokens": -(10**18)},
    {"prompt_tokens": "1", "completion_tokens": [2]},
    {"prompt_tokens": True, "completion_tokens": None},
    {"prompt_tokens": {"prompt_tokens": 1}, "completion_tokens_details": 7},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "a text",
    [],
    7,
]


async def test_usage_that_cannot_be_is_not_believed_and_the_books_go_on(
    upstream: ModelServer, tmp_path: Path, database_url: str
) -> None:
    documents = manifest(providers(upstream, upstream), Budget(run=dollars(10**6), strict=True))
    async with a_model_gateway(documents, tmp_path, database=database_url) as running:
        token = await running.token()
        for usage in USAGES:
            upstream.script(Reply(raw=whole(usage, WORDS)))
            assert (await running.ask(token)).status_code == 200, usage
        upstream.script(Reply())
        assert (await running.ask(token)).status_code == 200
        spent, rows = await running.spent(), await running.rows(running.run(token))
    assert sum(row.cost for row in rows) in spent.values()
    assert len(rows) == len(USAGES) + 1
    for row, usage in zip(rows, USAGES, strict=False):
        assert row.usage_source != "provider", usage
        assert row.output >= 2_000, usage


async def test_a_report_too_large_for_the_books_is_booked_as_the_most_and_holds_up_nobody_else(
    upstream: ModelServer, tmp_path: Path, database_url: str
) -> None:
    dear = DeclaredPrice(rates=DeclaredRates(input=10**15, output=10**15))
    serving = a_provider("acme", f"{upstream.url}/v1", a_model("dear-test", dear), a_model(GPT))
    documents = manifest((serving,), Budget(run=10**18))
    async with a_model_gateway(documents, tmp_path, database=database_url) as running:
        token, other = await running.token(), await running.token()
        upstream.script(Reply(raw=whole({"prompt_tokens": 10**9, "completion_tokens": 10**9})), Reply())
        assert (await running.ask(token, model="dear-test", max_tokens=10)).status_code == 200
        assert (await running.ask(other)).status_code == 200
        assert (await running.ask(token)).status_code in (200, 402)
        assert 10**18 <= max((await running.spent()).values()) < 10**18 + 100_000
        assert [row.cost for row in await running.rows(running.run(other))] == [12 * 2_000 + 7 * 8_000]


async def test_who_asks_for_a_stream_and_gets_a_whole_answer_pays_for_all_of_it(
    upstream: ModelServer, tmp_path: Path
) -> None:
    told = whole({"prompt_tokens": 50, "completion_tokens": 2_000}, WORDS)
    untold = whole(None, WORDS)
    plain = json.dumps({"usage": {"input_tokens": 50, "output_tokens": 2_000}, "content": []}).encode()
    asked = [
        (CHAT, GPT, told, "provider", 2_000),
        (CHAT, GPT, untold, "estimated", 2_000),
        (CHAT, GPT, WORDS.encode(), "estimated", 2_000),
        (MESSAGES, CLAUDE, plain, "provider", 2_000),
    ]
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        for path, model, body, source, output in asked:
            token = await running.token()
            upstream.script(Reply(raw=body, headers={"content-type": "application/json"}, split=1_000))
            answer = await running.ask(token, path, model=model, stream=True)
            (row,) = await running.rows(running.run(token))
            assert (answer.status_code, answer.content) == (200, body)
            assert row.usage_source == source, body[:40]
            assert row.output >= output, body[:40]
        assert await running.spent()


async def test_a_bomb_is_unpacked_in_small_pieces_and_given_up_when_it_is_too_large(
    upstream: ModelServer, tmp_path: Path
) -> None:
    bomb = gzip.compress(b" " * 70_000_000, 1)
    assert max(len(piece) for piece in Unpacker().feed(bomb[:50_000])) <= PIECE
    packed = {"content-encoding": "gzip"}
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        token = await running.token()
        upstream.script(Reply(raw=bomb, headers=packed), Reply())
        answer = await running.ask(token)
        assert answer.status_code == 504
        assert "too large" in answer.json()["error"]["message"]
        assert (await running.ask(token)).status_code == 200
        assert await running.spent()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


async def test_whatever_a_provider_compresses_with_is_read_or_passed_as_it_is(
    upstream: ModelServer, tmp_path: Path
) -> None:
    body = whole({"prompt_tokens": 50, "completion_tokens": 9}, WORDS)
    half = len(body) // 2
    forms = [
        ("gzip", gzip.compress(body)),
        ("GZIP", gzip.compress(body[:half]) + gzip.compress(body[half:])),
        ("deflate", zlib.compress(body)),
        ("deflate", raw_deflate(body)),
        ("identity", body),
    ]
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        for name, packed in forms:
            for stream in (False, True):
                token = await running.token()
                upstream.script(Reply(raw=packed, headers={"content-encoding": name}, split=500))
                answer = await running.ask(token, stream=stream)
                (row,) = await running.rows(running.run(token))
                assert (answer.status_code, answer.content) == (200, body), (name, stream)
                assert (row.output, row.usage_source) == (9, "provider"), (name, stream)
        token = await running.token()
        upstream.script(Reply(raw=gzip.compress(body)[:-20], headers={"content-encoding": "gzip"}))
        assert (await running.ask(token)).status_code == 504
        assert await running.spent()


async def test_a_redirect_is_not_followed_and_sends_nobody_past_us(
    upstream: ModelServer, tmp_path: Path
) -> None:
    away = {"location": "http://127.0.0.1:9/v1/chat/completions"}
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        for status in (301, 302, 307, 308):
            for stream in (False, True):
                token = await running.token()
                upstream.script(Reply(status=status, raw=b"", headers=away))
                answer = await running.ask(token, stream=stream)
                assert answer.status_code == 502, (status, answer.headers)
                assert "location" not in answer.headers
                assert answer.json()["error"]["message"]
                assert await running.rows(running.run(token)) == []
        assert set((await running.spent()).values()) <= {0}


async def test_a_provider_does_not_speak_in_our_name(upstream: ModelServer, tmp_path: Path) -> None:
    lies = {
        "X-Interlock-Cost-Usd": "0",
        "x-interlock-partial": "true",
        "set-cookie": "a=b",
        "connection": "x-odd",
        "x-odd": "1",
    }
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        token = await running.token()
        upstream.script(Reply(headers=lies))
        for stream in (False, True):
            answer = await running.ask(token, stream=stream)
            said = {
                name: value for name, value in answer.headers.multi_items() if name.startswith("x-interlock")
            }
            assert "x-interlock-partial" not in said
            assert said.get("x-interlock-cost-usd") != "0"
            assert not {"set-cookie", "x-odd"} & set(answer.headers)


async def test_nothing_that_a_provider_says_begins_an_event_of_ours(
    upstream: ModelServer, tmp_path: Path
) -> None:
    evil = "one\n\ndata: [DONE]\n\nevent: error\n: interlock degraded\n\n" + "two " * 50
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        token = await running.token()
        upstream.script(Reply(text=evil, cut_after=2_500))
        answer = await running.ask(token, stream=True)
        events = answer.text.partition("\n\n: x-interlock-call-id: ")[0]  # our own comment follows
        lines = [line for line in events.splitlines() if line]
        assert all(line.startswith("data: {") for line in lines)
        assert "error" in json.loads(lines[-1][6:])
        assert await running.spent()


async def test_a_providers_comments_in_a_stream_are_not_taken_for_ours(
    upstream: ModelServer, tmp_path: Path
) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"x-interlock-cost-usd: 0"}}]}'
    lies = [
        b": x-interlock-cost-usd: 0\n\n",
        event + b"\n:X-Interlock-Budget-State: ok\n\n",
        event + b"\r\n:\t x-interlock-call-id: mcl_other\r\n\r\n",
        b": keep-alive\n\n",
        b"data: [DONE]\n\n",
    ]
    said = Reply(raw=b"".join(lies), headers={"content-type": "text/event-stream"})
    async with a_model_gateway(
        manifest(providers(upstream, upstream), Budget(run=dollars(9))), tmp_path
    ) as running:
        upstream.script(said)
        answer = await running.ask(await running.token(), stream=True)
        comments = [line for line in answer.text.splitlines() if line.startswith(":")]
        ours = [line for line in comments if line.lower().lstrip(": \t").startswith("x-interlock-")]
        assert ": keep-alive" in comments
        assert len([line for line in ours if "cost-usd" in line]) == 1
        assert ours[0] == f": x-interlock-call-id: {answer.headers['x-interlock-call-id']}"
        assert not any("mcl_other" in line for line in ours)
        assert answer.text.count('{"content":"x-interlock-cost-usd: 0"}') == 2
