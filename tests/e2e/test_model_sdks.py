"""The vendors' own SDKs through `interlock serve` to a scripted provider: nothing in them notices (B1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from interlock.testing.model_server import ToolCall
from support.models import OPENAI_MODEL, Governed, governed

ASK: Any = [{"role": "user", "content": "hi"}]
WEATHER = ToolCall(name="weather", arguments={"city": "Bonn"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    with governed(tmp_path_factory.mktemp("llm") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(world: Governed) -> None:
    world.reset()


def test_a_chat_completion_passes_unchanged(world: Governed) -> None:
    with world.openai() as client:
        raw = client.chat.completions.with_raw_response.create(
            model=OPENAI_MODEL, messages=ASK, extra_body={"vendor_field": [1, {"a": None}]}
        )
    assert raw.parse().choices[0].message.content == "Hello from the scripted model."
    sent = world.sent()
    assert sent.body["vendor_field"] == [1, {"a": None}]
    assert sent.headers["authorization"] == "Bearer acme-secret"
    assert raw.headers["x-request-id"] == "req_scripted"
    assert raw.headers["x-interlock-served-model"] == OPENAI_MODEL
    assert raw.headers["x-interlock-run-id"].startswith("run_")
