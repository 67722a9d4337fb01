"""Near a limit the tokens of a call are counted, elsewhere estimated; neither moves its bound (B6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.core.document.spending import Budget
from interlock.testing import ModelServer, Reply
from support.model_gateway import ModelGateway, a_model, a_model_gateway, a_provider, manifest

pytestmark = pytest.mark.anyio
WORDS = "A tokenizer splits a text into pieces. " * 200
"""1,600 tokens in 7,800 bytes, of which 2,340 are expected before anything was learned."""


async def expected(running: ModelGateway, model: str, text: str = WORDS) -> int:
    """Return what one call was expected to read, as its stream is told before it begins."""
    answer = await running.ask(
        await running.token(),
        model=model,
        max_tokens=50,
        stream=True,
        messages=[{"role": "user", "content": text}],
    )
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-interlock-context-tokens"])


async def test_near_the_window_of_its_model_a_call_is_counted_where_somebody_can_count(
    tmp_path: Path,
) -> None:
    with ModelServer() as upstream:
        models = (
            a_model("gpt-4o-wide", window=1_000_000),
            a_model("gpt-4o-near", window=2_500),
            a_model("house-near", window=2_500),
        )
        documents = manifest((a_provider("acme", f"{upstream.url}/v1", *models),), Budget(run=10_000_000_000))
        async with a_model_gateway(documents, tmp_path) as running:
            wide, near, unknown = [
                await expected(running, f"{name}") for name in ("gpt-4o-wide", "gpt-4o-near", "house-near")
            ]
    assert wide == unknown
    assert 1_600 <= near < 1_650
    assert wide > 2_300


async def test_near_a_hard_limit_a_call_is_counted_and_held_for_what_it_can_cost_all_the_same(
    tmp_path: Path,
) -> None:
    with ModelServer() as upstream:
        upstream.script(Reply(input_tokens=20, output_tokens=50))
        model = a_model("gpt-4o-test", window=1_000_000)
        documents = manifest(
            (a_provider("acme", f"{upstream.url}/v1", model),), Budget(run=5_300_000, kill=100_000)
        )
        async with a_model_gateway(documents, tmp_path) as running:
            assert 1_600 <= await expected(running, "gpt-4o-test") < 1_650
            await running.settled()
            rows = await running.wired.store.read(lambda found: found.exec_driver_sql(
                "SELECT held_exp, held_max FROM model_calls").all())  # fmt: skip
    ((exp, most),) = rows
    assert exp < 1_650 * 2_000 + 50 * 8_000
    assert most >= len(WORDS) * 2_000
