"""Model calls through the gateway: priced, held, clamped, refused, settled once (B1 to B5, B8)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.core.document.identity import Organisation
from interlock.core.document.spending import Budget, Models
from interlock.core.kill import KillLevel
from interlock.gateway.llm.front import LlmGateway
from interlock.gateway.llm.header import usd
from interlock.listen import Listener, server_config
from interlock.store.model_calls import LedgerRow
from interlock.testing import ModelServer, Reply, UsageAt
from support.model_gateway import (
    CHEAP,
    CLAUDE,
    GPT,
    SMALL,
    ModelGateway,
    a_model,
    a_model_gateway,
    a_provider,
    manifest,
    providers,
)

pytestmark = pytest.mark.anyio
DOLLAR = 1_000_000_000
WIRES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {}),
    "responses": ("/v1/responses", {"input": "hi"}),
    "messages": ("/v1/messages", {"model": CLAUDE, "max_tokens": 100}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """The scripted providers."""

    acme: ModelServer
    claude: ModelServer


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    with ModelServer() as acme, ModelServer() as claude:
        yield Upstreams(acme=acme, claude=claude)


@asynccontextmanager
async def gateway(
    upstreams: Upstreams, data: Path, budget: Budget | None = None, **workflow: Any
) -> AsyncGenerator[tuple[ModelGateway, str]]:
    documents = manifest(providers(upstreams.acme, upstreams.claude), budget, **workflow)
    async with a_model_gateway(documents, data) as running:
        yield running, await running.token()


def run_of(running: ModelGateway) -> str:
    return next(iter(running.wired.memory.runs))


async def test_a_call_is_charged_to_the_last_nano_dollar(upstreams: Upstreams, tmp_path: Path) -> None:
    upstreams.acme.script(Reply(input_tokens=100, cached_tokens=40, output_tokens=10))
    async with gateway(upstreams, tmp_path, Budget(run=DOLLAR)) as (running, token):
        answer = await running.ask(token)
        assert answer.status_code == 200, answer.text
        (row,) = await running.rows(run_of(running))
    assert row.cost == 60 * 2_000 + 40 * 500 + 10 * 8_000
    assert answer.headers["x-interlock-cost-usd"] == "0.000220000"
    assert answer.headers["x-interlock-budget-scope"].startswith("run run_")
    assert (row.ending, row.usage_source, row.served_model) == ("answered", "provider", GPT)
    assert upstreams.acme.received[0].body["max_tokens"] == 4_000


async def test_a_budget_clamps_then_refuses_and_no_sdk_repeats_it(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(output_tokens=10_000))
    budget = Budget(run=10_000_000, kill=1_500, hard=1_500, soft=1_000)
    async with gateway(upstreams, tmp_path, budget) as (running, token):
        first = await running.ask(token)
        second = await running.ask(token)
        rows = await running.rows(run_of(running))
    assert first.status_code == 200
    sent = upstreams.acme.received[0].body["max_tokens"]
    assert 256 <= sent < 4_000
    assert second.status_code == 402
    assert second.headers["x-should-retry"] == "false"
    assert second.json()["error"]["code"] in ("request_exceeds_budget", "run_halted")
    told = second.json()["error"]["interlock"]
    assert told["limit_nano_usd"] == 10_000_000
    assert told["link"] == f"{running.url}/api/v1/budgets/runs/{run_of(running)}"
    assert told["command"] == f"interlock budget explain {run_of(running)}"
    assert second.headers["x-interlock-link"] == told["link"]
    assert sum(row.cost for row in rows) <= 15_000_000
    assert len(upstreams.acme.received) == 1


VARIANTS = [
    (wire, at, split) for wire in ("chat", "responses", "messages") for at in UsageAt for split in (0, 5)
]


async def test_usage_is_found_wherever_it_stands(upstreams: Upstreams, tmp_path: Path) -> None:
    async with gateway(upstreams, tmp_path) as (running, _):
        for wire, at, split in VARIANTS:
            row, text = await streamed(upstreams, running, wire, at, split)
            said = (wire, at, split)
            if at is UsageAt.MISSING:
                assert row.usage_source == "estimated", said
                assert row.output > 0, said
            else:
                assert (row.usage_source, row.output, row.input_uncached) == ("provider", 9, 50), said
                assert row.cost == 50 * 2_000 + 9 * 8_000, said
            assert '"choices":[]' not in text, said
            assert "three" in text, said


async def streamed(
    upstreams: Upstreams, running: ModelGateway, wire: str, at: UsageAt, split: int
) -> tuple[LedgerRow, str]:
    """Stream one reply in a run of its own; return its row of the ledger and what came."""
    reply = Reply(text="one two three four", input_tokens=50, output_tokens=9, usage=at, split=split)
    upstreams.acme.script(reply)
    upstreams.claude.script(reply)
    path, body = WIRES[wire]
    token = await running.token()
    answer = await running.ask(token, path, stream=True, **body)
    (row,) = await running.rows(answer.headers["x-interlock-run-id"])
    return row, answer.text


async def test_a_model_out_of_scope_is_refused_and_nobody_is_called(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    async with gateway(upstreams, tmp_path, models=Models(pin={"main": GPT})) as (running, token):
        aliased = await running.ask(token, model="main")
        refused = await running.ask(token, model="small-test")
        unknown = await running.ask(token, model="gpt-tset")
    assert aliased.status_code == 200
    assert upstreams.acme.received[0].body["model"] == GPT
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "model_not_in_scope"
    assert unknown.status_code == 404
    assert "gpt-test" in unknown.json()["error"]["message"]
    assert len(upstreams.acme.received) == 1


@pytest.mark.parametrize(
    ("public", "base"), [("https://interlock.example/", "https://interlock.example"), ("", "")]
)
async def test_a_refusal_over_the_local_socket_links_to_where_people_reach_the_server_or_names_the_path(
    upstreams: Upstreams, tmp_path: Path, public: str, base: str
) -> None:
    documents = manifest(providers(upstreams.acme, upstreams.claude), Budget(run=1))
    async with a_model_gateway(documents, tmp_path, public_url=public) as running:
        token, path = await running.token(), tmp_path / "local.sock"
        server = Listener(server_config(LlmGateway(running.wired), uds=str(path)))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        transport = httpx2.AsyncHTTPTransport(uds=str(path), verify=False)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://interlock", verify=False
        ) as local:
            sent = {"model": GPT, "messages": []}
            refused = await local.post(
                WIRES["chat"][0], json=sent, headers={"Authorization": f"Bearer {token}"}
            )
        server.stop()
        await serving
    assert refused.status_code == 402
    assert refused.headers["x-interlock-link"] == f"{base}/api/v1/budgets/runs/{run_of(running)}"


SWAP = Models(allow=("*",), degrade={GPT: SMALL})


async def test_beyond_the_hard_limit_a_cheaper_model_answers_and_says_so(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(input_tokens=1_000, output_tokens=1_000))
    budget = Budget(run=10_000_000, kill=5_000)
    async with gateway(upstreams, tmp_path, budget, models=SWAP) as (running, token):
        first = await running.ask(token, max_tokens=1_000)
        second = await running.ask(token, max_tokens=1_000)
        rows = await running.rows(run_of(running))
    assert "x-interlock-degraded" not in first.headers
    assert "model" in second.headers["x-interlock-degraded"].split(";")
    assert second.headers["x-interlock-served-model"] == SMALL
    assert second.headers["x-interlock-requested-model"] == GPT
    assert second.headers["x-interlock-budget-state"] == "degraded"
    assert second.headers["x-interlock-partial"] == "true"
    assert upstreams.acme.received[1].body["model"] == SMALL
    assert (rows[1].requested_model, rows[1].served_model) == (GPT, SMALL)
    assert "model" in rows[1].degraded
    assert rows[1].cost < rows[0].cost


async def test_what_a_cheaper_call_can_still_do_is_degraded_and_neither_refused_nor_halted(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(input_tokens=100, output_tokens=1_000), Reply(output_tokens=10))
    budget = Budget(run=8_200_000, kill=1_100)
    async with gateway(upstreams, tmp_path, budget, models=SWAP) as (running, token):
        await running.ask(token, max_tokens=1_000)
        answer = await running.ask(token)
        assert answer.status_code == 200, answer.text
        assert "model" in answer.headers["x-interlock-degraded"].split(";")
        assert running.wired.memory.kill == {}
        assert sum((await running.spent()).values()) <= 9_020_000
    async with gateway(upstreams, tmp_path / "no-swap", budget) as (running, token):
        upstreams.acme.script(Reply(input_tokens=100, output_tokens=1_000))
        await running.ask(token, max_tokens=1_000)
        refused = await running.ask(token)
        assert refused.status_code == 402
        assert len(upstreams.acme.received) == 1


async def test_in_shadow_nothing_changes_and_the_ledger_says_what_would_have(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(input_tokens=1_000, output_tokens=1_000))
    budget = Budget(run=10_000_000, kill=5_000, shadow=True)
    async with gateway(upstreams, tmp_path, budget, models=SWAP) as (running, token):
        await running.ask(token, max_tokens=1_000)
        answer = await running.ask(token, max_tokens=1_000)
        rows = await running.rows(run_of(running))
    assert [each.body["model"] for each in upstreams.acme.received] == [GPT, GPT]
    assert "shadow:model" in rows[1].degraded
    assert "x-interlock-partial" not in answer.headers


@pytest.mark.parametrize("tried", [True, False])
async def test_a_budget_in_shadow_changes_nothing_and_hides_no_other_that_is_not(
    upstreams: Upstreams, tmp_path: Path, tried: bool
) -> None:
    upstreams.acme.script(Reply(input_tokens=1_000, output_tokens=1_000))
    whole = Organisation(name="acme", budget=Budget(month=10_000_000, kill=5_000, shadow=tried))
    own = Budget(run=DOLLAR, shadow=not tried)
    documents = (*manifest(providers(upstreams.acme, upstreams.claude), own, models=SWAP), whole)
    async with a_model_gateway(documents, tmp_path) as running:
        token = await running.token()
        await running.ask(token, max_tokens=1_000)
        answer = await running.ask(token, max_tokens=1_000)
        stream = await running.ask(token, max_tokens=1_000, stream=True)
    assert f": x-interlock-budget-state: {'ok' if tried else 'degraded'}\n" in stream.text
    said = answer.headers["x-interlock-degraded"].split(";")
    assert upstreams.acme.received[1].body["model"] == (GPT if tried else SMALL)
    assert ("shadow:model" if tried else "model") in said
    assert ("x-interlock-partial" in answer.headers) is not tried


async def test_a_fallback_answers_where_the_first_provider_fails(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(status=503, text="no"))
    backup = a_provider("backup", f"{upstreams.claude.url}/v1", a_model("other-test"))
    serving = providers(upstreams.acme, upstreams.claude, fallbacks={GPT: ("backup/other-test",)})
    async with a_model_gateway(manifest((*serving, backup)), tmp_path) as running:
        answer = await running.ask(await running.token())
        rows = await running.rows(run_of(running))
    assert answer.status_code == 200
    assert answer.headers["x-interlock-served-model"] == "other-test"
    assert upstreams.claude.received[0].body["model"] == "other-test"
    assert [(row.ending, row.usage_source) for row in rows] == [
        ("failed", "uncertain"),
        ("answered", "provider"),
    ]


@pytest.mark.parametrize("asked", [GPT, f"acme/{GPT}"])
async def test_a_degraded_call_whose_provider_fails_is_answered_by_its_fallback(
    upstreams: Upstreams, tmp_path: Path, asked: str
) -> None:
    upstreams.acme.script(Reply(status=503, text="no"))
    upstreams.claude.script(Reply(input_tokens=1_000, output_tokens=1_000))
    backup = a_provider("backup", f"{upstreams.claude.url}/v1", a_model("other-test"))
    serving = providers(upstreams.acme, upstreams.claude, fallbacks={GPT: ("backup/other-test",)})
    documents = manifest((*serving, backup), Budget(run=10_000_000, kill=5_000), models=SWAP)
    async with a_model_gateway(documents, tmp_path) as running:
        token = await running.token()
        answers = [await running.ask(token, model=asked, max_tokens=1_000) for _ in range(2)]
        rows = await running.rows(run_of(running))
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[1].headers["x-interlock-budget-state"] == "degraded"
    assert answers[1].headers["x-interlock-served-model"] == "other-test"
    assert (rows[2].provider, rows[2].served_model) == ("acme", SMALL), "the cheaper model was tried first"
    assert (rows[3].provider, rows[3].ending) == ("backup", "answered")


async def test_a_cheaper_model_of_another_provider_is_called_by_no_more_at_once_than_that_one_takes(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(input_tokens=1_000, output_tokens=1_000))
    upstreams.claude.script(Reply(wait=0.2))
    tiny = a_provider("tiny", f"{upstreams.claude.url}/v1", a_model("tiny", CHEAP), concurrency=1)
    serving = providers(upstreams.acme, upstreams.claude)
    models = Models(allow=("*",), degrade={GPT: "tiny"})
    documents = manifest((*serving, tiny), Budget(run=10_000_000, kill=5_000), models=models)
    async with a_model_gateway(documents, tmp_path) as running:
        token = await running.token()
        await running.ask(token, max_tokens=1_000)
        began = time.monotonic()
        answers = await asyncio.gather(*(running.ask(token, max_tokens=1_000) for _ in range(3)))
        took = time.monotonic() - began
    assert [each.headers["x-interlock-served-model"] for each in answers] == ["tiny"] * 3
    assert took >= 0.6


ERRORS = [
    (Reply(status=429, text="slow down", headers={"retry-after": "3"}), False),
    (Reply(status=400, text="bad"), False),
    (Reply(status=500, text="oh"), True),
]


async def test_an_error_of_the_provider_passes_and_costs_what_the_table_says(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    async with gateway(upstreams, tmp_path, Budget(run=DOLLAR)) as (running, _):
        for reply, costs in ERRORS:
            upstreams.acme.script(reply)
            answer = await running.ask(await running.token())
            rows = await running.rows(answer.headers["x-interlock-run-id"])
            assert answer.status_code == reply.status
            assert reply.text in answer.text
            assert answer.headers.get("retry-after") == reply.headers.get("retry-after")
            assert bool(rows) is costs
            assert not running.wired.budgets._books.holds


ENDS = {
    "chat": '"finish_reason":"length"',
    "responses": "response.incomplete",
    "messages": '"stop_reason":"max_tokens"',
}


async def test_a_kill_ends_a_stream_well_formed_and_charges_what_passed(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    endless = Reply(text="word " * 400, pace=0.01, output_tokens=500)
    upstreams.acme.script(endless)
    upstreams.claude.script(endless)
    async with gateway(upstreams, tmp_path, Budget(run=DOLLAR)) as (running, _):
        for wire, (path, body) in WIRES.items():
            token = await running.token()
            run = running.wired.authenticator.verify(token).run
            asking = asyncio.create_task(running.ask(token, path, stream=True, **body))
            await heard(upstreams)
            await asyncio.sleep(0.3)
            running.wired.memory.put_kill(f"kil_{wire}", f"run:{run}", KillLevel.STOP)
            answer, refused = await asking, await running.ask(token, path, **body)
            (row,) = await running.rows(run)
            assert answer.status_code == 200
            assert ENDS[wire] in answer.text
            assert answer.text.endswith("\n\n")
            assert row.ending == "cut"
            assert row.usage_source in ("estimated", "uncertain")
            assert row.output > 0
            assert refused.status_code == 402
            assert refused.headers["x-should-retry"] == "false"
            told = refused.json()["error"]["interlock"]
            assert told == {
                "link": f"{running.url}/api/v1/kills/kil_{wire}",
                "command": f"interlock kill show kil_{wire}",
            }
            assert told["link"] == refused.headers["x-interlock-link"]


async def test_a_stream_ends_with_a_comment_that_says_what_it_cost_and_how_its_budget_stands(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    for server in (upstreams.acme, upstreams.claude):
        server.script(Reply(input_tokens=100, output_tokens=1_000))
    async with gateway(upstreams, tmp_path, Budget(run=8_180_000, kill=9_000)) as (running, _):
        for path, body in WIRES.values():
            token = await running.token()
            answer = await running.ask(token, path, stream=True, **body)
            (row,) = await running.rows(running.run(token))
            *events, comment, nothing = answer.text.split("\n\n")
            told = dict(line.removeprefix(": ").split(": ", 1) for line in comment.splitlines())
            assert nothing == ""
            assert all(line.startswith(": x-interlock-") for line in comment.splitlines())
            assert not any(event.startswith(":") for event in events)
            assert told["x-interlock-call-id"] == answer.headers["x-interlock-call-id"]
            assert told["x-interlock-cost-usd"] == usd(row.cost).decode()
            assert "x-interlock-cost-usd" not in answer.headers
            spent_up = row.cost > 8_180_000
            assert spent_up is (row.output == 1_000)
            assert told["x-interlock-budget-state"] == ("degraded" if spent_up else "ok")
            assert told["x-interlock-budget-scope"] == f"run {running.run(token)}"
            assert float(told["x-interlock-budget-used"]) == row.cost * 1_000 // 8_180_000 / 1_000


async def test_a_caller_who_leaves_near_the_end_is_charged_what_the_provider_counted(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(text="word " * 60, output_tokens=100, pace=0.01))
    serving = providers(upstreams.acme, upstreams.claude, drain=5)
    async with a_model_gateway(manifest(serving, Budget(run=DOLLAR)), tmp_path) as running:
        lines = streaming(running, await running.token(), max_tokens=100)
        seen = 0
        async for line in lines:
            seen += "word" in line
            if seen == 57:
                break
        await lines.aclose()
        async with asyncio.timeout(10):
            while not (rows := await running.rows(run_of(running))):  # noqa: ASYNC110 - nothing tells a test
                await asyncio.sleep(0.05)
    assert [(row.ending, row.usage_source, row.output) for row in rows] == [("left", "provider", 100)]


async def test_the_first_event_does_not_wait_for_the_next(upstreams: Upstreams, tmp_path: Path) -> None:
    upstreams.acme.script(Reply(text="a b", pace=0.5))
    async with gateway(upstreams, tmp_path) as (running, token):
        lines = streaming(running, token)
        async with asyncio.timeout(0.4):
            assert "assistant" in await anext(lines)
        await lines.aclose()


async def test_a_call_that_only_waits_for_others_is_told_when_to_come_again(
    upstreams: Upstreams, tmp_path: Path
) -> None:
    upstreams.acme.script(Reply(wait=4), Reply())
    budget = Budget(run=20_000_000, kill=1_000, hard=1_000, soft=900)
    async with gateway(upstreams, tmp_path, budget) as (running, token):
        slow = asyncio.create_task(running.ask(token, max_tokens=2_400))
        await heard(upstreams)
        busy = await running.ask(token, max_tokens=250)
        assert (await slow).status_code == 200
        later = await running.ask(token, max_tokens=250)
    assert busy.status_code == 429
    assert busy.headers["retry-after"] == "2"
    assert "x-should-retry" not in busy.headers
    assert busy.json()["error"]["code"] == "budget_inflight"
    assert later.status_code == 200


async def test_counting_tokens_costs_nothing(upstreams: Upstreams, tmp_path: Path) -> None:
    async with gateway(upstreams, tmp_path, Budget(run=1)) as (running, token):
        counted = await running.ask(token, "/v1/messages/count_tokens", model=CLAUDE)
        refused = await running.ask(token)
        rows = await running.rows(run_of(running))
    assert counted.json() == {"input_tokens": 12}
    assert refused.status_code == 402
    assert rows == []


async def heard(upstreams: Upstreams) -> None:
    """Return when a provider has a request, and forget it."""
    async with asyncio.timeout(10):
        while not (upstreams.acme.received or upstreams.claude.received):  # noqa: ASYNC110 - another thread
            await asyncio.sleep(0.01)
    upstreams.acme.received.clear()
    upstreams.claude.received.clear()


async def streaming(running: ModelGateway, token: str, **more: Any) -> AsyncGenerator[str]:
    """Yield the lines of a stream as they come."""
    body = {"model": GPT, "messages": [], "stream": True, **more}
    headers = {"Authorization": f"Bearer {token}"}
    async with running.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            yield line
