"""The scripted model server against the vendors' own SDKs: what it says is what a provider would say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from interlock.testing import ModelServer, Reply, ToolCall, UsageAt
from interlock.testing.model_server import load_script

ASK: Any = [{"role": "user", "content": "hi"}]
WEATHER = ToolCall(name="weather", arguments={"city": "Bonn"})


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def gpt(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(server: ModelServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0) as client:
        yield client


def test_a_chat_completion_says_the_script_and_its_usage(server: ModelServer, gpt: openai.OpenAI) -> None:
    server.script(Reply(text="one two", tool_calls=(WEATHER,), cached_tokens=3))
    said = gpt.chat.completions.create(model="m", messages=ASK)
    assert said.choices[0].message.content == "one two"
    calls: Any = said.choices[0].message.tool_calls
    assert calls[0].function.arguments == '{"city":"Bonn"}'
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (12, 7)
    assert server.received[0].headers["authorization"] == "Bearer k"


def test_a_chat_stream_has_usage_in_its_last_event_where_asked(
    server: ModelServer, gpt: openai.OpenAI
) -> None:
    server.script(Reply(text="one two three"))
    stream = gpt.chat.completions.create(
        model="m",
        messages=ASK,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert not chunks[-1].choices
    assert chunks[-1].usage is not None


def test_a_response_streams_to_its_end(server: ModelServer, gpt: openai.OpenAI) -> None:
    server.script(Reply(text="one two", tool_calls=(WEATHER,)))
    with gpt.responses.stream(model="m", input="hi") as stream:
        final = stream.until_done().get_final_response()
    assert final.output_text == "one two"
    assert final.usage is not None
    assert final.usage.output_tokens == 7


def test_a_message_streams_to_its_end(server: ModelServer, claude: anthropic.Anthropic) -> None:
    server.script(Reply(text="one two", tool_calls=(WEATHER,), cached_tokens=5))
    with claude.messages.stream(model="m", max_tokens=50, messages=ASK) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens) == (7, 5)
    assert final.usage.output_tokens == 7


def test_an_output_cap_is_kept(server: ModelServer, claude: anthropic.Anthropic) -> None:
    said = claude.messages.create(model="m", max_tokens=2, messages=ASK)
    assert said.stop_reason == "max_tokens"
    assert said.usage.output_tokens == 2


def test_embeddings_models_and_token_counts_are_served(
    server: ModelServer, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    assert gpt.embeddings.create(model="m", input=["a", "b"]).data[1].embedding == [0.25, -0.5, 0.75]
    assert [each.id for each in gpt.models.list()] == ["gpt-test"]
    assert claude.messages.count_tokens(model="m", messages=ASK).input_tokens == 12


def test_errors_carry_status_and_headers(server: ModelServer, gpt: openai.OpenAI) -> None:
    server.script(Reply(status=429, text="slow down", headers={"retry-after": "7"}))
    with pytest.raises(openai.RateLimitError) as caught:
        gpt.chat.completions.create(model="m", messages=ASK)
    assert caught.value.response.headers["retry-after"] == "7"
    assert "slow down" in str(caught.value)


def test_a_stream_can_break_off_in_the_middle(server: ModelServer) -> None:
    server.script(Reply(text="a b c d e f", cut_after=300, split=7))
    body = {"model": "m", "messages": ASK, "stream": True}
    with pytest.raises(httpx2.HTTPError):
        httpx2.post(f"{server.url}/v1/chat/completions", json=body)


def test_compressed_bodies_and_missing_usage(server: ModelServer) -> None:
    server.script(Reply(gzip=True, usage=UsageAt.MISSING))
    answer = httpx2.post(f"{server.url}/v1/chat/completions", json={"model": "m"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "usage" not in answer.json()


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"text": "from a file", "usage": "missing"}]))
    assert load_script(script)[0].usage is UsageAt.MISSING
    command = [sys.executable, "-m", "interlock.testing.model_server", "--script", str(script)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        answer = httpx2.post(f"{url}/v1/chat/completions", json={"model": "m"})
        process.terminate()
    assert answer.json()["choices"][0]["message"]["content"] == "from a file"
