"""Every attempt at a model call is a span, with each step of the ladder (B4, C3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interlock.app.compose import wire
from interlock.core.document.spending import Budget, Models
from interlock.errors import UsageError
from interlock.runtime import EventLoopScheduler
from interlock.settings import Collector as Where
from interlock.settings import Settings
from interlock.settings import collector as collector_of
from interlock.testing import ModelServer, Reply
from interlock.upstream.span import Span, trace_of
from interlock.upstream.spans import ROOM, SpanExport
from support.collector import Collector, a_collector
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
    told = collector.told
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
    chat, message = collector.told
    assert collector.spans[0]["name"] == f"chat {GPT}"
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
    failed, rejected = collector.told
    assert [span["status"] for span in collector.spans] == [
        {"code": 2, "message": "failed"},
        {"code": 2, "message": "rejected"},
    ]
    assert [each["error.type"] for each in collector.told] == ["failed", "rejected"]
    assert failed["http.response.status_code"] == 500
    assert "gen_ai.usage.input_tokens" not in rejected


async def test_an_agent_can_place_its_calls_in_its_own_trace_and_not_keep_them_out(
    acme: ModelServer, collector: Collector, tmp_path: Path
) -> None:
    async with traced(acme, tmp_path) as running:
        token = await running.token()
        for parent in (PARENT, "nonsense", ""):
            sent = {"Authorization": f"Bearer {token}", "traceparent": parent}
            body = {"model": GPT, "messages": []}
            await running.http.post(CHAT, json=body, headers=sent)
        run = running.run(token)
    own, *others = collector.spans
    _, trace, parent, _ = PARENT.split("-")
    assert (own["traceId"], own["parentSpanId"]) == (trace, parent)
    assert {each["traceId"] for each in others} == {trace_of(run)}
    assert not any("parentSpanId" in each for each in others)
    assert len({each["spanId"] for each in collector.spans}) == 3


async def test_spans_wait_for_a_collector_that_is_busy_and_go_with_its_headers(
    acme: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_collector(503) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/own/path")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20secret, x-tenant=t1")
        async with traced(acme, tmp_path) as running:
            token = await running.token()
            for _ in range(3):
                await running.ask(token)
            async with asyncio.timeout(10):
                while not collector.asked:  # noqa: ASYNC110 - nothing tells a test
                    await asyncio.sleep(0.02)
            assert collector.spans == []
    assert len(collector.spans) == 3
    assert {(each["x-key"], each["x-tenant"]) for each in collector.asked} == {("a secret", "t1")}


async def test_calls_go_on_while_nobody_collects_and_what_finds_no_room_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    span = Span(name="chat", run="run_1", started_at=1, ended_at=2, attributes={})
    scheduler = EventLoopScheduler()
    with a_collector(400) as collector:
        export = SpanExport(Where(url=collector.url), environment="dev", version="1", scheduler=scheduler)
        for _ in range(ROOM + 5):
            export(span)
        await export.close()
    assert "5 spans found no room" in caplog.text
    assert "refused 512 spans (HTTP 400)" in caplog.text
    assert len(collector.spans) == ROOM - 512
    away = SpanExport(Where(url="http://127.0.0.1:9"), environment="dev", version="1", scheduler=scheduler)
    away(span)
    await away.close()
    assert "was not reached (ClientConnectorError)" in caplog.text


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/x"}, "https://c/x"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_spans_are_sent_where_the_variables_of_opentelemetry_name_a_collector(
    environ: dict[str, str], wanted: str | None
) -> None:
    found = collector_of(environ)
    assert (found and found.url) == wanted


def test_a_collector_is_told_what_the_operator_says_of_this_process() -> None:
    found = collector_of(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
            "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=p%201,service.name=x",
            "OTEL_SERVICE_NAME": "control",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2500",
        }
    )
    assert found is not None
    assert (found.resource, found.timeout) == ({"k8s.pod.name": "p 1", "service.name": "control"}, 2.5)
    assert "abc" not in repr(found)


@pytest.mark.parametrize(
    ("name", "said"), [("PROTOCOL", "grpc"), ("ENDPOINT", "collector:4317"), ("TIMEOUT", "10s")]
)
def test_what_cannot_be_done_for_a_collector_is_said_at_the_start(name: str, said: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", f"OTEL_EXPORTER_OTLP_{name}": said}
    with pytest.raises(UsageError, match=f"OTEL_EXPORTER_OTLP_{name} .*{said}"):
        collector_of(environ)


async def test_a_certificate_that_is_none_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "missing.pem"))
    with pytest.raises(UsageError, match="OTEL_EXPORTER_OTLP_CERTIFICATE cannot be used"):
        async with wire(Settings(data=tmp_path)):
            pass
