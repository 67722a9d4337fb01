"""The kill switch in one process: in force in the tick, on record with its incident, lifted by two (B5)."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from interlock.call.engine import Calls
from interlock.core.answer import Broken, Completed, InDoubt, Refused, TurnedDown, Waiting
from interlock.core.kill import KillLevel, KillOrder, KillSource
from interlock.errors import NotPermitted, StateConflict, StoreUnavailable, UsageError
from interlock.services.kill import KillSwitch
from interlock.services.report_kill import report_kill, report_now
from interlock.services.resume_killed import ResumeKilled
from interlock.services.send import Send
from interlock.store import alert_events, deliveries, incidents, kill_file, kills, run_starts, runs
from interlock.store.database import Store
from interlock.upstream.executor import Bridge, Dispatch, NotSent, Outcome
from support.engine import World, a_manifest, done, eventually
from support.stores import a_settings

STOP, FREEZE, PAUSE = KillLevel.STOP, KillLevel.FREEZE, KillLevel.PAUSE


def an_order(subject: str = "workflow:orders", level: KillLevel = STOP, **changes: Any) -> KillOrder:
    values: dict[str, Any] = {
        "id": f"kill_{subject}_{level}",
        "subject": subject,
        "level": level,
        "reason": "odd refunds",
        "by": "maria",
        "source": KillSource.API,
        "at": 1,
    }
    return KillOrder(**values | changes)


@asynccontextmanager
async def shop(data: Path, database: str = "", **settings: Any) -> AsyncGenerator[tuple[World, KillSwitch]]:
    """A world whose calls a kill can reach."""
    world = World(data, database, **settings)
    await world.open(a_manifest())
    await world.calls.close()
    world.calls = Calls(
        store=world.store,
        memory=world.memory,
        executor=Send(executor=world.script, memory=world.memory),
        runtime=world.runtime,
        settings=world.settings,
    )
    await world.calls.start()
    switch = a_switch(world)
    await switch.load()
    try:
        yield world, switch
    finally:
        await world.close()


def a_switch(world: World) -> KillSwitch:
    return KillSwitch(
        store=world.store,
        memory=world.memory,
        runtime=world.runtime,
        settings=world.settings,
        process=f"{world.settings.environment} here",
    )


async def pressed(switch: KillSwitch, order: KillOrder) -> KillOrder:
    switch.press(order)
    await switch.record()
    return order


@pytest.mark.parametrize(
    "subject", ["*", "environment:dev", "agent:bot", "workflow:orders", "tool:shop.read", "run:"]
)
def test_a_stop_refuses_the_next_call_in_the_same_tick(tmp_path: Path, subject: str) -> None:
    async def story() -> None:
        async with shop(tmp_path) as (world, switch):
            named = subject + world.run if subject == "run:" else subject
            assert isinstance(await world.propose("shop.read", {}), Completed)
            switch.press(an_order(named))
            answer = await world.propose("shop.read", {})
            assert isinstance(answer, Refused)
            assert answer.decision.reason.code == "killed"
            assert len(world.script.effects) == 1

    asyncio.run(story())


def test_a_stop_ends_runs_revokes_tokens_cancels_what_waits_and_opens_an_incident(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url) as (world, switch):
            waiting = await world.propose("shop.refund")
            assert isinstance(waiting, Waiting)
            other = await world.open_run("audits", "other-bot")
            order = await pressed(switch, an_order())
            assert (await world.action(waiting.action)).state == "cancelled"
            assert world.run in world.memory.revoked.runs
            assert (await world.store.read(lambda found: runs.get(found, other))).state == "open"
            kill = await world.store.read(lambda found: kills.get(found, order.id))
            incident = await world.store.read(lambda found: incidents.get(found, kill.incident or ""))
            assert (incident.state, incident.summary) == ("open", order.summary)
            (event,) = await world.store.read(
                lambda found: alert_events.listed(found, "dev", kind="kill.pressed")
            )
            told = await world.store.read(lambda found: deliveries.listed(found, "dev", event=event.id))
            assert {each.name for each in told} == {"maria"}
            report = await report_kill(store=world.store, memory=world.memory, kill=order.id)
            assert report.settled
            (mine,) = report.processes
            assert (mine["process"], mine["runs_ended"]) == ("dev here", [world.run])

    asyncio.run(story())


def test_a_write_that_is_under_way_is_cut_at_once_and_reported_as_in_doubt(
    tmp_path: Path, database_url: str
) -> None:
    """A write that was cut had been sent: no machine repeats it (invariant 5)."""

    async def story() -> None:
        async with shop(tmp_path, database_url) as (world, switch):
            world.script.gate = asyncio.Event()
            caller = asyncio.ensure_future(world.propose("shop.write"))
            await eventually(lambda: world.script.effects)
            order = an_order("tool:shop.write")
            assert report_now(world.memory, order.id, recorded=False) is None
            switch.press(order)
            now = report_now(world.memory, order.id, recorded=False)
            assert now is not None
            assert [each["what"] for each in now.in_flight] == ["tool shop.write"]
            assert not now.settled
            answer = await asyncio.wait_for(caller, 5)
            assert isinstance(answer, InDoubt)
            await switch.record()
            report = await report_kill(store=world.store, memory=world.memory, kill=order.id)
            assert report.in_flight == ()
            assert [each["action"] for each in report.in_doubt] == [answer.action]
            assert len(world.script.effects) == 1

    asyncio.run(story())


def test_a_read_that_is_under_way_is_cut(tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(tmp_path) as (world, switch):
            world.script.gate = asyncio.Event()
            caller = asyncio.ensure_future(world.propose("shop.read", {}))
            await eventually(lambda: world.script.effects)
            switch.press(an_order("agent:bot"))
            answer = await asyncio.wait_for(caller, 5)
            assert isinstance(answer, Broken)
            assert world.memory.flights.of("*") == ()

    asyncio.run(story())


def test_what_does_not_end_when_cut_is_reported_as_in_flight_until_it_does(tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(tmp_path) as (world, switch):
            let_go = asyncio.Event()

            async def stubborn(_dispatch: Dispatch, _bridge: Bridge | None) -> Outcome:
                while not let_go.is_set():
                    try:
                        await let_go.wait()
                    except asyncio.CancelledError:
                        continue
                return done()

            world.script.answers.append(stubborn)
            caller = asyncio.ensure_future(world.propose("shop.write"))
            await eventually(lambda: world.script.effects)
            order = await pressed(switch, an_order())
            await pressed(switch, an_order("*"))
            report = await report_kill(store=world.store, memory=world.memory, kill=order.id)
            assert [each["run"] for each in report.in_flight] == [world.run]
            let_go.set()
            await caller
            again = await report_kill(store=world.store, memory=world.memory, kill=order.id)
            assert again.in_flight == again.in_doubt == ()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("level", "action", "sent"), [(STOP, None, False), (FREEZE, "act_1", False), (FREEZE, None, True)]
)
def test_a_call_that_was_decided_before_the_kill_is_not_sent_after_it(
    tmp_path: Path, level: KillLevel, action: str | None, sent: bool
) -> None:
    async def story() -> None:
        async with shop(tmp_path) as (world, switch):
            decided = Dispatch(
                action=action,
                server="shop",
                tool="write",
                arguments={},
                principal=world.principal(),
                timeout=1,
            )
            switch.press(an_order("tool:shop.write", level))
            outcome = await Send(executor=world.script, memory=world.memory).execute(decided, None)
            assert isinstance(outcome, NotSent) is not sent
            assert len(world.script.effects) == sent

    asyncio.run(story())


def test_a_freeze_lets_reads_go_on_and_a_pause_what_runs(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url) as (world, switch):
            await pressed(switch, an_order("workflow:orders", PAUSE))
            assert isinstance(await world.propose("shop.write"), Completed)
            with pytest.raises(StateConflict, match="No new run may start"):
                await world.open_run()
            assert await world.open_run("returns")
            await pressed(switch, an_order("agent:bot", FREEZE))
            assert isinstance(await world.propose("shop.read", {}), Completed)
            assert isinstance(await world.propose("shop.write", {"order": 2}), Refused)
            with pytest.raises(StateConflict):
                await world.open_run("returns")

    asyncio.run(story())


def test_a_stop_of_a_run_stops_the_runs_that_it_began(tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(tmp_path) as (world, switch):

            async def begun_by(parent: str) -> str:
                start = run_starts.RunStart(
                    workflow="returns", agent="bot", started_by="kim", lease_until=10**17, parent=parent
                )
                child, _ = await world.store.transact(lambda tx: run_starts.start(tx, world.memory, start))
                return child.id

            child = await begun_by(world.run)
            grandchild = await begun_by(child)
            await pressed(switch, an_order(f"run:{world.run}"))
            for run in (world.run, child, grandchild):
                assert (await world.store.read(lambda found, run=run: runs.get(found, run))).state == "ended"
            with pytest.raises(StateConflict):
                await begun_by(world.run)

    asyncio.run(story())


def test_two_people_resume_and_a_restart_obeys_until_they_have(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url) as (world, switch):
            order = await pressed(switch, an_order("tool:shop.read"))
            world.memory.kills.clear()
            world.memory.kill = {}
            await a_switch(world).load()  # as after a restart
            report = await report_kill(store=world.store, memory=world.memory, kill=order.id)
            assert len(report.processes) == 1, "it has said so before"
            assert isinstance(await world.propose("shop.read", {}), Refused)
            resume = ResumeKilled(store=world.store, memory=world.memory, settings=world.settings)
            with pytest.raises(UsageError):
                await resume(order.id, by="deng", reason=" ")
            assert (await resume(order.id, by="deng", reason="mended")).state == "proposed"
            assert isinstance(await world.propose("shop.read", {}), Refused)
            with pytest.raises(NotPermitted, match="another person"):
                await resume(order.id, by="deng", reason="really")
            resumed = await resume(order.id, by="kim", reason="looked at it")
            assert (resumed.state, resumed.proposed_by, resumed.resumed_by) == ("resumed", "deng", "kim")
            assert resumed.alone is None
            assert isinstance(await world.propose("shop.read", {}), Completed)
            with pytest.raises(StateConflict, match="deng and kim"):
                await resume(order.id, by="maria", reason="once more")

    asyncio.run(story())


def test_one_person_is_enough_in_dev_only_and_the_record_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(tmp_path, self_approve=True) as (world, switch):
            order = await pressed(switch, an_order())
            resume = ResumeKilled(store=world.store, memory=world.memory, settings=world.settings)
            done = await resume(order.id, by="maria", reason="a drill")
            assert (done.state, done.proposed_by, done.resumed_by) == ("resumed", "maria", "maria")
            assert done.alone == "self_approve in the environment dev"
            second = await pressed(switch, an_order("*"))
            elsewhere = replace(resume, settings=replace(world.settings, environment="production"))
            assert (await elsewhere(second.id, by="maria", reason="alone")).state == "proposed"

    asyncio.run(story())


def test_the_database_itself_refuses_a_resumption_by_one_person(tmp_path: Path, database_url: str) -> None:
    async def begin() -> str:
        async with shop(tmp_path, database_url) as (world, switch):
            await pressed(switch, an_order())
            return world.settings.database_url

    url = asyncio.run(begin())
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    for alone in (
        "UPDATE kills SET state = 'resumed'",
        "UPDATE kills SET state = 'resumed', proposed_by = 'a', resumed_by = 'a'",
        "UPDATE kills SET state = 'gone'",
    ):
        with engine.connect() as connection, pytest.raises(IntegrityError):
            connection.exec_driver_sql(alone)
    engine.dispose()


def test_of_two_kills_of_the_same_thing_one_stays_when_the_other_is_resumed(tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(tmp_path, self_approve=True) as (world, switch):
            await pressed(switch, an_order("tool:shop.write", FREEZE))
            stop = await pressed(switch, an_order("tool:shop.write"))
            resume = ResumeKilled(store=world.store, memory=world.memory, settings=world.settings)
            await resume(stop.id, by="maria", reason="enough")
            assert world.memory.kill == {"tool:shop.write": FREEZE}
            assert isinstance(await world.propose("shop.write"), Refused)

    asyncio.run(story())


def test_what_cannot_be_recorded_is_in_force_and_recorded_later(tmp_path: Path) -> None:
    """A closed store stands for a database that is down; the file keeps the kill for a restart."""

    async def story() -> None:
        async with shop(tmp_path) as (world, broken):
            broken.store = Store.open(a_settings(tmp_path / "other"), world.runtime)
            await broken.store.close()
            order = an_order("tool:shop.read")
            broken.press(order)
            with pytest.raises(StoreUnavailable):
                await broken.record()
            assert not broken.recorded(order.id)
            assert isinstance(await world.propose("shop.read", {}), Refused)
            assert [each.id for each in kill_file.read(world.settings.data)] == [order.id]
            broken.store = world.store
            await broken.record()
            assert broken.recorded(order.id)
            assert (await world.store.read(lambda found: kills.get(found, order.id))).state == "in_force"

    asyncio.run(story())


def test_the_file_stops_and_taking_it_away_resumes_nothing(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with shop(tmp_path, database_url, self_approve=True) as (world, switch):
            data = world.settings.data
            order = an_order("tool:shop.read", source=KillSource.FILE, by="root of this machine")
            kill_file.write(data, order)
            await switch.watch()
            said = kill_file.seen(data)
            assert said is not None
            assert (said.process, said.ids) == (os.getpid(), {order.id})
            assert isinstance(await world.propose("shop.read", {}), Refused)
            recorded = await world.store.read(lambda found: kills.get(found, order.id))
            assert (recorded.source, recorded.pressed_by) == ("file", "root of this machine")
            (data / kill_file.NAME).unlink()
            await switch.watch()
            await switch.follow_record()
            assert isinstance(await world.propose("shop.read", {}), Refused)
            kill_file.write(data, order)
            await switch.watch()
            resume = ResumeKilled(store=world.store, memory=world.memory, settings=world.settings)
            await resume(order.id, by="maria", reason="mended")
            switch.lift(order.id)
            assert not (data / kill_file.NAME).exists()
            kill_file.write(data, order)  # as if it could not be taken away
            await switch.watch()
            await a_switch(world).load()
            assert isinstance(await world.propose("shop.read", {}), Completed)

    asyncio.run(story())


@pytest.mark.parametrize(
    "content", [b"", b"stop!", b"[]", b'[{"id": "x"}]', b"\xff\xfe", b"[" * 70_000, b'{"a": 1}']
)
def test_a_file_that_says_nothing_clear_stops_everything(tmp_path: Path, content: bytes) -> None:
    (tmp_path / kill_file.NAME).write_bytes(content)
    (order,) = kill_file.read(tmp_path)
    assert (order.subject, order.level) == ("*", STOP)
    assert kill_file.read(tmp_path) == (order,), "it has the same id while it is the same file"


@given(st.binary(max_size=300))
def test_whatever_the_file_holds_it_stops_something(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / kill_file.NAME).write_bytes(content)
        assert kill_file.read(Path(place))


def test_what_is_no_file_of_ours_stops_everything_and_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("[]")
    (tmp_path / kill_file.NAME).symlink_to(tmp_path / "elsewhere")
    assert kill_file.read(tmp_path)[0].subject == "*"
    (tmp_path / kill_file.NAME).unlink()
    os.mkfifo(tmp_path / kill_file.NAME)
    assert kill_file.read(tmp_path)[0].subject == "*"
    (tmp_path / kill_file.NAME).unlink()
    (tmp_path / kill_file.NAME).mkdir()
    assert kill_file.read(tmp_path)[0].subject == "*"
    assert kill_file.read(tmp_path / "nowhere") == ()


def test_the_file_holds_several_kills_and_loses_only_those_that_were_resumed(tmp_path: Path) -> None:
    one, two = (an_order(subject, source=KillSource.FILE) for subject in ("tool:shop.read", "agent:bot"))
    kill_file.write(tmp_path, one)
    kill_file.write(tmp_path, two)
    kill_file.write(tmp_path, two)
    assert kill_file.read(tmp_path) == (one, two)
    kill_file.remove(tmp_path, [one.id])
    assert kill_file.read(tmp_path) == (two,)
    kill_file.remove(tmp_path, [one.id])
    kill_file.remove(tmp_path, [two.id])
    assert list(tmp_path.iterdir()) == []
    assert kill_file.seen(tmp_path) is None


def test_other_processes_of_the_database_follow_and_say_so(tmp_path: Path, postgres_url: str) -> None:
    """Two environments, two processes on one database: a kill of everything reaches both."""

    async def story() -> None:
        async with (
            shop(tmp_path / "one", postgres_url) as (one, switch),
            shop(tmp_path / "two", postgres_url, environment="staging") as (two, follower),
        ):
            only_here = await pressed(switch, an_order("workflow:orders", FREEZE))
            order = await pressed(switch, an_order("*"))
            await follower.follow_record()
            assert isinstance(await two.propose("shop.read", {}), Refused)
            assert only_here.id not in two.memory.kills
            report = await report_kill(store=one.store, memory=one.memory, kill=order.id)
            assert {each["environment"] for each in report.processes} == {"dev", "staging"}
            assert {each["runs_ended"][0] for each in report.processes} == {one.run, two.run}
            resume = ResumeKilled(store=one.store, memory=one.memory, settings=one.settings)
            await resume(order.id, by="deng", reason="mended")
            await resume(order.id, by="kim", reason="mended")
            await follower.follow_record()
            assert two.memory.kill == {}

    asyncio.run(story())


def test_the_files_are_of_their_owner(tmp_path: Path) -> None:
    kill_file.write(tmp_path, an_order(source=KillSource.FILE))
    mode = (tmp_path / kill_file.NAME).stat().st_mode
    assert not mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_what_waits_for_a_person_is_turned_down_when_it_is_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        async with shop(tmp_path) as (world, switch):
            waiting = await world.propose("shop.refund")
            assert isinstance(waiting, Waiting)
            await pressed(switch, an_order("tool:shop.refund"))
            ended = await world.calls.resume(world.principal(), waiting.approval, wait=0)
            assert isinstance(ended, TurnedDown)
            assert ended.reason == "the kill switch was pressed"

    asyncio.run(story())
