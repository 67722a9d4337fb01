"""A real model end to end: `openai`'s client, `interlock serve`, llama.cpp with the weights of Gemma 3 270M.

Its streams carry no usage, which is the case to meter (B1, B3 to B5). `make test-live` builds the server and
puts the weights together in `.live/`.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from support.served import Served, served, until

LIVE = Path(__file__).resolve().parents[2] / ".live"
MODEL, MINI, SPOKEN = "gemma-270m", "gemma-270m-mini", "gemma-270m-spoken"
"""One set of weights under three names: the second costs a tenth, the third only what it says."""
INPUT, OUTPUT = 2_000, 8_000
"""Nano-dollars a token of the first."""
ASK: Any = [{"role": "user", "content": "Name three colours of the rainbow."}]
CAP, ENOUGH = 24, 40
MANIFEST = """
apiVersion: interlock/v1
kind: Person
metadata: {{name: maria}}
spec: {{email: maria@example.com, roles: [admin, agent_owner, approver]}}
---
apiVersion: interlock/v1
kind: Agent
metadata: {{name: bot}}
spec: {{owner: maria, purpose: test}}
---
apiVersion: interlock/v1
kind: Provider
metadata: {{name: local}}
spec:
  base_url: {url}/v1
  wire_format: openai
  models:
    - {{name: {model}, price: {{input: 2, output: 8}}, window: 2048, max_output: 256}}
    - {{name: {mini}, price: {{input: 0.2, output: 0.8}}, window: 2048, max_output: 256}}
    - {{name: {spoken}, price: {{input: 0, output: 8}}, window: 2048, max_output: 256}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: chat}}
spec: {{agent: bot, owner: maria, models: {{allow: ["*"]}}, budget: {{run: 1}}}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: thrifty}}
spec:
  agent: bot
  owner: maria
  models: {{allow: ["*"], degrade: {{{model}: {mini}}}}}
  budget: {{run: 0.001}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: tight}}
