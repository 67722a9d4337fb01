"""Who may open a breaker and who may sign, over the API; how scores come in (E1, E2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.cli.client import segment
from interlock.core.model import EffectClass, RiskTier
from interlock.store import scores
from interlock.web import breakers, runs
from support.api import PEOPLE, Api, an_app
from support.engine import World, a_manifest, a_tool

ODD = ("shop.files/read", "shop.files/trip", "shop.a?b#c%2Fd", "shop.../..//x/sign-off")
"""Names that a path would read as something else."""


@asynccontextmanager
async def a_server(data: Path) -> AsyncGenerator[Api]:
    """Yield the routes of breakers and runs."""
    world = World(data)
    odd = (a_tool(each, RiskTier.READ_ONLY, EffectClass.READ, undo=None) for each in ODD)
    await world.open(a_manifest(*PEOPLE, *odd))
    try:
        yield Api(world=world, app=an_app(world, [*breakers.routes, *runs.routes]))
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
