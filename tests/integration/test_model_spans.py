"""Every attempt at a model call is a span, with each step of the ladder (B4, C3)."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interlock.core.document.spending import Budget, Models
from interlock.settings import exports_spans
from interlock.testing import ModelServer, Reply
from support.collector import Collector, a_collector, attributes
from support.model_gateway import CLAUDE, GPT, SMALL, ModelGateway, a_model_gateway, manifest, providers

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
"""The span of an agent that asks not to be sampled."""


@pytest.fixture
def acme() -> Iterator[ModelServer]:
    with ModelServer([Reply(input_tokens=1_000, output_tokens=1_000)]) as server:
        yield server


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with a_collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


@asynccontextmanager
async def traced(acme: ModelServer, data: Path, budget: Budget | None = None) -> AsyncGenerator[ModelGateway]:
    """Yield a gateway in which beyond the hard limit a small model answers."""
    models = Models(allow=("*",), degrade={GPT: SMALL})
    async with a_model_gateway(manifest(providers(acme, acme), budget, models=models), data) as running:
        yield running


async def test_each_step_of_the_ladder_stands_on_the_span_as_in_the_ledger_and_the_headers(
    acme: ModelServer, collector: Collector, tmp_path: Path
) -> None:
    async with traced(acme, tmp_path, Budget(run=10_000_000, kill=5_000)) as running:
        token = await running.token()
        answers = [await running.ask(token, max_tokens=1_000) for _ in range(2)]
        rows = await running.rows(running.run(token))
    told = [attributes(span) for span in collector.spans]
    steps = [list(row.degraded) for row in rows]
    assert "model" in steps[1]
    assert [each["interlock.degraded"] for each in told] == steps
    assert answers[1].headers["x-interlock-degraded"].split(";") == steps[1]
    assert [each["interlock.cost.nano_usd"] for each in told] == [row.cost for row in rows]
    assert [each["interlock.budget.state"] for each in told] == ["soft", "degraded"]
    assert [each["interlock.sent.model"] for each in told] == [GPT, SMALL]
    assert told[1]["gen_ai.request.model"] == GPT
    assert [each["interlock.call.id"] for each in told] == [
        answer.headers["x-interlock-call-id"] for answer in answers
    ]


async def test_a_span_has_the_names_of_the_conventions_and_no_word_of_the_conversation(
    acme: ModelServer, collector: Collector, tmp_path: Path
) -> None:
    acme.script(Reply(text="confidential answer", input_tokens=12, output_tokens=7))
    said = [{"role": "user", "content": "confidential question"}]
    async with traced(acme, tmp_path) as running:
        token = await running.token()
        await running.ask(token, messages=said, stream=True)
        await running.ask(token, "/v1/messages", model=CLAUDE, messages=said, max_tokens=50)
    chat, message = (attributes(span) for span in collector.spans)
    assert collector.spans[0].name == f"chat {GPT}"
    assert collector.resource["service.name"] == "interlock"
    assert collector.resource["deployment.environment.name"] == "dev"
    wanted = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.agent.name": "bot",
        "gen_ai.workflow.name": "chat",
        "interlock.usage.source": "provider",
        "interlock.ending": "answered",
        "http.response.status_code": 200,
    }
    assert wanted.items() <= chat.items()
    assert (message["gen_ai.provider.name"], message["gen_ai.usage.output_tokens"]) == ("claude", 7)
    assert b"confidential" not in collector.raw
    assert b"eyJ" not in collector.raw  # a run token


async def test_a_call_that_failed_is_an_error_and_each_attempt_a_span(
    acme: ModelServer, collector: Collector, tmp_path: Path
) -> None:
    acme.script(Reply(status=500), Reply(status=400))
    async with traced(acme, tmp_path) as running:
        token = await running.token()
        assert [(await running.ask(token)).status_code for _ in range(2)] == [500, 400]
    failed, rejected = collector.spans
    assert [span.status.code for span in collector.spans] == [2, 2]
    assert [attributes(span)["error.type"] for span in collector.spans] == ["failed", "rejected"]
    assert attributes(failed)["http.response.status_code"] == 500
    assert "gen_ai.usage.input_tokens" not in attributes(rejected)


async def test_an_agent_can_place_its_calls_in_its_own_trace_and_not_keep_them_out(
    acme: ModelServer, collector: Collector, tmp_path: Path
) -> None:
    async with traced(acme, tmp_path) as running:
        token = await running.token()
        for parent in (PARENT, "nonsense", ""):
            sent = {"Authorization": f"Bearer {token}", "traceparent": parent}
            body = {"model": GPT, "messages": []}
            await running.http.post(CHAT, json=body, headers=sent)
    own, *others = collector.spans
    _, trace, parent, _ = PARENT.split("-")
    assert (own.trace_id.hex(), own.parent_span_id.hex()) == (trace, parent)
    assert len(others) == 2
    assert all(each.trace_id.hex() != trace and not each.parent_span_id for each in others)


async def test_calls_go_on_where_nobody_collects_or_nothing_is_installed(
    acme: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "interlock.upstream.spans", raising=False)
    async with traced(acme, tmp_path) as running:
        assert (await running.ask(await running.token())).status_code == 200
    assert "pip install 'interlock[telemetry]'" in caplog.text


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_spans_are_sent_where_the_variables_of_opentelemetry_name_a_collector(
    environ: dict[str, str], wanted: bool
) -> None:
    assert exports_spans(environ) is wanted
