"""A caller who vanishes at any byte of a stream: what passed is charged, the provider let go at once (B8).

Acceptance test 4: at each position the provider is let go within 100 ms, by one clock for all. Time in which
the gateway's loop or the provider's did not come to run, which its heartbeat tells, does not count.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from interlock.core.document.spending import Budget
from interlock.runtime import SystemClock
from interlock.testing import ModelServer, Received, Reply
from support.model_gateway import (
    CLAUDE,
    GPT,
    ModelGateway,
    Serving,
    a_model,
    a_model_gateway,
    a_provider,
    granian,
    manifest,
    providers,
    uvicorn,
)

pytestmark = pytest.mark.anyio
CLOCK = SystemClock()
HALF = b"half-closed"
AT_ONCE = 96
WITHIN = 0.1
BEAT, LATE = 0.005, 0.002
WIRES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": GPT}),
    "messages": ("/v1/messages", {"model": CLAUDE, "max_tokens": 1_000}),
}


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer([Reply(text="a b", output_tokens=2, pace=0.1)]) as server:
        yield server


async def vanish(running: ModelGateway, token: str, wire: str, number: int, after: int) -> tuple[int, float]:
    """Ask for a stream, read `after` bytes of the answer, and go; return how many came, and when."""
    path, asked = WIRES[wire]
    body = json.dumps({**asked, "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nx-number: {number}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    seen = 0
    while seen < after and (piece := await reader.read(after - seen)):
        seen += len(piece)
    writer.transport.abort()
    return seen, CLOCK.monotonic()


def left(upstream: ModelServer, number: int) -> Received | None:
    """Return the request that was made for one caller, None where it was not sent any more."""
    return next((each for each in upstream.received if each.headers.get("x-number") == str(number)), None)


class Heartbeats:
    """When the loop of the gateway, and that of the provider, came too late to something, and by how much."""

    def __init__(self, upstream: ModelServer) -> None:
        self._upstream = upstream
        self._late: list[tuple[float, float]] = []

    async def __aenter__(self) -> Self:
        self._here = asyncio.create_task(self._beat())
        self._there = asyncio.run_coroutine_threadsafe(self._beat(), self._upstream._loop)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._here.cancel()
        self._there.cancel()

    def quiet(self, since: float, until: float) -> float:
        """Return for how long of a span both loops were on time, in seconds."""
        quiet, at = 0.0, since
        for began, ended in sorted(self._late):
            if ended > at and began < until:
                quiet += max(0.0, began - at)
                at = ended
        return quiet + max(0.0, until - at)

    async def _beat(self) -> None:
        while True:
            due = CLOCK.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            if (now := CLOCK.monotonic()) - due > LATE:
                self._late.append((due, now))


@pytest.mark.parametrize(
    ("wire", "server"), [("chat", uvicorn), ("messages", uvicorn), ("chat", granian), ("messages", granian)]
)
async def test_whoever_leaves_at_any_byte_is_charged_and_the_provider_is_let_go_within_100_ms(
    upstream: ModelServer, tmp_path: Path, wire: str, server: Serving
) -> None:
    documents = manifest(providers(upstream, upstream), Budget(run=100_000_000_000))
    async with a_model_gateway(documents, tmp_path, server=server) as running, Heartbeats(upstream) as beats:
        token = await running.token()
        length = await whole(running, token, wire)
        gate, gone = asyncio.Semaphore(AT_ONCE), dict[int, float]()

        async def one(position: int) -> None:
            async with gate:
                _, gone[position] = await vanish(running, token, wire, position, position)

        await asyncio.gather(*[one(position) for position in range(length)])
        spent, rows = await running.spent(), await running.rows(running.run(token))
        let_go = waits(upstream, gone)
        slow = {
            each: beats.quiet(gone[each], gone[each] + wait) for each, wait in let_go.items() if wait > WITHIN
        }
    assert len(let_go) > length / 2
    assert not {position: wait for position, wait in slow.items() if wait > WITHIN}
    called = {each for each in gone if left(upstream, each) is not None}
    assert len(rows) == len(called) + 1
    assert all(row.cost > 0 for row in rows)
    assert {row.ending for row in rows} <= {"left", "answered"}
    assert sum(row.ending == "left" for row in rows) > len(rows) / 2
    assert list(spent.values()) == [sum(row.cost for row in rows)]


def waits(upstream: ModelServer, gone: dict[int, float]) -> dict[int, float]:
    """Return how long after its caller each request was left, where it was not done by then."""
    found = {number: left(upstream, number) for number in gone}
    return {
        number: each.left_at - gone[number]
        for number, each in found.items()
        if each is not None and each.left_at and not each.done
    }


async def whole(running: ModelGateway, token: str, wire: str) -> int:
    """Return about how many bytes an answer has, with its head."""
    path, asked = WIRES[wire]
    body = {**asked, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with running.http.stream(
        "POST", path, json=body, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        size = sum([len(piece) async for piece in answer.aiter_raw()])
    return size + 400


async def test_a_half_closed_connection_is_an_end_on_either_side_and_is_charged_once(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin a stream, then close the sending half and stay."""
        await reader.readuntil(b"\r\n\r\n")
        event = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%b\r\n" % (len(event), event))
        if HALF in await reader.read(10_000):
            writer.write_eof()
        await reader.read()  # until the gateway closes
        writer.close()

    async with await asyncio.start_server(half, "127.0.0.1", 0) as provider:
        url = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}/v1"
        documents = manifest((a_provider("acme", url, a_model(GPT)),), Budget(run=100_000_000_000))
        async with a_model_gateway(documents, tmp_path) as running:
            tokens = [await running.token(), await running.token()]
            answer = await running.ask(tokens[0], stream=True, user=HALF.decode())
            assert '"code":"stream_broken"' in answer.text
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            body = json.dumps({"model": GPT, "messages": [], "stream": True}).encode()
            head = f"POST {WIRES['chat'][0]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tokens[1]}\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await reader.readuntil(b"word")
            writer.write_eof()
            spent = await running.spent()
            writer.close()
            rows = [await running.rows(running.run(token)) for token in tokens]
    assert [[row.ending for row in found] for found in rows] == [["broken"], ["left"]]
    assert sorted(spent.values()) == sorted(row.cost for found in rows for row in found)
