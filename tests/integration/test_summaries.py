"""A summary is a governed model call of the run that reads it; without one the result is cut (B7, B1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.core.answer import Completed
from interlock.core.document.spending import Budget, Compression
from interlock.core.model import Principal, Shortening
from interlock.gateway.mcp.results import Results
from interlock.testing import ModelServer, Reply
from support.model_gateway import CLAUDE, SMALL, ModelGateway, a_model_gateway, manifest, providers

pytestmark = pytest.mark.anyio
LONG = "".join(f"line {number}\n" for number in range(1_000))
ANSWER = Completed(action=None, payload={"content": [{"type": "text", "text": LONG}], "isError": False})


@asynccontextmanager
async def a_workflow(
    data: Path, model: str, reply: Reply, **workflow: Any
) -> AsyncGenerator[tuple[ModelGateway, Principal]]:
    """Yield a gateway whose workflow has every large result summarised, and who calls there."""
    rule = Compression(tool="*", above=2_000, to=400, how=Shortening.SUMMARISE, model=model)
    with ModelServer() as acme, ModelServer() as claude:
        for server in (acme, claude):
            server.script(reply)
        documents = manifest(providers(acme, claude), compression=(rule,), **workflow)
        async with a_model_gateway(documents, data) as gateway:
            token = await gateway.token()
            yield gateway, gateway.wired.authenticator.verify(token)


@pytest.mark.parametrize("model", [SMALL, CLAUDE])
async def test_a_summary_takes_the_place_of_the_text_and_the_run_pays(tmp_path: Path, model: str) -> None:
    async with a_workflow(tmp_path, model, Reply(text="A thousand lines, 0 to 999.")) as (gateway, principal):
        results = Results(gateway.wired)
        told = await results.of(ANSWER, principal, "shop.list")
        said, note = (block["text"] for block in told["content"])
        assert said == "A thousand lines, 0 to 999."
        assert f"from {len(LONG)} to {len(said)} bytes" in note
        whole = await results.original(principal, {"reference": told["_meta"]["interlock/original"]})
        assert whole["content"][0]["text"] == LONG
        (row,) = await gateway.rows(principal.run)
        assert (row.served_model, row.cost > 0) == (model, True)


@pytest.mark.parametrize(
    "reply",
    [Reply(status=400, text="no"), Reply(text=""), Reply(raw=b"no json"), Reply(raw=b"[]")],
    ids=["error", "nothing said", "no json", "no answer"],
)
async def test_without_a_summary_the_result_is_cut(tmp_path: Path, reply: Reply) -> None:
    async with a_workflow(tmp_path, SMALL, reply) as (gateway, principal):
        told = await Results(gateway.wired).of(ANSWER, principal, "shop.list")
        assert told["content"][0]["text"].startswith("line 0\nline 1\n")
        assert "interlock/original" in told["_meta"]


async def test_a_run_that_has_no_money_left_gets_its_result_cut(tmp_path: Path) -> None:
    async with a_workflow(tmp_path, SMALL, Reply(), budget=Budget(run=1)) as (gateway, principal):
        told = await Results(gateway.wired).of(ANSWER, principal, "shop.list")
        assert told["content"][0]["text"].startswith("line 0\nline 1\n")
        assert await gateway.rows(principal.run) == []