spec: {{agent: bot, owner: maria, models: {{allow: ["*"]}}, budget: {{run: 0.001}}}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: doomed}}
spec: {{agent: bot, owner: maria, models: {{allow: ["*"]}}, budget: {{run: 0.000512}}}}
"""
HALTED_AFTER = 4
"""Calls that say all they may: four times 24 tokens are one and a half times what `doomed` may spend."""


@dataclass
class Program:
    """An agent's program: a run of a workflow, and the SDK's client that it calls with."""

    server: Served
    workflow: str
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        hooks: Any = {"request": [lambda sent: self.requests.append(str(sent.url))]}
        self.client = openai.OpenAI(
            base_url=f"{self.server.url}/v1",
            api_key=self.server.token(self.workflow),
            max_retries=3,
            http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        )
        self.run, self.answered = "", 0

    def ask(self, model: str = MODEL) -> Any:
        """Call a model; return the raw answer, with its headers."""
        raw = self.client.chat.completions.with_raw_response.create(
            model=model, messages=ASK, max_tokens=CAP, temperature=0, seed=1
        )
        self.run = raw.headers["x-interlock-run-id"]
        self.answered += 1
        return raw

    def ask_until_refused(self, model: str = MODEL) -> openai.APIStatusError:
        """Call a model again and again, not for ever; return the refusal, which was not asked for twice."""
        with pytest.raises(openai.APIStatusError) as refused:  # noqa: PT012 - how often is the matter
            while self.answered < ENOUGH:
                self.ask(model)
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert len(self.requests) == self.answered + 1
        return refused.value

    def charged(self) -> dict[str, Any]:
        """Return what the run was charged for, once all of it is written."""
        return self.server.api(f"budgets/runs/{self.run}")


Start = Callable[[str], Program]


@pytest.fixture
def start(server: Served) -> Iterator[Start]:
    """Return what starts the program of a workflow."""
    started: list[Program] = []

    def start(workflow: str) -> Program:
        started.append(Program(server, workflow))
        return started[-1]

    yield start
    for each in started:
        each.client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("live")
    with model_server(folder / "model.log") as url:
        manifest = MANIFEST.format(url=url, model=MODEL, mini=MINI, spoken=SPOKEN)
        with served(folder / "data", manifest) as running:
            yield running


@contextmanager
def model_server(log: Path) -> Generator[str]:
    """Serve the model on a free port; yield where."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(LIVE / "bin" / "python"), "-m", "llama_cpp.server", "--model", str(LIVE / "model.gguf")]
    command += ["--chat_format", "vicuna", "--n_ctx", "2048", "--model_alias", MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            until(lambda: process.poll() is not None or answers(url), seconds=90)
            assert process.poll() is None, log.read_text()[-2000:]
            yield url
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    """Say whether a server lists its models."""
    try:
        return httpx2.get(f"{url}/v1/models", timeout=5).is_success
    except httpx2.TransportError:
        return False


def test_a_model_answers_and_what_it_reports_is_charged_to_the_nano_dollar(start: Start) -> None:
    program = start("chat")
    raw = program.ask()
    said = raw.parse()
    assert said.choices[0].message.content.strip()
    assert 0 < said.usage.completion_tokens <= CAP
    owed = said.usage.prompt_tokens * INPUT + said.usage.completion_tokens * OUTPUT
    (call,) = until(lambda: program.charged()["calls"])
    assert (call["cost"], call["usage_source"], call["served_model"]) == (owed, "provider", MODEL)
    assert round(float(raw.headers["x-interlock-cost-usd"]) * 1_000_000_000) == owed


def test_a_stream_without_usage_is_charged_by_an_estimate_that_says_so(start: Start) -> None:
    program = start("chat")
    whole = program.ask().parse()
    began, pieces, first = time.monotonic(), list[str](), 0.0
    stream = program.client.chat.completions.create(
        model=MODEL, messages=ASK, max_tokens=CAP, temperature=0, seed=1, stream=True
    )
    for chunk in stream:
        assert chunk.usage is None
        if chunk.choices and chunk.choices[0].delta.content:
            first = first or time.monotonic() - began
            pieces.append(chunk.choices[0].delta.content)
    assert "".join(pieces) == whole.choices[0].message.content
    assert first < time.monotonic() - began
    reported, streamed = until(lambda: two(program.charged()["calls"]))
    assert streamed["usage_source"] == "estimated"
    assert 0 < streamed["cost"] < 10 * reported["cost"]
    print(f"\nstreamed {len(pieces)} pieces, the first after {first * 1000:.0f} ms;")  # noqa: T201
    print(f"estimated at {streamed['cost']} nano-dollars, reported {reported['cost']}")  # noqa: T201


def test_a_budget_degrades_the_calls_that_are_beyond_it_and_says_so(start: Start) -> None:
    program, answered = start("thrifty"), list[Any]()
    while len(answered) < ENOUGH and not (answered and beyond(answered[-1])):
        answered.append(program.ask())
    assert len(answered) > 1
    headers, said = answered[-1].headers, answered[-1].parse()
    assert "model" in headers["x-interlock-degraded"].split(";")
    assert (headers["x-interlock-requested-model"], headers["x-interlock-served-model"]) == (MODEL, MINI)
    assert headers["x-interlock-partial"] == "true"
    assert headers["x-interlock-budget-state"] == "degraded"
    assert said.choices[0].message.content
    charged = until(lambda: len(program.charged()["calls"]) == len(answered) and program.charged())
    assert charged["partial"]
    assert "model" in charged["calls"][-1]["degraded"]
    assert charged["calls"][-1]["served_model"] == MINI
    assert charged["calls"][-1]["cost"] < charged["calls"][0]["cost"]


def test_a_call_that_could_cost_more_than_is_left_is_refused_and_the_sdk_does_not_ask_again(
    start: Start,
) -> None:
    program = start("tight")
    refused = program.ask_until_refused()
    assert (refused.status_code, refused.code) == (402, "request_exceeds_budget")
    assert program.answered > 1
    charged = program.charged()
    assert sum(call["cost"] for call in charged["calls"]) == charged["cost"] <= 1_500_000


def test_a_run_that_has_spent_its_kill_ceiling_is_halted_for_good(server: Served, start: Start) -> None:
    program = start("doomed")
    refused = program.ask_until_refused(SPOKEN)
    assert (refused.status_code, refused.code) == (402, "run_halted")
    assert program.answered == HALTED_AFTER
    until(lambda: len(program.charged()["calls"]) == HALTED_AFTER)
    assert program.charged()["cost"] == HALTED_AFTER * CAP * OUTPUT
    until(lambda: server.api(f"runs/{program.run}")["state"] == "ended")
    assert [kill for kill in server.api("kills")["items"] if program.run in kill["subject"]]


def beyond(raw: Any) -> bool:
    """Say whether an answer tells that its run is beyond its budget and was degraded."""
    return raw.headers["x-interlock-budget-state"] == "degraded" and "x-interlock-degraded" in raw.headers


def two(calls: list[Any]) -> list[Any]:
    """Return calls if there are two."""
    return calls if len(calls) == 2 else []
