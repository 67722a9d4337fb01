"""What is wrong, from either side: a right answer in the caller's format, and every hold settled (B8)."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.core.document.provider import Timeouts
from interlock.core.document.spending import Budget
from interlock.testing import ModelServer, Reply, UsageAt
from support.model_gateway import CLAUDE, GPT, ModelGateway, a_model_gateway, manifest, providers

pytestmark = pytest.mark.anyio
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ASK = {"model": GPT, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@asynccontextmanager
async def gateway(
    upstream: ModelServer, data: Path, **changes: Any
) -> AsyncGenerator[tuple[ModelGateway, str, str]]:
    documents = manifest(providers(upstream, upstream, **changes), Budget(run=100_000_000_000))
    async with a_model_gateway(documents, data) as running:
        token = await running.token()
        yield running, token, running.wired.authenticator.verify(token).run


async def post(
    running: ModelGateway, token: str, body: bytes, path: str = CHAT, **headers: str
) -> httpx2.Response:
    sent = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await running.http.post(path, content=body, headers=sent)


def message(answer: httpx2.Response) -> str:
    """Return what an error says, which must have the form of the path's API."""
    body = answer.json()
    if answer.request.url.path.startswith(MESSAGES):
        assert body["type"] == "error"
    return str(body["error"]["message"])


BROKEN = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b"{}", 400),
    (b'{"model": 7}', 400),
    (b'{"model": ""}', 400),
    (b'{"model": "gpt-test", "max_tokens": -1}', 400),
    (b'{"model": "gpt-test", "max_tokens": "many"}', 400),
    (b'{"model": "gpt-test", "n": 0}', 400),
    (b'{"model": "gpt-test", "messages": NaN}', 400),
    (b'{"model": "gpt-test", "messages": ' + b"[" * 100_000, 400),
    (b'{"model": "' + b"m" * 10_000 + b'"}', 400),
    (b"\xff\xfe", 400),
]


async def test_a_request_that_is_wrong_is_refused_and_nobody_is_called(
    upstream: ModelServer, tmp_path: Path
) -> None:
    whole = json.dumps(ASK).encode()
    async with gateway(upstream, tmp_path) as (running, token, run):
        for path in (CHAT, MESSAGES):
            for body, status in BROKEN:
                answer = await post(running, token, body, path)
                assert (answer.status_code, bool(message(answer))) == (status, True), body[:60]
                assert answer.headers["x-should-retry"] == "false"
            assert (await post(running, token, whole, path, content_type="text/plain")).status_code == 415
            packed = gzip.compress(whole)
            assert (await post(running, token, packed, path, content_encoding="gzip")).status_code == 415
            huge = b'{"model": "gpt-test", "x": "' + b"x" * (50 * 1024 * 1024) + b'"}'
            assert (await post(running, token, huge, path)).status_code == 413
            assert (await post(running, "no-token", whole, path)).status_code == 401
            assert (
                await running.http.get(path, headers={"authorization": f"Bearer {token}"})
            ).status_code == 405
        assert (await post(running, token, whole, "/v1/completions")).status_code == 404
        assert await running.rows(run) == []
        assert set((await running.spent()).values()) <= {0}
    assert upstream.received == []


async def test_a_member_given_twice_means_here_what_it_means_at_the_provider(
    upstream: ModelServer, tmp_path: Path
) -> None:
    body = b'{"model": "small-test", "model": "gpt-test", "max_tokens": 5, "max_tokens": 9, "messages": []}'
    async with gateway(upstream, tmp_path) as (running, token, _):
        assert (await post(running, token, body)).status_code == 200
    assert upstream.received[0].raw.count(b'"model"') == 1
    assert upstream.received[0].body["model"] == "gpt-test"
    assert upstream.received[0].body["max_tokens"] == 9


async def test_numbers_and_text_reach_the_provider_as_they_were_written(
    upstream: ModelServer, tmp_path: Path
) -> None:
    odd = b'[{"role":"user","content":"\\ud83d\\ude00 \\u00e9"},{"big":12345678901234567890123,"f":1.10}]'
    async with gateway(upstream, tmp_path) as (running, token, _):
        await post(running, token, b'{"model":"gpt-test","messages":' + odd + b',"seed":1e2}')
    assert odd in upstream.received[0].raw
    assert b'"seed":1e2' in upstream.received[0].raw


