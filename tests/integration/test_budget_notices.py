"""What real budgets say is told once, and what reached its kill ceiling is halted in its tick (B3 to B5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from interlock.core.alert import AlertKind, Severity
from interlock.core.budget import Clamp, Crossed, Refused
from interlock.core.document.identity import Person
from interlock.core.document.spending import Budget
from interlock.core.kill import KillLevel
from interlock.services.kill import KillSwitch
from interlock.services.notify import Notify
from interlock.services.resume_killed import ResumeKilled
from interlock.store import alert_events, deliveries, incidents, kills
from interlock.store.alert_events import AlertEvent
from interlock.store.database import Store
from support.money import Purse, a_bundle, die, expire
from support.stores import a_settings

DOLLAR = 1_000_000_000
DAILY = Budget(day=10 * DOLLAR, route=("kim",))
KIM = Person(name="kim", email="kim@example.com")


class House:
    """A purse whose events are heard."""

    def __init__(self, purse: Purse, data: Path) -> None:
        self.purse = purse
        self.dead = False
        self.settings = a_settings(data)
        self.switch = KillSwitch(
            store=purse.store,
            memory=purse.memory,
            runtime=purse.runtime,
            settings=self.settings,
            process="here",
        )
        self.notify = Notify(
            store=purse.store, memory=purse.memory, runtime=purse.runtime, press=self.switch.press
        )
        purse.budgets.on_event.append(self.notify.on_budget)
        purse.budgets.alongside(self.notify.waiting)

    async def events(self) -> list[AlertEvent]:
        await self.notify.flush()
        await self.switch.record()
        return await self.purse.store.read(lambda found: alert_events.listed(found, "dev"))

    async def on_record(self) -> list[tuple[str, str]]:
        """Return kind and subject of what is on record now, the oldest first, without writing what waits."""
        found = await self.purse.store.read(lambda each: alert_events.listed(each, "dev"))
        return [(each.kind.value, each.subject) for each in reversed(found)]

    async def die(self) -> None:
        await die(self.purse)
        self.dead = True

    def spend(self, dollars: int) -> None:
        held = self.purse.hold(dollars * DOLLAR, dollars * DOLLAR)
        assert self.purse.settle(held, dollars * DOLLAR), held


@asynccontextmanager
async def a_house(data: Path, database: str = "", **budgets: Budget) -> AsyncGenerator[House]:
    purse = await Purse.open(data, database, a_bundle(KIM, **budgets), start=False)
    purse.open_run("run_1")
    house = House(purse, data)
    await house.switch.load()
    await purse.budgets.start()
    try:
        yield house
    finally:
        if not house.dead:
            await purse.close()


def test_a_soft_limit_is_told_once_a_day_to_the_budgets_route(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with a_house(tmp_path, database_url, workflow=DAILY) as house:
            for _ in range(8):
                house.spend(1)
            (event,) = await house.events()
            assert (event.kind, event.subject) == (AlertKind.BUDGET_SOFT, "workflow:orders")
            assert event.summary == "workflow orders, per day: 70 % of 10.00 USD is spent or on its way"
            told = await house.purse.store.read(lambda found: deliveries.listed(found, "dev"))
            assert [each.name for each in told] == ["kim"]
            assert house.purse.memory.kill == {}

    asyncio.run(story())


def test_at_the_kill_ceiling_the_workflow_is_halted_in_the_tick_with_an_incident_and_a_page(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with a_house(tmp_path, database_url, workflow=DAILY) as house:
            for dollars in (8, 4, 3):
                house.spend(dollars)
            assert house.purse.memory.kill == {"workflow:orders": KillLevel.STOP}
            events = {each.kind: each for each in await house.events()}
            assert events.keys() == {AlertKind.BUDGET_SOFT, AlertKind.BUDGET_HARD, AlertKind.BUDGET_KILL}
            halted = events[AlertKind.BUDGET_KILL]
            assert halted.incident is not None
            store = house.purse.store
            (found,) = await store.read(lambda connection: incidents.listed(connection, "dev", state="open"))
            said = "A budget halted the workflow orders: 150 % of 10.00 USD per day is spent or on its way"
            assert found.summary == said
            (kill,) = await store.read(lambda connection: kills.listed(connection, "dev"))
            told = await store.read(lambda connection: deliveries.listed(connection, "dev", event=halted.id))
            assert {each.name for each in told} == {"kim", "maria"}
            assert (kill.source, kill.pressed_by, kill.incident) == ("budget", "budget", found.id)

    asyncio.run(story())


def test_beyond_the_hard_limit_having_no_room_is_a_halt_and_a_call_that_is_too_large_is_not(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with a_house(tmp_path, workflow=DAILY) as house:
            house.spend(5)
            assert isinstance(house.purse.hold(DOLLAR, 11 * DOLLAR), Clamp | Refused)
            assert house.purse.memory.kill == {}
            house.spend(8)
            under_way = house.purse.hold(DOLLAR, DOLLAR)
            refused = house.purse.hold(2 * DOLLAR, 2 * DOLLAR, least=2 * DOLLAR)
            assert isinstance(refused, Refused)
            assert house.purse.memory.kill == {}, "what is under way may leave room"
            house.purse.settle(under_way, DOLLAR)
            house.purse.hold(2 * DOLLAR, 2 * DOLLAR, least=2 * DOLLAR)
            assert house.purse.memory.kill == {"workflow:orders": KillLevel.STOP}

    asyncio.run(story())


def test_what_two_people_let_go_on_is_not_halted_by_the_same_window_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_house(tmp_path, workflow=DAILY) as house:
            halts: list[Crossed] = []
            house.purse.budgets.on_event.append(lambda event: halts.append(event))  # type: ignore[arg-type]
            house.spend(15)
            await house.events()
            (kill,) = await house.purse.store.read(lambda found: kills.listed(found, "dev"))
            resume = ResumeKilled(store=house.purse.store, memory=house.purse.memory, settings=house.settings)
            await resume(kill.id, by="maria", reason="a rerun")
            await resume(kill.id, by="kim", reason="agreed")
            house.notify.on_budget(halts[-1])  # as another process, or this one after a restart, would
            assert house.purse.memory.kill
            await house.switch.record()
            assert house.purse.memory.kill == {}

    asyncio.run(story())


def test_a_shadow_budget_halts_nothing_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_house(tmp_path, workflow=replace(DAILY, shadow=True)) as house:
            house.spend(15)
            events = await house.events()
            assert all("shadow" in each.summary for each in events)
            assert house.purse.memory.kill == {}
            halt = next(each for each in events if each.kind is AlertKind.BUDGET_KILL)
            assert (halt.severity, halt.incident) == (Severity.TICKET, None)

    asyncio.run(story())


def test_a_run_and_an_agent_are_halted_and_a_team_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        small = Budget(day=4 * DOLLAR)
        async with a_house(
            tmp_path, workflow=Budget(run=2 * DOLLAR), agent=small, organisation=Budget(day=2 * DOLLAR)
        ) as house:
            house.spend(3)
            assert house.purse.memory.kill == {"run:run_1": KillLevel.STOP}
            subjects = {(each.kind.value, each.subject) for each in await house.events()}
            assert ("budget.kill", "run:run_1") in subjects
            assert ("budget.kill", "organisation:acme") in subjects
            assert ("budget.soft", "agent:bot") in subjects

    asyncio.run(story())


def test_a_call_that_cost_more_than_it_could_is_an_anomaly(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_house(tmp_path, workflow=DAILY) as house:
            held = house.purse.hold(DOLLAR, DOLLAR)
            house.purse.settle(held, 2 * DOLLAR)
            events = await house.events()
            (event,) = [each for each in events if each.kind is AlertKind.BUDGET_ANOMALY]
            known = {each.summary for each in events}
            assert event.summary == "A call cost 2.00 USD, and 1.00 USD was the most it could cost."
            held = house.purse.hold(2_400_000, 2_400_000)
            house.purse.settle(held, 2_500_001)
            (small,) = {each.summary for each in await house.events()} - known
            assert small == "A call cost 0.002500001 USD, and 0.0024 USD was the most it could cost."

    asyncio.run(story())


def test_what_cannot_be_written_waits_and_is_told_later(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_house(tmp_path, workflow=DAILY) as house:
            closed = Store.open(a_settings(tmp_path / "other"), house.purse.runtime)
            await closed.close()
            deaf = replace(house.notify, store=closed)
            house.purse.budgets.on_event[:] = [deaf.on_budget]
            house.spend(8)
            await asyncio.sleep(0.05)
            assert await house.events() == []
            heard = replace(deaf, store=house.purse.store)
            heard._waiting.update(deaf._waiting)
            await heard.flush()
            assert len(await house.events()) == 1

    asyncio.run(story())


SOFT, HARD = ("budget.soft", "workflow:orders"), ("budget.hard", "workflow:orders")


def test_an_alert_is_in_the_commit_of_what_crossed_the_limit(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with a_house(
            tmp_path, database_url, workflow=DAILY, organisation=Budget(month=6 * DOLLAR)
        ) as house:
            house.spend(8)
            assert await house.on_record() == []
            await house.purse.budgets.flush()  # nothing but what writes the settlement runs
            assert set(await house.on_record()) == {SOFT, ("budget.hard", "organisation:acme")}
            await house.die()

    asyncio.run(story())


def test_what_a_crash_left_untold_is_told_at_the_next_start_and_once_in_its_window(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with a_house(tmp_path, database_url, workflow=replace(DAILY, strict=True)) as house:
            house.purse.budgets.on_event.clear()  # as if it died before anything of it was told
            held = house.purse.hold(8 * DOLLAR, 8 * DOLLAR)
            assert await house.purse.budgets.durable(held) is None
            house.purse.settle(held, 8 * DOLLAR)
            await expire(house.purse)
            await house.die()
        for _ in range(2):
            async with a_house(tmp_path, database_url, workflow=replace(DAILY, strict=True)) as house:
                await house.purse.budgets.flush()
                assert await house.on_record() == [SOFT]
                await house.die()
        async with a_house(tmp_path, database_url, workflow=DAILY) as house:
            house.spend(3)
            await house.purse.budgets.flush()
            assert await house.on_record() == [SOFT, HARD]

    asyncio.run(story())


def test_a_halt_that_a_crash_left_unwritten_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_house(tmp_path, workflow=DAILY) as house:
            house.purse.budgets.on_event.clear()  # as if it died between the ledger's row and the kill's
            house.spend(15)
            await house.purse.budgets.flush()
            await house.die()
        async with a_house(tmp_path, workflow=DAILY) as house:
            assert house.purse.memory.kill == {"workflow:orders": KillLevel.STOP}
            (event,) = await house.events()
            assert (event.kind, event.incident is not None) == (AlertKind.BUDGET_KILL, True)

    asyncio.run(story())


def test_what_only_a_crash_charged_halts_nothing_and_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        strict = replace(DAILY, strict=True)
        async with a_house(tmp_path, workflow=strict) as house:
            house.spend(5)
            held = house.purse.hold(DOLLAR, 10 * DOLLAR)
            assert await house.purse.budgets.durable(held) is None
            await house.die()
        async with a_house(tmp_path, workflow=strict) as house:
            assert isinstance(house.purse.hold(DOLLAR, DOLLAR), Refused)
            assert house.purse.memory.kill == {}
            await house.purse.budgets.flush()
            assert await house.on_record() == [HARD]

    asyncio.run(story())
