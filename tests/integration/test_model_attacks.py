"""What a caller with a good token tries on the model paths: other models, other runs, the gateway itself.

Whatever it is, nobody is called for what was not decided, and the answer has the form of the path's API
(invariants 3 and 10, B1, H2).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.core.document.spending import Budget, Models
from interlock.testing import ModelServer
from support.model_gateway import CLAUDE, SMALL, ModelGateway, a_model_gateway, manifest, providers
from support.money import dollars

pytestmark = pytest.mark.anyio
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ASK: dict[str, Any] = {"model": SMALL, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@asynccontextmanager
async def narrow(upstream: ModelServer, data: Path, **settings: Any) -> AsyncGenerator[ModelGateway]:
    """Yield a gateway whose workflow may call the small model alone, and Claude."""
    scope = Models(allow=(SMALL, CLAUDE))
    documents = manifest(providers(upstream, upstream), Budget(run=dollars(100)), models=scope)
    async with a_model_gateway(documents, data, **settings) as running:
        yield running


def right(answer: httpx2.Response) -> str:
    """Return the message of an error, which has the form of the path's API."""
    body = answer.json()
    if answer.request.url.path.startswith(MESSAGES):
        assert body["type"] == "error"
    return str(body["error"]["message"])


DISGUISES = [
    b'{"model": "small-test", "Model": "gpt-test", "messages": []}',
    b'{"MODEL": "gpt-test", "model": "small-test", "messages": []}',
    b'{"model": "small-test", "messages": [], "max_tokens": 5, "Max_Tokens": 4000}',
    b'{"model": "small-test", "messages": [], "max_to\xe2\x84\xaaens": 4000}',
    b'{"model": "small-test", "messages": [], "\xc5\xbftream": true}',
    b'{"model": "small-test", "messages": [], "Service_Tier": "priority"}',
]


