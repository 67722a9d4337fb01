"""The SDKs that agents are written with, through `interlock serve` to a scripted provider (B1).

Nothing in them is changed but the base URL and the key, and none of them notices.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from interlock.testing import Reply, ToolCall
from support.models import ANTHROPIC_MODEL, OPENAI_MODEL, Governed, governed

ASK: Any = [{"role": "user", "content": "hi"}]
WEATHER = ToolCall(name="weather", arguments={"city": "Bonn"})
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TEXT = "Hello from the scripted model."


class City(BaseModel):
    name: str
    people: int


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
            model=OPENAI_MODEL,
            messages=ASK,
            extra_body={"vendor_field": [1, {"a": None}]},
            extra_headers={"x-vendor": "kept", "cookie": "no=1"},
        )
    assert raw.parse().choices[0].message.content == TEXT
    sent = world.sent()
    assert sent.body["vendor_field"] == [1, {"a": None}]
    assert (sent.headers["authorization"], sent.headers["x-vendor"]) == ("Bearer acme-secret", "kept")
    assert "cookie" not in sent.headers
    assert world.token not in str(sent.headers) + str(sent.raw)
    assert raw.headers["x-request-id"] == "req_scripted"
    assert raw.headers["x-interlock-served-model"] == OPENAI_MODEL
    assert raw.headers["x-interlock-run-id"].startswith("run_")


def test_openai_streams_calls_tools_and_parses_structure(world: Governed) -> None:
    city = Reply(text=City(name="Bonn", people=330_000).model_dump_json())
    world.acme.script(Reply(text="one two"), Reply(text="", tool_calls=(WEATHER,)), city)
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
    with world.openai() as client:
        stream = client.chat.completions.create(model=OPENAI_MODEL, messages=ASK, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        called: Any = client.chat.completions.create(model=OPENAI_MODEL, messages=ASK, tools=[tool])
        parsed = client.chat.completions.parse(model=OPENAI_MODEL, messages=ASK, response_format=City)
    assert text == "one two"
    assert called.choices[0].message.tool_calls[0].function.name == "weather"
    assert parsed.choices[0].message.parsed == City(name="Bonn", people=330_000)
    assert world.acme.received[0].body["stream_options"] == {"include_usage": True}


def test_openai_who_asks_for_usage_in_the_stream_gets_it(world: Governed) -> None:
    with world.openai() as client:
        stream = client.chat.completions.create(
            model=OPENAI_MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 19


def test_openai_responses_embeddings_and_models(world: Governed) -> None:
    with world.openai() as client:
        assert client.responses.create(model=OPENAI_MODEL, input="hi").output_text == TEXT
        with client.responses.stream(model=OPENAI_MODEL, input="hi") as stream:
            assert stream.until_done().get_final_response().output_text == TEXT
        assert len(client.embeddings.create(model=OPENAI_MODEL, input=["a", "b"]).data) == 2
        assert OPENAI_MODEL in [each.id for each in client.models.list()]
        assert client.models.retrieve(OPENAI_MODEL).id == OPENAI_MODEL


def test_the_asynchronous_clients_work_side_by_side(world: Governed) -> None:
    async def story() -> list[str]:
        async with (
            openai.AsyncOpenAI(base_url=f"{world.server.url}/v1", api_key=world.token) as gpt,
            anthropic.AsyncAnthropic(base_url=world.server.url, api_key=world.token) as claude,
        ):

            async def one() -> str:
                said = await gpt.chat.completions.create(model=OPENAI_MODEL, messages=ASK)
                return said.choices[0].message.content or ""

            async def other() -> str:
                async with claude.messages.stream(
                    model=ANTHROPIC_MODEL, max_tokens=50, messages=ASK
                ) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*[one() for _ in range(5)], *[other() for _ in range(5)])

    assert asyncio.run(story()) == [TEXT] * 10


def test_anthropic_messages_tools_and_token_counts(world: Governed) -> None:
    world.claude.script(Reply(cached_tokens=5), Reply(text="", tool_calls=(WEATHER,)), Reply())
    tool: Any = {"name": "weather", "input_schema": PARAMETERS}
    with world.anthropic() as client:
        said = client.messages.create(model=ANTHROPIC_MODEL, max_tokens=50, messages=ASK)
        called: Any = client.messages.create(model=ANTHROPIC_MODEL, max_tokens=50, messages=ASK, tools=[tool])
        counted = client.messages.count_tokens(model=ANTHROPIC_MODEL, messages=ASK)
        assert ANTHROPIC_MODEL in [each.id for each in client.models.list()]
    assert said.usage.cache_read_input_tokens == 5
    assert called.content[0].input == {"city": "Bonn"}
    assert counted.input_tokens == 12
    assert world.claude.received[0].headers["x-api-key"] == "claude-secret"
    assert "authorization" not in world.claude.received[0].headers


def test_an_sdk_repeats_what_the_provider_calls_transient_and_nothing_that_is_refused(
    world: Governed,
) -> None:
    world.acme.script(Reply(status=429, headers={"retry-after-ms": "10"}), Reply(text="at last"))
    with world.openai(max_retries=2) as client:
        said = client.chat.completions.create(model=OPENAI_MODEL, messages=ASK)
        assert said.choices[0].message.content == "at last"
        assert len(world.acme.received) == 2
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody", messages=ASK)
        with pytest.raises(openai.NotFoundError, match="anthropic"):
            client.chat.completions.create(model=ANTHROPIC_MODEL, messages=ASK)
    assert len(world.acme.received) == 2
    with world.anthropic(max_retries=2) as client, pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=5, messages=ASK)


def test_a_caller_without_a_run_token_is_told_so_in_its_own_format(world: Governed) -> None:
    with openai.OpenAI(base_url=f"{world.server.url}/v1", api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model=OPENAI_MODEL, messages=ASK)
        assert caught.value.code == "invalid_api_key"
    with anthropic.Anthropic(base_url=world.server.url, api_key="sk-wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            client.messages.create(model=ANTHROPIC_MODEL, max_tokens=5, messages=ASK)
        body: Any = refused.value.body
        assert body["error"]["type"] == "authentication_error"


AGENT = """
import json, openai, anthropic
gpt = openai.OpenAI()
ask = [{"role": "user", "content": "hi"}]
stream = gpt.chat.completions.create(model="gpt-test", messages=ask, stream=True)
text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
said = anthropic.Anthropic().messages.create(model="claude-test", max_tokens=20, messages=ask)
print(json.dumps([text, said.content[0].text, gpt.api_key]))
"""


LANGCHAIN = """
import json, os
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
gpt = ChatOpenAI(model="gpt-test", base_url=os.environ["OPENAI_BASE_URL"])
claude = ChatAnthropic(model_name="claude-test", base_url=os.environ["ANTHROPIC_BASE_URL"])
texts = ["".join(str(chunk.text) for chunk in model.stream("hi")) for model in (gpt, claude)]
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
said = gpt.bind_tools([tool]).invoke("weather?")
print(json.dumps([*texts, said.tool_calls[0]["args"], said.usage_metadata["input_tokens"]]))
"""

PYDANTIC_AI = """
import json
from pydantic import BaseModel
from pydantic_ai import Agent
class City(BaseModel):
    name: str
    people: int