GARBAGE = b"data: {not json\n\ndata: 7\n\nevent: ?\n\n: comment\n\nnonsense\n\ndata: [DONE]\n\n"
REPLIES = [
    ("cut in the middle", Reply(text="a b c d e f", cut_after=500), "broken"),
    ("cut before the body", Reply(cut_after=0), "broken"),
    ("garbage", Reply(raw=GARBAGE), "answered"),
    ("no events at all", Reply(raw=b""), "answered"),
    ("bytes", Reply(raw=bytes(range(256)) * 20), "answered"),
    ("compressed", Reply(gzip=True), "answered"),
    ("compressed and cut", Reply(gzip=True, cut_after=60), "broken"),
    ("no usage", Reply(usage=UsageAt.MISSING), "answered"),
    ("impossible usage", Reply(input_tokens=-5, output_tokens=-7), "answered"),
]


@pytest.mark.parametrize(("path", "model"), [(CHAT, GPT), (MESSAGES, CLAUDE)])
async def test_a_stream_that_is_wrong_ends_somehow_and_is_charged(
    upstream: ModelServer, tmp_path: Path, path: str, model: str
) -> None:
    body = json.dumps({**ASK, "model": model, "stream": True, "max_tokens": 50}).encode()
    async with gateway(upstream, tmp_path) as (running, _, _run):
        for name, reply, ending in REPLIES:
            upstream.script(reply)
            token = await running.token()
            answer = await post(running, token, body, path)
            rows = await running.rows(running.wired.authenticator.verify(token).run)
            assert answer.status_code == 200, name
            assert [row.ending for row in rows] == [ending], name
            assert rows[0].cost > 0, name
            if ending == "broken":
                assert "error" in answer.text, name
            if name == "compressed":
                assert "scripted" in answer.text
                assert "content-encoding" not in answer.headers
            if name == "garbage":
                assert answer.content[: len(GARBAGE)] == GARBAGE
                comment = answer.content[len(GARBAGE) :].splitlines()
                assert all(line.startswith(b": x-interlock-") for line in comment if line), name
        assert len(await running.spent()) == len(REPLIES)


async def test_a_body_that_is_wrong_passes_as_it_is_or_is_said_to_be_broken(
    upstream: ModelServer, tmp_path: Path
) -> None:
    body = json.dumps(ASK).encode()
    async with gateway(upstream, tmp_path) as (running, token, run):
        upstream.script(Reply(raw=b"<html>"), Reply(gzip=True), Reply(cut_after=20), Reply())
        answers = [await post(running, token, body) for _ in range(4)]
        rows = await running.rows(run)
        assert list((await running.spent()).values()) == [sum(row.cost for row in rows)]
    assert [answer.status_code for answer in answers] == [200, 200, 504, 200]
    assert answers[0].content == b"<html>"
    assert "scripted" in answers[1].text
    assert "broke off" in message(answers[2])
    assert [row.ending for row in rows] == ["answered", "answered", "broken", "answered"]
    assert [row.usage_source for row in rows] == ["estimated", "provider", "estimated", "provider"]


async def test_a_provider_that_does_not_answer_or_is_not_there(upstream: ModelServer, tmp_path: Path) -> None:
    body = json.dumps(ASK).encode()
    slow = Timeouts(connect=1, first_byte=1, idle=1)
    async with gateway(upstream, tmp_path, timeouts=slow) as (running, token, run):
        upstream.script(Reply(wait=5))
        late = await post(running, token, body)
        await running.apply(manifest(providers(upstream, upstream, base_url="http://127.0.0.1:9/v1")))
        gone = await post(running, token, body)
        rows = await running.rows(run)
        assert list((await running.spent()).values()) == [sum(row.cost for row in rows)]
    assert late.status_code == 504
    assert "in time" in message(late)
    assert gone.status_code == 502
    assert [(row.ending, row.output) for row in rows] == [("failed", 0)]
