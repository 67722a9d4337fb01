"""A real call is charged at the list's price of that day, and the report and the bill find it (B1, B8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.core.document.provider import Provider
from interlock.core.document.spending import Budget, Customer
from interlock.core.model import DAY
from interlock.core.pricing import CEILING
from interlock.core.reconciliation import Standing
from interlock.services.reconcile import reconcile
from interlock.store.spendings import Spending, spendings
from interlock.testing import ModelServer, Reply
from support.model_gateway import PRICE, ModelGateway, a_model, a_model_gateway, a_provider, manifest

pytestmark = pytest.mark.anyio
DOLLAR = 1_000_000_000


def openai(upstream: ModelServer) -> Provider:
    """Return a provider with a model of the price list, one with a ceiling and one with nothing."""
    models = (
        a_model("gpt-4o-mini-2024-07-18", None),
        a_model("house-model", None, ceiling=PRICE),
        a_model("unheard-of", None),
    )
    return a_provider("openai", f"{upstream.url}/v1", *models)


async def spent(running: ModelGateway, *by: str) -> list[Spending]:
    await running.wired.budgets.flush()
    return await running.wired.store.read(
        lambda connection: spendings(connection, by, since=0, until=1 << 60)
    )


async def test_a_call_is_charged_attributed_and_found_on_the_bill(tmp_path: Path) -> None:
    with ModelServer() as upstream:
        upstream.script(Reply(input_tokens=1_000, cached_tokens=400, output_tokens=50))
        documents = manifest((openai(upstream),), Budget(run=DOLLAR), customer=Customer(header="x-customer"))
        async with a_model_gateway(documents, tmp_path) as running:
            token = await running.token()
            answer = await running.http.post(
                "/v1/chat/completions",
                json={"model": "gpt-4o-mini-2024-07-18", "messages": [{"role": "user", "content": "hi"}]},
                headers={"Authorization": f"Bearer {token}", "x-customer": "acme"},
            )
            assert answer.status_code == 200, answer.text
            (found,) = await spent(running, "workflow", "customer", "model", "price")
            day = running.wired.runtime.clock.now() // DAY
            export = f'[{{"day": "{day * 86_400}", "model": "{found.group[2]}", "cost_usd": "0.000150"}}]'
            billed = await reconcile(running.wired.store, export, provider="", now=(day + 1) * DAY)
    expected = 600 * 150 + 400 * 75 + 50 * 600
    assert (found.cost, found.calls, found.cached) == (expected, 1, 400)
    assert (found.group[0], found.group[1], found.group[3]) == ("chat", "acme", "openai/gpt-4o-mini@1")
    assert [(each.standing, each.owed) for each in billed.lines] == [(Standing.EQUAL, 150_000 - expected)]


async def test_a_model_without_a_price_is_held_to_its_ceiling_or_refused(tmp_path: Path) -> None:
    with ModelServer() as upstream:
        async with a_model_gateway(manifest((openai(upstream),), Budget(run=DOLLAR)), tmp_path) as running:
            token = await running.token()
            capped = await running.ask(token, model="house-model")
            refused = await running.ask(token, model="unheard-of")
            (found,) = await spent(running, "price")
    assert capped.status_code == 200, capped.text
    assert CEILING in found.group[0]
    assert 400 <= refused.status_code < 500
    assert refused.headers["x-should-retry"] == "false"
    assert "No price is known for the model 'unheard-of'" in refused.json()["error"]["message"]
    assert "ceiling" in refused.text
    assert len(upstream.received) == 1


async def test_a_model_without_a_price_is_let_through_where_no_budget_counts_it(tmp_path: Path) -> None:
    with ModelServer() as upstream:
        async with a_model_gateway(manifest((openai(upstream),)), tmp_path) as running:
            answer = await running.ask(await running.token(), model="unheard-of")
            (found,) = await spent(running, "price")
    assert answer.status_code == 200, answer.text
    assert (found.group, found.cost, found.unpriced) == (("",), 0, 1)
