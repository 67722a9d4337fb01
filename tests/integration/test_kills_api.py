"""Who may press the kill switch and who may resume, over the API; what it answers without its store (B5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.services.kill import KillSwitch
from interlock.store import kill_file
from interlock.store.database import Store
from interlock.web import kills
from support.api import PEOPLE, Api, an_app
from support.engine import World, a_manifest
from support.stores import a_settings


@dataclass(kw_only=True)
class Server(Api):
    """The routes of the kill switch."""

    switch: KillSwitch

    async def ask(self, person: str, method: str, path: str, **body: Any) -> httpx2.Response:
        return await super().ask(person, method, f"kills{path}", **body)

    async def press(self, person: str, scope: str, name: str = "", **more: str) -> httpx2.Response:
        return await self.ask(person, "POST", "", scope=scope, name=name, **{"reason": "odd"} | more)


@asynccontextmanager
async def a_server(data: Path) -> AsyncGenerator[Server]:
    world = World(data)
    await world.open(a_manifest(*PEOPLE))
    switch = KillSwitch(
        store=world.store, memory=world.memory, runtime=world.runtime, settings=world.settings, process="here"
    )
    try:
        yield Server(world=world, switch=switch, app=an_app(world, kills.routes, kill=switch))
    finally:
        await world.close()


@pytest.mark.parametrize(
    ("person", "scope", "name", "status"),
    [
        ("olga", "all", "", 201),
        ("olga", "environment", "dev", 201),
        ("olga", "environment", "production", 404),
        ("olga", "agent", "nobody", 404),
        ("olga", "fleet", "x", 400),
        ("otto", "agent", "ottos", 201),
        ("otto", "workflow", "notes", 201),
        ("otto", "agent", "bot", 403),
        ("otto", "workflow", "orders", 403),
        ("otto", "tool", "shop.read", 403),
        ("otto", "all", "", 403),
        ("vera", "workflow", "notes", 403),
    ],
)
def test_who_may_stop_what(tmp_path: Path, person: str, scope: str, name: str, status: int) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            answer = await server.press(person, scope, name)
            assert answer.status_code == status, answer.text
            assert bool(server.world.memory.kill) is (status == 201)

    asyncio.run(story())


def test_a_run_is_its_owners_and_pressing_twice_with_one_id_is_one_kill(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            run = await server.world.open_run("notes", "ottos")
            for _ in range(2):
                assert (await server.press("otto", "run", run, id="kill_mine")).status_code == 201
            assert (await server.press("otto", "run", server.world.run)).status_code == 403
            listed = (await server.ask("vera", "GET", "")).json()["items"]
            assert [(each["id"], each["pressed_by"]) for each in listed] == [("kill_mine", "otto")]
            shown = (await server.ask("vera", "GET", "/kill_mine")).json()
            assert shown["report"]["processes"][0]["runs_ended"] == [run]

    asyncio.run(story())


@pytest.mark.parametrize("wrong", [{"reason": " "}, {"level": "pause"}, {"id": "mine"}, {"level": "halt"}])
def test_an_order_that_makes_no_sense_stops_nothing(tmp_path: Path, wrong: dict[str, str]) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            assert (await server.press("olga", "tool", "shop.read", **wrong)).status_code == 400
            assert server.world.memory.kill == {}

    asyncio.run(story())


def test_who_may_not_stop_it_may_not_resume_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            await server.press("olga", "agent", "bot", id="kill_bot")
            await server.press("olga", "agent", "ottos", id="kill_ottos")
            for person, kill, status in (
                ("otto", "kill_bot", 403), ("vera", "kill_ottos", 403), ("olga", "kill_none", 404),
                ("otto", "kill_ottos", 200), ("otto", "kill_ottos", 403), ("olga", "kill_ottos", 200),
                ("olga", "kill_ottos", 409),
            ):  # fmt: skip
                answer = await server.ask(person, "POST", f"/{kill}/resume", reason="mended")
                assert answer.status_code == status, (person, kill, answer.text)
            assert set(server.world.memory.kill) == {"agent:bot"}

    asyncio.run(story())


def test_what_cannot_be_recorded_is_in_force_and_said_to_be_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_server(tmp_path) as server:
            server.switch.store = Store.open(a_settings(tmp_path / "other"), server.world.runtime)
            await server.switch.store.close()
            report = (await server.press("olga", "all", id="kill_all")).json()
            assert (report["refusing"], report["recorded"], report["processes"]) == (True, False, [])
            assert "not on record yet" in report["cannot_reach"][0]
            assert [each.id for each in kill_file.read(server.world.settings.data)] == ["kill_all"]
            server.switch.store = server.world.store
            await server.switch.record()
            shown = (await server.ask("vera", "GET", "/kill_all")).json()
            assert (shown["state"], shown["report"]["recorded"]) == ("in_force", True)

    asyncio.run(story())
