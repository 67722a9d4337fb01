"""Who may open a breaker and who may sign, over the API; how scores come in (E1, E2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from starlette.applications import Starlette

from interlock.cli.client import segment
from interlock.core.document.identity import Agent, Person
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import EffectClass, RiskTier
from interlock.errors import InterlockError
from interlock.services.authenticate import Authenticator
from interlock.store import people, scores
from interlock.web import breakers, runs
from interlock.web.errors import on_interlock_error
from interlock.wiring import Wired
from support.engine import World, a_manifest, a_tool

ODD = ("shop.files/read", "shop.files/trip", "shop.a?b#c%2Fd", "shop.../..//x/sign-off")
"""Names that a path would read as something else."""
PEOPLE = (
    Person(name="olga", email="olga@example.com", roles=("operator",)),
    Person(name="otto", email="otto@example.com", roles=("agent_owner",)),
    Person(name="vera", email="vera@example.com", roles=("viewer",)),
    Agent(name="ottos", owner="otto"),
    *(a_tool(each, RiskTier.READ_ONLY, EffectClass.READ, undo=None) for each in ODD),
    Workflow(name="notes", agent="ottos", owner="otto", tools=(Grant(tool="shop.read"),)),
)


@dataclass
class Server:
    """The routes of breakers and runs on a real store, without a listener."""

    world: World
    app: Starlette
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    async def ask(self, person: str, method: str, path: str, **body: Any) -> httpx2.Response:
        if person not in self.tokens:
            made = await self.world.store.transact(lambda each: people.add_token(each, person))
            self.tokens[person] = made.secret
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://interlock") as client:
            return await client.request(method, f"/api/v1/{path}", headers=headers, json=body or None)


@asynccontextmanager
async def a_server(data: Path) -> AsyncGenerator[Server]:
    world = World(data)
    await world.open(a_manifest(*PEOPLE))
    app = Starlette(
        routes=[*breakers.routes, *runs.routes], exception_handlers={InterlockError: on_interlock_error}
    )
    handles: dict[str, Any] = {name: cast("Any", None) for name in Wired.__dataclass_fields__}
    authenticator = Authenticator(
        store=world.store, keyring=cast("Any", None), memory=world.memory, runtime=world.runtime, issuer="me"
    )
    handles |= {"settings": world.settings, "runtime": world.runtime, "store": world.store}
    handles |= {"memory": world.memory, "authenticator": authenticator}
    app.state.wired = Wired(**handles)
    try:
        yield Server(world=world, app=app)
    finally:
        await world.close()


def test_operators_open_anything_and_owners_what_is_theirs(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            for person, breaker, status in (
                ("vera", "workflow:notes", 403),
                ("otto", "workflow:orders", 403),
                ("otto", "tool:shop.read", 403),
                ("olga", "workflow:note", 404),
                ("olga", "server:shop", 404),
                ("olga", "tool:", 404),
                ("otto", "agent:ottos", 200),
                ("otto", "workflow:notes", 200),
                ("olga", "tool:shop.read", 200),
            ):
                answer = await server.ask(person, "POST", f"breakers/{breaker}/trip", reason="odd")
                assert answer.status_code == status, (person, breaker, answer.text)
            silent = await server.ask("olga", "POST", "breakers/tool:shop.write/trip", reason=" ")
            assert silent.status_code == 400
            listed = (await server.ask("vera", "GET", "breakers")).json()["items"]
            assert {each["breaker"] for each in listed} == {"agent:ottos", "workflow:notes", "tool:shop.read"}
            assert (await server.ask("vera", "GET", "breakers/tool:shop.write")).status_code == 404

    asyncio.run(story())


def test_a_tool_is_reached_whatever_its_name_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            for tool in ODD:
                place = f"breakers/{segment(f'tool:{tool}')}"
                opened = await server.ask("olga", "POST", f"{place}/trip", reason="odd")
                assert (opened.status_code, opened.json()["breaker"]) == (200, f"tool:{tool}"), tool
                signed = await server.ask("olga", "POST", f"{place}/sign-off", to="closed", reason="seen")
                assert signed.status_code == 200, tool
                shown = await server.ask("vera", "GET", place)
                assert (shown.json()["name"], shown.json()["state"]) == (tool, "closed")

    asyncio.run(story())


def test_an_owner_may_stop_what_is_his_and_not_let_it_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            place = "breakers/workflow:notes"
            await server.ask("otto", "POST", f"{place}/trip", reason="odd")
            for person, body, status in (
                ("otto", {"to": "closed", "reason": "mine"}, 403),
                ("olga", {"to": "closed"}, 400),
                ("olga", {"to": "shut", "reason": "x"}, 400),
                ("olga", {"to": "open", "reason": "x"}, 409),
                ("olga", {"to": "half_open", "reason": "seen"}, 200),
                ("olga", {"to": "half_open", "reason": "seen"}, 409),
                ("olga", {"to": "closed", "reason": "seen"}, 200),
            ):
                answer = await server.ask(person, "POST", f"{place}/sign-off", **body)
                assert answer.status_code == status, (person, body, answer.text)
            assert (await server.ask("vera", "GET", "breakers")).json()["items"] == []
            (kept,) = (await server.ask("vera", "GET", "breakers?all=1")).json()["items"]
            assert (kept["state"], kept["opening"]) == ("closed", 1)
            shown = (await server.ask("vera", "GET", place)).json()
            assert [each["person"] for each in shown["sign_offs"]] == ["olga", "olga"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ({"value": 0.93}, 9_300),
        ({"value": 1}, 10_000),
        ({"value": "0.99999"}, 9_999),
        ({"basis_points": 0}, 0),
        ({"value": 1.01}, None),
        ({"value": "NaN"}, None),
        ({"basis_points": 10_001}, None),
        ({"value": 0.5, "basis_points": 5_000}, None),
        ({}, None),
    ],
)
def test_a_score_is_a_share_of_one_or_basis_points(
    tmp_path: Path, given: dict[str, Any], points: int | None
) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            run = server.world.run
            body = {"key": "k", "source": "judge", **given}
            assert (await server.ask("vera", "POST", f"runs/{run}/scores", **body)).status_code == 403
            answer = await server.ask("otto", "POST", f"runs/{run}/scores", **body)
            assert answer.status_code == (400 if points is None else 201), answer.text
            kept = await server.world.store.read(lambda found: scores.of(found, run))
            assert [each.value for each in kept] == ([] if points is None else [points])

    asyncio.run(story())
