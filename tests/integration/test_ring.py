"""Timers: each fires once, with its effect or not at all, on one process or several."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from interlock.core.model import SECOND
from interlock.errors import StateConflict
from interlock.runtime import Runtime
from interlock.services import ring
from interlock.services.ring import Ring
from interlock.store import timers
from interlock.store.database import Store, Transaction
from support.engine import ShiftedClock, World, a_manifest, eventually
from support.stores import a_settings


def told(store: Store, story: Callable[[Ring], Awaitable[None]]) -> None:
    """Run a story with one ring."""

    async def run() -> None:
        await story(Ring(store=store))

    asyncio.run(run())


async def put(store: Store, kind: str, ref: str, seconds: float = 0) -> None:
    """Set a timer."""
    await store.transact(lambda tx: timers.put(tx, kind, ref, tx.now + round(seconds * SECOND)))


def test_what_is_due_fires_once_in_order_and_what_is_not_stays(store: Store) -> None:
    async def story(bell: Ring) -> None:
        rung: list[str] = []
        bell.on("bell", lambda _, ref: rung.append(ref))
        await put(store, "bell", "second", -1)
        await put(store, "bell", "first", -2)
        await put(store, "bell", "later", 60)
        await put(store, "siren", "nobody's", -5)
        assert await bell.fire() == 2
        assert rung == ["first", "second"]
        assert await bell.fire() == 0
        left = await store.read(lambda c: [*timers.of(c, "later"), *timers.of(c, "nobody's")])
        assert [each.ref for each in left] == ["later", "nobody's"]

    told(store, story)


def test_a_handler_that_fails_loses_nothing_and_stops_nobody_elses(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(bell: Ring) -> None:
        rung: list[str] = []

        def handler(transaction: Transaction, ref: str) -> None:
            timers.put(transaction, "left", ref, transaction.now)
            if ref == "overtaken":
                raise StateConflict("It has moved on.")
            if ref == "broken":
                raise ZeroDivisionError
            rung.append(ref)

        bell.on("bell", handler)
        for ref in ("broken", "overtaken", "sound"):
            await put(store, "bell", ref)
        assert await bell.fire() == 3
        assert rung == ["sound"]
        for ref in ("broken", "overtaken"):
            kept = await store.read(lambda c, ref=ref: timers.of(c, ref))
            assert [each.kind for each in kept] == ["bell"], "its effect was rolled back, the timer stands"
            assert store.now() < kept[0].due_at <= store.now() + ring.AGAIN
        assert await bell.fire() == 0
        assert "must wait" in caplog.text
        assert "failed; it is due again" in caplog.text

    told(store, story)


def test_a_handler_may_set_its_timer_anew(store: Store) -> None:
    async def story(bell: Ring) -> None:
        bell.on("bell", lambda tx, ref: timers.put(tx, "bell", ref, tx.now + 60 * SECOND))
        await put(store, "bell", "again")
        assert await bell.fire() == 1
        assert len(await store.read(lambda c: timers.of(c, "again"))) == 1

    told(store, story)


def test_a_kind_has_one_handler(sqlite_store: Store) -> None:
    bell = Ring(store=sqlite_store)
    bell.on("bell", lambda _tx, _ref: None)
    with pytest.raises(ValueError, match="bell"):
        bell.on("bell", lambda _tx, _ref: None)


def test_two_processes_fire_each_timer_once(tmp_path: Path, postgres_url: str) -> None:
    stores = [
        Store.open(a_settings(tmp_path / name, database=postgres_url), Runtime.real()) for name in ("a", "b")
    ]
    rung: Counter[str] = Counter()
    lock = threading.Lock()

    def handler(_: Transaction, ref: str) -> None:
        with lock:
            rung[ref] += 1

    async def story() -> None:
        for number in range(30):
            await put(stores[0], "bell", str(number))
        rings = [Ring(store=store) for store in stores]
        for each in rings:
            each.on("bell", handler)
        fired = await asyncio.gather(*(each.fire() for each in rings))
        assert sum(fired) == 30

    try:
        asyncio.run(story())
    finally:
        for store in stores:
            store.close_now()
    assert len(rung) == 30
    assert set(rung.values()) == {1}


def test_the_timers_of_another_environment_are_left_to_it(tmp_path: Path, postgres_url: str) -> None:
    stores = {
        name: Store.open(a_settings(tmp_path / name, database=postgres_url, environment=name), Runtime.real())
        for name in ("staging", "production")
    }
    rung: list[str] = []

    async def story() -> None:
        await put(stores["production"], "bell", "theirs")
        rings = {name: Ring(store=store) for name, store in stores.items()}
        for name, each in rings.items():
            each.on("bell", lambda _, ref, name=name: rung.append(f"{name} {ref}"))
        assert await rings["staging"].fire() == 0
        assert await rings["production"].fire() == 1

    try:
        asyncio.run(story())
    finally:
        for store in stores.values():
            store.close_now()
    assert rung == ["production theirs"]


def test_the_engines_clock_fires_what_is_due(tmp_path: Path) -> None:
    async def story() -> None:
        world = await World(tmp_path).open(a_manifest())
        rung: list[str] = []
        world.calls.ring.on("bell", lambda _, ref: rung.append(ref))
        await put(world.store, "bell", "soon", 60)
        await asyncio.sleep(0.05)
        assert rung == []
        assert isinstance(world.clock, ShiftedClock)
        world.ahead(61)
        await eventually(lambda: rung == ["soon"])
        await world.close()

    asyncio.run(story())
