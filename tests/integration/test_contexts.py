"""Context sizes out of the ledger: never behind, the same once summed up, told when they grow (B6, C4)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx2
from starlette.applications import Starlette

from interlock.core.context import Reading
from interlock.core.document.provider import DeclaredPrice, DeclaredRates, Provider, ProviderModel
from interlock.core.model import HOUR, WireFamily
from interlock.core.price_book import PriceBook
from interlock.errors import InterlockError
from interlock.services.import_prices import Prices
from interlock.services.watch_contexts import known_windows, read_contexts, readings, watch_contexts
from interlock.store import alert_events, contexts, model_calls, people
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow
from interlock.web import signals
from interlock.web.errors import on_interlock_error
from support.identity import World, world

__all__ = ["world"]

HERE = "dev"


def a_row(attempt: str, tokens: int, *, at: int, **more: Any) -> LedgerRow:
    values: dict[str, Any] = {
        "attempt": attempt,
        "environment": HERE,
        "run": "run_1",
        "root_run": "run_1",
        "workflow": "refunds",
        "version": 1,
        "agent": "bot",
        "provider": "openai",
        "requested_model": "gpt",
        "served_model": "gpt",
        "ending": "settled",
        "started_at": at,
        "ended_at": at,
        "context_tokens": tokens,
    }
    return LedgerRow(**values | more)


def window(model: str) -> int | None:
    return {"openai/gpt": 10_000}.get(model)


async def write(store: Store, *rows: LedgerRow) -> None:
    await store.transact(lambda tx: model_calls.insert(tx.connection, rows))


async def read(store: Store, workflow: str = "refunds") -> tuple[Reading, ...]:
    known = await store.read(lambda connection: read_contexts(connection, HERE, workflow, window))
    return known.readings


def test_a_reading_is_never_behind_and_the_same_once_summed_up(store: Store) -> None:
    async def story() -> None:
        now = await store.transact(lambda tx: tx.now)
        old = [a_row(f"old{number}", 1_000 * number, at=now - 5 * HOUR) for number in range(1, 8)]
        new = [a_row(f"new{number}", 9_000, at=now, version=2, served_model="mini") for number in range(3)]
        other = [
            a_row("tool", 500, at=now, kind="tool"),
            a_row("elsewhere", 500, at=now, environment="production"),
            a_row("nothing", 0, at=now),
        ]
        await write(store, *old, *new, *other)
        before = await read(store)
        assert [(each.version, each.calls, each.mean) for each in before] == [(1, 7, 4_000), (2, 3, 9_000)]
        assert before[0].utilisation in range(700, 722)
        assert before[1].utilisation is None
        assert await store.transact(lambda tx: contexts.sum_up(tx, HERE, now - HOUR)) == 7
        assert await store.transact(lambda tx: contexts.sum_up(tx, HERE, now - HOUR)) == 0
        assert await read(store) == before
        late = a_row("late", 1_000, at=now - 1)
        await write(store, late)
        assert (await read(store))[0].calls == 8
        assert await store.read(lambda connection: contexts.workflows(connection, HERE)) == ["refunds"]

    asyncio.run(story())


def test_counts_of_one_bucket_add_up_over_several_rounds(store: Store) -> None:
    async def story() -> None:
        now = await store.transact(lambda tx: tx.now)
        for number in range(3):
            at = now - (5 - number) * HOUR
            await write(store, a_row(f"a{number}", 100, at=at))
            assert await store.transact(lambda tx, at=at: contexts.sum_up(tx, HERE, at)) == 1
        assert [(each.calls, each.mean) for each in await read(store)] == [(3, 100)]

    asyncio.run(story())


def test_a_run_is_read_by_itself(store: Store) -> None:
    async def story() -> None:
        await write(store, a_row("a", 100, at=1), a_row("b", 700, at=1, run="run_2"))
        found = await store.read(lambda connection: contexts.of_run(connection, HERE, "run_2"))
        assert [(each.model, each.sizes.mean) for each in found] == [("openai/gpt", 700)]
        assert readings(found, window)[0].utilisation in range(70, 73)

    asyncio.run(story())


def test_growth_between_deployments_is_told_once_for_each(store: Store) -> None:
    async def story() -> None:
        memory = Memory(environment=HERE)

        async def watch() -> list[str]:
            return await watch_contexts(store=store, memory=memory, windows=window)

        await write(store, *[a_row(f"a{number}", 1_000, at=1) for number in range(60)])
        assert await watch() == []
        await write(store, *[a_row(f"b{number}", 2_000, at=1, version=2) for number in range(60)])
        assert await watch() == []  # they began before the mark: too late to be counted
        now = await store.transact(lambda tx: tx.now)
        await write(store, *[a_row(f"c{number}", 2_000, at=now, version=2) for number in range(60)])
        assert await watch() == ["refunds"]
        assert await watch() == []
        (event,) = await store.read(lambda connection: alert_events.listed(connection, HERE))
        assert event.kind.value == "context.growth"
        assert event.subject == "workflow:refunds"
        assert event.summary.startswith(
            "The contexts of refunds@2 grew: 95th percentile 100 % over refunds@1"
        )

    asyncio.run(story())


def the_api(world: World) -> Starlette:
    """Return the signals' routes on the world's store."""
    app = Starlette(
        routes=signals.routes,
        exception_handlers={InterlockError: on_interlock_error},
    )
    wired = world.app().state.wired
    prices = Prices(store=world.store, memory=world.memory, runtime=world.runtime)
    app.state.wired = replace(wired, prices=prices)
    return app


def test_the_api_reads_them_by_workflow_and_by_run(world: World) -> None:
    async def story() -> None:
        run = (await world.open_run()).run.id
        rows = [
            a_row(f"a{number}", 1_000, at=1, run=run, environment=world.settings.environment)
            for number in range(10)
        ]
        await write(world.store, *rows)
        token = (await world.store.transact(lambda tx: people.add_token(tx, "vera"))).secret

        async def get(path: str, token: str = token) -> httpx2.Response:
            transport = httpx2.ASGITransport(app=the_api(world))
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://x", headers=headers
            ) as client:
                return await client.get(path)

        listed = (await get("/api/v1/signals/context")).json()
        assert [each["deployment"] for each in listed["items"]] == ["refunds@1"]
        assert (listed["items"][0]["growth"], listed["next"]) == (None, None)
        shown = (await get("/api/v1/signals/context/refunds")).json()
        assert shown["deployments"][0]["calls"] == 10
        assert (shown["models"][0]["model"], shown["models"][0]["window"]) == ("openai/gpt", None)
        of_run = (await get(f"/api/v1/runs/{run}/context")).json()
        assert (of_run["items"][0]["mean"], of_run["items"][0]["deployment"]) == (1_000, "refunds@1")
        assert (await get("/api/v1/signals/context/nobody")).status_code == 404
        assert (await get("/api/v1/runs/run_nobody/context")).status_code == 404
        assert (await get("/api/v1/signals/context", token="ilk_wrong")).status_code == 401

    asyncio.run(story())


def test_windows_are_the_manifests_own_first() -> None:
    declared = ProviderModel(name="m", window=9_000, ceiling=DeclaredPrice(rates=DeclaredRates(input=1)))
    provider = Provider(name="p", base_url="http://x", wire_formats=(WireFamily.OPENAI,), models=(declared,))
    windows = known_windows(PriceBook(providers=[provider]), 0)
    assert (windows("p/m"), windows("p/other")) == (9_000, None)