async def test_a_second_spelling_of_a_member_is_refused_because_some_providers_read_it_as_the_first(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with narrow(upstream, tmp_path) as running:
        token = await running.token()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        for body in DISGUISES:
            for path in (CHAT, MESSAGES):
                answer = await running.http.post(path, content=body, headers=headers)
                assert answer.status_code == 400, body
                assert "spelt" in right(answer), body
        escaped = rb'{"model": "gpt-test", "mod\u0065l": "small-test", "messages": []}'
        answer = await running.http.post(CHAT, content=escaped, headers=headers)
        assert answer.status_code == 200
        assert await running.spent()
    (sent,) = upstream.received
    assert sent.body["model"] == SMALL
    assert sent.raw.count(b"model") == 1


async def test_a_model_that_is_named_to_break_a_header_or_a_log_is_answered_as_any_unknown_one(
    upstream: ModelServer, tmp_path: Path
) -> None:
    names = [
        "x\r\nset-cookie: a=b",
        "x\ny: z",
        "\x00",
        "gpt-\ttest",
        "gpt-test\u2028",
        "\u202etset-tpg",
        "é" * 200,
    ]
    async with narrow(upstream, tmp_path) as running:
        token = await running.token()
        for name in names:
            for path in (CHAT, MESSAGES):
                answer = await running.ask(token, path, model=name)
                assert answer.status_code == 404, (name, answer.text)
                assert right(answer)
                assert "set-cookie" not in answer.headers
                assert "y" not in answer.headers
    assert upstream.received == []


async def test_two_keys_that_disagree_speak_for_nobody(upstream: ModelServer, tmp_path: Path) -> None:
    async with narrow(upstream, tmp_path) as running:
        mine, other = await running.token(), await running.token()
        doubled = [
            [("authorization", f"Bearer {mine}"), ("x-api-key", other)],
            [("authorization", "Bearer sk-something"), ("x-api-key", mine)],
            [("authorization", f"Bearer {mine}"), ("authorization", f"Bearer {other}")],
            [("x-api-key", other), ("x-api-key", mine)],
        ]
        for headers in doubled:
            for path, model in ((CHAT, SMALL), (MESSAGES, CLAUDE)):
                answer = await running.http.post(path, json={**ASK, "model": model}, headers=headers)
                assert answer.status_code == 401, headers
                assert answer.headers["x-should-retry"] == "false"
                assert right(answer)
        same = [("authorization", f"Bearer {mine}"), ("x-api-key", mine)]
        assert (await running.http.post(CHAT, json=ASK, headers=same)).status_code == 200
    (sent,) = upstream.received
    assert mine not in str(sent.headers)


async def test_a_token_of_another_environment_is_worth_nothing(
    upstream: ModelServer, tmp_path: Path, postgres_url: str
) -> None:
    shared: dict[str, Any] = {"database": postgres_url, "issuer": "urn:interlock:one"}
    async with narrow(upstream, tmp_path / "prod", environment="prod", **shared) as prod:
        foreign = await prod.token()
        assert (await prod.ask(foreign, model=SMALL)).status_code == 200
        async with narrow(upstream, tmp_path / "dev", environment="dev", **shared) as dev:
            own = await dev.token()
            for path, model in ((CHAT, SMALL), (MESSAGES, CLAUDE)):
                answer = await dev.ask(foreign, path, model=model)
                assert answer.status_code == 401, answer.text
                assert right(answer)
            assert (await prod.ask(own, model=SMALL)).status_code == 401
            assert (await dev.ask(own, model=SMALL)).status_code == 200
    assert len(upstream.received) == 2


async def test_what_callers_say_in_our_name_goes_nowhere(upstream: ModelServer, tmp_path: Path) -> None:
    claims = {
        "x-interlock-run-id": "run_other",
        "x-interlock-cost-usd": "0",
        "X-Interlock-Budget-State": "ok",
        "connection": "x-secret",
        "x-secret": "1",
        "x-forwarded-for": "1.2.3.4",
        "cookie": "a=b",
        "proxy-authorization": "Basic eA==",
    }
    async with narrow(upstream, tmp_path) as running:
        token = await running.token()
        headers = {"authorization": f"Bearer {token}", **claims}
        answer = await running.http.post(CHAT, json=ASK, headers=headers)
        assert answer.status_code == 200
        (row,) = await running.rows(running.run(token))
    assert (answer.headers["x-interlock-run-id"], row.cost > 0) == (row.run, True)
    (sent,) = upstream.received
    assert not {name for name in sent.headers if name.startswith("x-interlock") or name in claims} - {
        "connection"
    }
    assert token not in str(sent.headers)


PATHS = [
    "/v1/../v1/chat/completions",
    "/v1//chat/completions",
    "//v1/chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions;x",
    "/v1/chat/completions%00",
    "/v1/chat/completions%2f..%2fresponses",
    "/v1/chat%2fcompletions/x",
    "/V1/chat/completions",
    "/v1/files",
    "/v1/models/../files",
    "/v1/models/%2e%2e/files",
    "/v1/messages/batches",
    "/v1/responses/resp_1",
    "/v1",
]


async def test_a_path_that_is_not_one_of_ours_reaches_no_provider(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async with narrow(upstream, tmp_path) as running:
        token = await running.token()
        for path in PATHS:
            status = await raw(running, f"POST {path}", token, json.dumps(ASK).encode())
            assert status in (404, 405), path
        assert await raw(running, f"POST {CHAT}?x=%0d%0ahost:%20evil&y=%23#z", token, b"{}") == 400
        assert (await raw(running, f"POST {CHAT}?a=1&b=%0d%0aX:1", token, json.dumps(ASK).encode())) == 200
    (sent,) = upstream.received
    assert sent.path == f"{CHAT}?a=1&b=%0d%0aX:1"
    assert "x" not in sent.headers


async def raw(running: ModelGateway, line: str, token: str, body: bytes) -> int:
    """Send a request whose path no client library touches; return the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = (
        f"{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    status = (await reader.readline()).split(b" ")[1]
    writer.close()
    await writer.wait_closed()
    return int(status)


async def test_a_body_that_never_ends_is_given_up_and_one_that_grows_too_large_in_pieces_is_refused(
    upstream: ModelServer, tmp_path: Path
) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b'{"model": "'
        for _ in range(60):
            yield b"x" * 20_000

    async with narrow(upstream, tmp_path, max_model_body=1_000_000, body_seconds=0.3) as running:
        token = await running.token()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        for path in (CHAT, MESSAGES):
            large = await running.http.post(path, content=pieces(), headers=headers)
            assert large.status_code == 413
            assert right(large)
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            head = "\r\n".join(f"{name}: {value}" for name, value in headers.items())
            writer.write(
                f"POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: 99\r\n\r\n{{".encode()
            )
            assert b" 408 " in await reader.readline()
            assert (await running.ask(token, model=SMALL)).status_code == 200
            writer.close()
            await writer.wait_closed()
        assert await running.spent()
