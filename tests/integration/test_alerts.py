"""Alerts: none without an entry of its own (invariant 12), each raised once, with its commit (B3, G1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from interlock.core.alert import AlertKind
from interlock.core.document.identity import Person
from interlock.core.document.runbook import Baseline, FailureMode, Runbook
from interlock.errors import StateConflict
from interlock.store import alert_events, deliveries, incidents, runbooks, schema
from interlock.store.alert_events import AlertEvent, Raised
from interlock.store.database import Transaction
from support.engine import World, a_manifest
from support.stores import a_settings

SOFT = Raised(
    kind=AlertKind.BUDGET_SOFT,
    subject="workflow:orders",
    period="day:1",
    summary="orders spent 72 % of its day",
    facts={"spent": 72},
)
MODE = FailureMode(
    name="budget-soft", symptoms="it is dear", first_action="look", escalate_when="it stays so"
)
RUNBOOK = Runbook(
    name="orders",
    owner="maria",
    baseline=Baseline(success_rate=9_900, latency=1, cost_per_run=1, runs_per_hour=1),
    failure_modes=(MODE, replace(MODE, name="slow")),
    escalation=("desk",),
    rollback="apply the version before",
)


@asynccontextmanager
async def shop(data: Path, database: str, *more: Any, **workflow: Any) -> AsyncGenerator[World]:
    world = World(data, database)
    await world.open(a_manifest(*more, **workflow))
    yield world
    await world.close()


async def raised(world: World, what: Raised = SOFT) -> AlertEvent | None:
    return await world.store.transact(lambda tx: alert_events.raise_alert(tx, world.memory, what))


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO alerts (id, environment, kind, runbook, failure_mode, severity) "
        "VALUES ('alr_1', 'dev', 'budget.soft', 'template', 'no-such-entry', 'ticket')",
        "INSERT INTO alerts (id, environment, kind, runbook, failure_mode, severity) "
        "VALUES ('alr_1', 'staging', 'budget.soft', 'template', 'budget-soft', 'ticket')",
        "INSERT INTO alerts (id, environment, kind, runbook, failure_mode, severity) "
        "VALUES ('alr_1', 'dev', 'other', 'template', 'budget-soft', 'ticket')",
        "INSERT INTO alerts (id, environment, kind, runbook, failure_mode, severity) "
        "VALUES ('alr_1', 'dev', 'budget.soft', 'template', NULL, 'ticket')",
        "INSERT INTO failure_modes VALUES ('dev', 'template', 'x', 'shows', '  ', 'when')",
        "INSERT INTO failure_modes VALUES ('dev', 'no-such-runbook', 'x', 'shows', 'do', 'when')",
        "INSERT INTO runbooks VALUES ('dev', 'x', '', '{}', 'desk', 'none', 1)",
        "DELETE FROM failure_modes WHERE name = 'budget-soft'",
        "UPDATE failure_modes SET symptoms = '' WHERE name = 'budget-soft'",
        "UPDATE alerts SET failure_mode = 'gone' WHERE kind = 'budget.soft'",
        "INSERT INTO alert_events (id, alert, environment, kind, subject, period, severity, summary, at) "
        "VALUES ('evt_1', 'alr_none', 'dev', 'budget.soft', '*', 'now', 'page', 's', 1)",
    ],
)
def test_the_database_itself_refuses_an_alert_without_a_complete_entry_of_its_own(
    tmp_path: Path, database_url: str, damage: str
) -> None:
    """Invariant 12, against the raw database."""

    async def begin() -> None:
        async with shop(tmp_path, database_url):
            pass

    asyncio.run(begin())
    url = a_settings(tmp_path, database=database_url).database_url
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        if not database_url:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        with pytest.raises(IntegrityError):
            connection.exec_driver_sql(damage)
    engine.dispose()


def test_an_alert_is_raised_once_for_its_subject_and_period(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url) as world:
            first, again = await raised(world), await raised(world)
            assert first is not None
            assert (first.severity, first.incident, again) == ("ticket", None, None)
            assert await raised(world, replace(SOFT, period="day:2")) is not None
            assert await raised(world, replace(SOFT, subject="agent:bot")) is not None
            told = await world.store.read(lambda found: deliveries.listed(found, "dev"))
            assert {(each.name, each.channel, each.state) for each in told} == {("maria", "email", "queued")}
            assert len(told) == 3

    asyncio.run(story())


def test_what_did_not_happen_is_not_told(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url) as world:

            def fails(transaction: Transaction) -> None:
                alert_events.raise_alert(transaction, world.memory, SOFT)
                raise StateConflict("it did not happen")

            with pytest.raises(StateConflict):
                await world.store.transact(fails)
            assert await world.store.read(lambda found: alert_events.listed(found, "dev")) == []
            assert await world.store.read(lambda found: deliveries.listed(found, "dev")) == []
            assert await raised(world) is not None

    asyncio.run(story())


def test_what_halts_work_opens_an_incident_that_a_person_closes_once(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url) as world:
            halted = await raised(world, replace(SOFT, kind=AlertKind.BUDGET_KILL, by="budget"))
            assert halted is not None
            assert halted.incident is not None
            close = lambda tx: incidents.close(tx, halted.incident or "", by="maria", reason="a loop")  # noqa: E731
            closed = await world.store.transact(close)
            assert (closed.state, closed.closed_by, closed.reason) == ("closed", "maria", "a loop")
            with pytest.raises(StateConflict):
                await world.store.transact(close)
            assert await world.store.read(lambda found: incidents.listed(found, "dev", state="open")) == []

    asyncio.run(story())


def test_a_runbooks_own_entry_comes_before_the_template_and_never_mutes_when_it_is_gone(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url, RUNBOOK, runbook="orders") as world:
            rules = await world.store.read(lambda found: runbooks.listed(found, "dev"))
            assert {each.runbook for each in rules if each.kind is AlertKind.BUDGET_SOFT} == {
                "orders",
                "template",
            }
            first = await raised(world)
            assert first is not None
            own = await world.store.read(lambda found: runbooks.get(found, first.alert))
            assert own.entry == MODE
            await world.apply(
                a_manifest(replace(RUNBOOK, failure_modes=RUNBOOK.failure_modes[1:]), runbook="orders")
            )
            later = await raised(world, replace(SOFT, period="day:2"))
            assert later is not None
            assert (
                await world.store.read(lambda found: runbooks.get(found, later.alert))
            ).runbook == "template"
            assert (await world.store.read(lambda found: runbooks.get(found, first.alert))).retired

    asyncio.run(story())


def test_no_alert_rests_on_a_runbook_that_is_not_complete(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url, replace(RUNBOOK, owner=None)) as world:
            rules = await world.store.read(lambda found: runbooks.listed(found, "dev"))
            assert {each.runbook for each in rules} == {"template"}
            assert len(rules) == len(AlertKind)

    asyncio.run(story())


def test_a_page_about_a_run_reaches_its_workflows_people_by_every_way(tmp_path: Path) -> None:
    async def story() -> None:
        hooked = Person(
            name="lee", email="lee@example.com", channels={"webhook": "https://hooks.example.com"}
        )
        page = replace(SOFT, kind=AlertKind.KILL, subject="run:run_1", workflow="orders", route=("lee",))
        async with shop(tmp_path, "", hooked) as world:
            assert await raised(world, page) is not None
            told = await world.store.read(lambda found: deliveries.listed(found, "dev"))
            ways = {(each.name, each.channel) for each in told}
            assert ways == {("lee", "email"), ("lee", "webhook"), ("maria", "email")}
            kinds = await world.store.read(
                lambda found: found.execute(sa.select(schema.audit.c.kind)).scalars().all()
            )
            assert {"alert.raised", "incident.opened"} <= set(kinds)

    asyncio.run(story())
