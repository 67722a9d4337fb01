"""Answers that begin and do not end: what the head said and what was expected decide what is charged (B8)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interlock.core.document.spending import Budget
from interlock.core.model import WireFamily
from interlock.testing import ModelServer, Reply
from support.model_gateway import (
    CLAUDE,
    GPT,
    ModelGateway,
    a_model,
    a_model_gateway,
    a_provider,
    manifest,
    providers,
)
from support.money import dollars

pytestmark = pytest.mark.anyio
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
WIRES = ((CHAT, GPT), (MESSAGES, CLAUDE))
HANG, END = "hang", "end"


async def begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the status that the request names, and a part of a body; then wait, or break off."""
    asked = await reader.readuntil(b"}]") + await reader.read(10_000)
    found = re.search(rb'"user":"(\d+) (\w+)"', asked)
    assert found is not None
    head = b"HTTP/1.1 %b X\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n" % found[1]
    writer.write(head + b'{"choices":[')
    if found[2] == HANG.encode():
        await reader.read()  # until the gateway lets go
    writer.close()


@asynccontextmanager
async def beginning(data: Path) -> AsyncGenerator[ModelGateway]:
    """Yield a gateway before a provider that never ends an answer."""
    async with await asyncio.start_server(begins, "127.0.0.1", 0) as provider:
        url = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}"
        claude = a_provider("claude", url, a_model(CLAUDE), wire_formats=(WireFamily.ANTHROPIC,))
        serving = (a_provider("acme", f"{url}/v1", a_model(GPT)), claude)
        async with a_model_gateway(manifest(serving, Budget(run=dollars(100))), data) as running:
            yield running


async def test_a_whole_answer_that_breaks_off_was_written_and_is_charged_as_expected(tmp_path: Path) -> None:
    async with beginning(tmp_path) as running:
        token = await running.token()
        for path, model in WIRES:
            asked = {"max_tokens": 300, "user": f"200 {END}"}
            assert (await running.ask(token, path, model=model, **asked)).status_code == 504
        await running.settled()
        rows = await running.rows(running.run(token))
        assert [(row.ending, row.usage_source, row.output) for row in rows] == [
            ("broken", "estimated", 300)
        ] * 2
        assert all(0 < row.cost <= row.held_max for row in rows)
        assert await running.spent()


@pytest.mark.parametrize("how", [HANG, END])
async def test_what_the_head_of_an_answer_refused_is_not_charged_because_its_body_does_not_end(
    how: str, tmp_path: Path
) -> None:
    async with beginning(tmp_path) as running:
        refused, failed = await running.token(), await running.token()
        for path, model in WIRES:
            for token, status in ((refused, 400), (failed, 500)):
                try:
                    async with asyncio.timeout(0.2):
                        await running.ask(token, path, model=model, max_tokens=9, user=f"{status} {how}")
                except TimeoutError:
                    assert how == HANG
        await running.settled()
        assert await running.rows(running.run(refused)) == []
        rows = await running.rows(running.run(failed))
        assert [(row.ending, row.usage_source, row.output) for row in rows] == [
            ("failed", "uncertain", 0)
        ] * 2
        assert await running.spent()


async def test_what_a_model_thinks_before_its_first_word_is_charged_to_who_does_not_wait_for_it(
    tmp_path: Path,
) -> None:
    thought = Reply(text="yes", output_tokens=400, reasoning_tokens=390)
    with ModelServer([thought]) as upstream:
        documents = manifest(providers(upstream, upstream), Budget(run=dollars(100)))
        async with a_model_gateway(documents, tmp_path) as running:
            token = await running.token()
            await running.ask(token)
            upstream.script(Reply(wait=2))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await running.ask(token, stream=True)
            upstream.script(Reply(cut_after=0))
            await running.ask(token, stream=True)
            await running.settled()
            known, *rows = await running.rows(running.run(token))
            assert await running.spent()
    assert known.reasoning == 390
    assert [row.ending for row in rows] == ["left", "broken"]
    assert all(350 <= row.reasoning <= row.output <= 500 for row in rows), rows