found = []
for model in ("openai-chat:gpt-test", "anthropic:claude-test"):
    agent = Agent(model, output_type=City)
    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"
    found.append(agent.run_sync("how is Bonn?").output.model_dump())
print(json.dumps(found))
"""


def run(world: Governed, program: str) -> Any:
    """Run an agent program governed, and return what it printed as JSON."""
    done = world.server.cli("run", "chat", "--quiet", "--", sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_agent_program_runs_governed_without_a_change_and_without_a_key(world: Governed) -> None:
    assert run(world, AGENT) == [TEXT, TEXT, "held-by-interlock"]
    assert world.sent().headers["authorization"] == "Bearer acme-secret"


def test_langchain_models_stream_and_call_tools(world: Governed) -> None:
    world.acme.script(Reply(), Reply(text="", tool_calls=(WEATHER,)))
    assert run(world, LANGCHAIN) == [TEXT, TEXT, {"city": "Bonn"}, 12]


def test_pydantic_ai_agents_use_tools_and_return_structure(world: Governed) -> None:
    bonn = {"name": "Bonn", "people": 330_000}
    final = ToolCall(name="final_result", arguments=bonn, id="call_2")
    for upstream in (world.acme, world.claude):
        upstream.script(Reply(text="", tool_calls=(WEATHER,)), Reply(text="", tool_calls=(final,)))
    assert run(world, PYDANTIC_AI) == [bonn, bonn]
    assert [len(each.received) for each in (world.acme, world.claude)] == [2, 2]
