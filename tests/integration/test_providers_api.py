"""What is wrong with a provider is said before a call fails of it: no price, no secret, an end (H2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from interlock.app.compose import wire
from interlock.cli.provider_checks import provider_checks
from interlock.errors import InterlockError
from interlock.web import manifest, providers
from interlock.web.errors import on_interlock_error
from support.stores import a_settings

TEXT = """\
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin]}
---
apiVersion: interlock/v1
kind: Provider
metadata: {name: house}
spec:
  base_url: http://127.0.0.1:9
  wire_format: [openai, anthropic]
  credentials:
    api_key: secret://env/HOUSE_KEY
    headers: {x-team: "secret://env/HOUSE_TEAM", x-set: "secret://env/HOUSE_SET"}
    owner: maria
    expires: 2020-01-01
  models:
    - {name: priced, price: {input: 1, output: 2}}
    - {name: capped, ceiling: {input: 1, output: 2}}
    - {name: unheard-of}
---
apiVersion: interlock/v1
kind: Provider
metadata: {name: openai}
spec: {base_url: "https://api.openai.com/v1", wire_format: openai, models: [{name: gpt-4o-mini}]}
"""


async def _listed(data: Path) -> list[dict[str, Any]]:
    async with wire(a_settings(data)) as wired:
        app = Starlette(
            routes=[*manifest.routes, *providers.routes],
            exception_handlers={InterlockError: on_interlock_error},
        )
        app.state.wired = wired
        transport = httpx2.ASGITransport(app=app, client=("", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/api/v1/providers")).status_code == 401
            files = [{"name": "m.yaml", "text": TEXT}]
            applied = await client.post("/api/v1/manifest/apply", json={"files": files})
            signed = {"Authorization": f"Bearer {applied.json()['token']}"}
            return (await client.get("/api/v1/providers", headers=signed)).json()["items"]


def test_providers_are_listed_with_prices_secrets_and_the_end_of_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_SET", "x")
    house, openai = asyncio.run(_listed(tmp_path))
    assert house["wire_formats"] == ["openai", "anthropic"]
    assert house["models"] == [
        {"model": "priced", "price": "manifest"},
        {"model": "capped", "price": "ceiling"},
        {"model": "unheard-of", "price": None},
    ]
    assert house["unset"] == ["HOUSE_KEY", "HOUSE_TEAM"]
    assert house["expired"]
    assert house["warning"].startswith("The credentials of the model provider house have expired")
    assert openai["models"][0]["price"].startswith("genai-prices")
    assert (openai["unset"], openai["expired"], openai["warning"]) == ([], False, None)
    assert provider_checks([]) == []
    expired, unset, unpriced = provider_checks([house, openai])
    assert [each["ok"] for each in (expired, unset, unpriced)] == [False, False, False]
    assert unset["detail"] == "house needs HOUSE_KEY, HOUSE_TEAM"
    assert unpriced["detail"] == "house/unheard-of: declare a price, 0 for a model of your own"
    assert all(each["ok"] for each in provider_checks([openai]))
