"""How budgets stand, over the API: what is on record counts, whoever answers (B1, B2, B4)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from interlock.app.compose import wire
from interlock.core.document.spending import Budget, Models
from interlock.gateway.llm.header import usd
from interlock.settings import Settings
from interlock.store import people
from interlock.store.schema import holds
from interlock.testing import ModelServer, Reply
from interlock.web.api import build_api
from interlock.wiring import Wired
from support.engine import eventually
from support.model_gateway import CHEAP, GPT, SMALL, a_model, a_model_gateway, a_provider, manifest

BUDGET = Budget(run=10_000_000, day=1_000_000_000)
MODELS = Models(allow=("*",), degrade={GPT: SMALL})


async def asked(wired: Wired, path: str, status: int = 200) -> Any:
    """Ask the API as maria."""
    made = await wired.store.transact(lambda each: people.add_token(each, "maria"))
    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=build_api(wired)),
        base_url="http://interlock",
        headers={"Authorization": f"Bearer {made.secret}"},
    )
    async with client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def nearly_right(wired: Wired) -> None:
    """Ask for what there is not, and be told what there is."""
    for path, status, near in (
        ("/api/v1/budgets?kind=workfow", 400, "workflow"),
        ("/api/v1/spend?by=wrkflow&since=7d", 400, "workflow"),
        ("/api/v1/spend?by=model&since=7d&teem=x", 400, "team"),
        ("/api/v1/alerts?kind=budget.sotf", 400, "budget.soft"),
        ("/api/v1/alerts/deliveries?state=delivred", 400, "delivered"),
        ("/api/v1/prices/openai/versions?model=gpt4o", 404, "openai/gpt-4o"),
    ):
        said = await asked(wired, path, status)
        assert said["error"]["hint"] == f"Did you mean {near}?", said


def test_a_degraded_run_is_partial_and_what_was_spent_is_known_to_a_process_that_took_no_call(
    tmp_path: Path,
) -> None:
    async def story(model: ModelServer) -> None:
        serving = (a_provider("acme", f"{model.url}/v1", a_model(GPT), a_model(SMALL, CHEAP)),)
        documents = manifest(serving, BUDGET, models=MODELS)
        async with a_model_gateway(documents, tmp_path) as gateway:
            runs = [await gateway.token(), await gateway.token()]
            await gateway.ask(runs[0], max_completion_tokens=100)
            last = [await gateway.ask(runs[1], max_completion_tokens=100) for _ in range(8)][-1]
            assert last.headers["x-interlock-partial"] == "true"
            await gateway.settled()
            for token, partial in zip(runs, (False, True), strict=True):
                for path in ("/api/v1/budgets/runs/", "/api/v1/runs/"):
                    assert (await asked(gateway.wired, path + gateway.run(token)))["partial"] is partial
            call = await asked(gateway.wired, f"/api/v1/budgets/calls/{last.headers['x-interlock-call-id']}")
            (attempt,) = call["attempts"]
            assert (attempt["served_model"], attempt["cost"]) == (SMALL, call["cost"])
            assert last.headers["x-interlock-cost-usd"] == usd(call["cost"]).decode()
            spent = await gateway.spent()
            (day,) = [each for each in spent if ":day:" in each]
        async with wire(Settings(data=tmp_path)) as wired:
            (shown,) = (await asked(wired, "/api/v1/budgets?kind=workflow"))["items"]
            await nearly_right(wired)
        assert (shown["id"], shown["spent"]) == (day, spent[day])
        assert shown["used"] == spent[day] * 1_000 // 1_000_000_000

    reply = Reply(input_tokens=400, output_tokens=100)
    with ModelServer([reply], models=(GPT, SMALL)) as model:
        asyncio.run(story(model))


def test_what_a_crash_charged_is_told_of_each_account_even_where_no_call_is_on_record(tmp_path: Path) -> None:
    async def story(model: ModelServer) -> None:
        serving = (a_provider("acme", f"{model.url}/v1", a_model(GPT), a_model(SMALL, CHEAP)),)
        documents = manifest(serving, replace(BUDGET, strict=True))
        async with a_model_gateway(documents, tmp_path) as gateway:
            token = await gateway.token()
            call = asyncio.ensure_future(gateway.ask(token, max_completion_tokens=100))
            await eventually(lambda: model.received)
            lost = sa.update(holds).values(state="expired", cost=holds.c.most)  # as after a kill
            await gateway.wired.store.transact(lambda transaction: transaction.execute(lost) and None)
            run = gateway.run(token)
            standing = (await asked(gateway.wired, f"/api/v1/budgets?kind=run&name={run}"))["items"]
            windows = (await asked(gateway.wired, "/api/v1/budgets/history"))["items"]
            explained = await asked(gateway.wired, f"/api/v1/budgets/runs/{run}")
            most = await gateway.wired.store.read(lambda found: found.scalar(sa.select(holds.c.most)))
            call.cancel()
        assert [each["charged"] for each in (*standing, *windows)] == [most] * 3
        assert [each["charged"] for each in explained["accounts"]] == [most]
        assert explained["calls"] == []

    with ModelServer([Reply(wait=20)], models=(GPT, SMALL)) as model:
        asyncio.run(story(model))
