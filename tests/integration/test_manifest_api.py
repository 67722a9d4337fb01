"""The manifest over HTTP: who may ask, what a refusal looks like."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from starlette.applications import Starlette

from interlock.errors import InterlockError
from interlock.runtime import Runtime
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.web import manifest
from interlock.web.errors import on_interlock_error
from interlock.wiring import Wired
from support.stores import a_settings

TEXT = """\
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin]}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: bot}
spec: {owner: maria}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {name: support}
spec: {agent: bot, owner: maria}
"""


class Server:
    """The manifest's routes on a real store, without a listener."""

    def __init__(self, store: Store, path: Path) -> None:
        settings = a_settings(path)
        self.app = Starlette(routes=manifest.routes, exception_handlers={InterlockError: on_interlock_error})
        handles: Any = {name: cast("Any", None) for name in Wired.__dataclass_fields__}
        handles |= {"settings": settings, "runtime": Runtime.real(), "store": store}
        self.app.state.wired = Wired(**handles | {"memory": Memory(environment=settings.environment)})
        self.token = ""

    async def post(self, path: str, body: Any, *, host: str = "") -> httpx2.Response:
        return await self._ask("POST", path, json=body, host=host)

    async def get(self, path: str) -> httpx2.Response:
        return await self._ask("GET", path)

    async def apply(self, text: str = TEXT, *, host: str = "") -> httpx2.Response:
        files = [{"name": "m.yaml", "text": text}]
        return await self.post("/api/v1/manifest/apply", {"files": files}, host=host)

    async def _ask(self, method: str, path: str, *, host: str = "", **body: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app, client=(host, 1))
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            return await client.request(method, path, **body)


@pytest.fixture
def server(sqlite_store: Store, tmp_path: Path) -> Server:
    return Server(sqlite_store, tmp_path)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_the_first_apply_is_made_through_the_local_socket(server: Server) -> None:
    async def story() -> None:
        for host in ("192.0.2.7", "127.0.0.1"):
            away = await server.apply(host=host)
            assert (away.status_code, away.json()["error"]["code"]) == (403, "not_permitted")
        here = await server.apply()
        assert (here.status_code, here.json()["administrator"]) == (200, "maria")
        assert (await server.apply()).status_code == 401
        server.token = here.json()["token"]
        again = (await server.apply()).json()
        assert (again["acted"], again["token"]) == (False, None)

    run(story())


def test_every_question_needs_a_person_once_there_is_one(server: Server) -> None:
    async def story() -> None:
        server.token = (await server.apply()).json()["token"]
        shown = (await server.get("/api/v1/manifest")).json()
        assert (shown["version"], shown["applied_by"]) == (1, "maria")
        assert {each["kind"] for each in shown["documents"]} == {"Person", "Agent", "Workflow"}
        assert [
            each["version"] for each in (await server.get("/api/v1/manifest/history")).json()["items"]
        ] == [1]
        worst = await server.get("/api/v1/workflows/support/blast-radius")
        assert worst.json()["calls"] == []
        assert (await server.get("/api/v1/workflows/nobody/blast-radius")).status_code == 404
        assert (await server.get("/api/v1/changes/chg_none")).status_code == 404
        server.token = ""
        for path in (
            "manifest",
            "manifest/history",
            "changes",
            "changes/x",
            "workflows/support/blast-radius",
        ):
            assert (await server.get(f"/api/v1/{path}")).status_code == 401
        for path in (
            "manifest/plan",
            "manifest/apply",
            "changes/x/approve",
            "changes/x/reject",
            "policy/explain",
        ):
            assert (await server.post(f"/api/v1/{path}", {})).status_code == 401

    run(story())


def test_problems_come_back_with_their_places(server: Server) -> None:
    async def story() -> None:
        wrong = await server.apply(TEXT.replace("owner: maria}", "owner: mraia}"))
        assert wrong.status_code == 422
        found = wrong.json()["error"]
        assert found["code"] == "manifest_invalid"
        assert [(each["place"]["line"], each["near"]) for each in found["problems"]] == [
            (9, "maria"),
            (14, "maria"),
        ]
        assert (await server.get("/api/v1/manifest")).status_code == 401
        malformed = await server.post("/api/v1/manifest/apply", {"files": "x"})
        assert (malformed.status_code, malformed.json()["error"]["code"]) == (400, "usage")

    run(story())
