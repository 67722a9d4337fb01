"""A caller who vanishes at any byte of a stream: what passed is charged, the provider is let go (B8)."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.core.budget import Account
from interlock.core.document.spending import Budget
from interlock.runtime import SystemClock
from interlock.testing import ModelServer, Received, Reply
from support.model_gateway import CLAUDE, GPT, ModelGateway, a_model_gateway, manifest, providers

pytestmark = pytest.mark.anyio
CLOCK = SystemClock()
AT_ONCE = 64
WIRES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": GPT}),
    "messages": ("/v1/messages", {"model": CLAUDE, "max_tokens": 1_000}),
}


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer([Reply(text="a b", output_tokens=2, pace=0.03)]) as server:
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


async def settled(running: ModelGateway) -> None:
    """Wait until nothing is held any more."""
    async with asyncio.timeout(10):
        while running.wired.budgets._books.holds:  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("wire", list(WIRES))
async def test_whoever_leaves_at_any_byte_is_charged_and_the_provider_is_let_go(
    upstream: ModelServer, tmp_path: Path, wire: str
) -> None:
    documents = manifest(providers(upstream, upstream), Budget(run=100_000_000_000))
    async with a_model_gateway(documents, tmp_path) as running:
        token = await running.token()
        (run,) = running.wired.memory.runs
        length = await whole(running, token, wire)
        gate, gone = asyncio.Semaphore(AT_ONCE), dict[int, float]()

        async def one(position: int) -> None:
            async with gate:
                _, gone[position] = await vanish(running, token, wire, position, position)

        await asyncio.gather(*[one(position) for position in range(length)])
        await settled(running)
        rows = await running.rows(run)
        accounts: tuple[Account, ...] = running.wired.budgets.accounts(
            running.wired.authenticator.verify(token), running.wired.runtime.clock.now()
        )
    called = {position: found for position in gone if (found := left(upstream, position)) is not None}
    assert len(rows) == len(called) + 1
    assert all(row.cost > 0 for row in rows)
    assert {row.ending for row in rows} <= {"left", "answered"}
    assert sum(row.ending == "left" for row in rows) > len(rows) / 2
    assert [(each.spent, each.held_exp, each.held_max) for each in accounts] == [
        (sum(row.cost for row in rows), 0, 0)
    ]
    waits = [
        each.left_at - gone[position] for position, each in called.items() if each.left_at and not each.done
    ]
    assert waits
    assert statistics.median(waits) < 0.1


async def whole(running: ModelGateway, token: str, wire: str) -> int:
    """Return about how many bytes an answer has, with its head."""
    path, asked = WIRES[wire]
    body = {**asked, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with running.http.stream(
        "POST", path, json=body, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        size = sum([len(piece) async for piece in answer.aiter_raw()])
    return size + 400
