"""Undo (E3): an action of its own that runs past everything that stops agents, once for each action."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.answer import Completed
from interlock.core.breaker import BreakerKind
from interlock.core.compensation import RECOVERY, TRIES
from interlock.core.document.tool import Companion
from interlock.core.document.workflow import Grant
from interlock.core.kill import KillLevel
from interlock.core.model import SECOND, BreakerState, EffectClass, OnFailure, RiskTier
from interlock.errors import StateConflict, UsageError
from interlock.runtime import SystemClock
from interlock.services.close_run import Closed, close_run
from interlock.services.compensate import Compensate
from interlock.services.trip import trip_by_hand
from interlock.store import actions, alert_events, breakers, deliveries, incidents, model_calls, undos
from interlock.store.schema import agents, audit
from interlock.testing.journal import check
from interlock.upstream.executor import Bridge, Dispatch, Outcome, Succeeded
from support.engine import UNKNOWN, UNSENT, ShiftedClock, World, a_manifest, a_tool, eventually, failed

pytestmark = pytest.mark.anyio

ADD = Companion(tool="shop.drop", arguments={"item": "$result.item", "from": "$args.order"}, within=1800)
BACK = Companion(tool="shop.add", arguments={"order": "$args.item"})
TOOLS = (
    a_tool("shop.add", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, undo=ADD),
    a_tool("shop.note", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT,
           undo=Companion(tool="shop.drop", arguments={"note": "$args.order"})),
    a_tool("shop.drop", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, undo=BACK, cost_per_call=7),
)  # fmt: skip
GRANTS = tuple(Grant(tool=f"shop.{name}") for name in ("add", "note", "drop", "write", "refund"))


def added(number: int) -> Succeeded:
    """Return what `shop.add` answers."""
    return Succeeded(payload={"structuredContent": {"item": number}, "content": [], "isError": False})


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    world = await World(tmp_path, database_url).open(
        a_manifest(*TOOLS, grants=GRANTS, on_failure=OnFailure.UNDO)
    )
    yield world
    assert await world.store.read(check) == []
    await world.close()


@pytest.fixture
async def clocked(tmp_path: Path) -> AsyncIterator[World]:
    """A world on SQLite, whose time a test sets; on PostgreSQL the database says what time it is."""
    world = await World(tmp_path).open(a_manifest(*TOOLS, grants=GRANTS, on_failure=OnFailure.UNDO))
    yield world
    assert await world.store.read(check) == []
    await world.close()


def people(world: World) -> Compensate:
    return Compensate(store=world.store, memory=world.memory)


async def did(world: World, tool: str = "shop.add", number: int = 1, **more: Any) -> Action:
    """Let the agent do something; return the action."""
    world.script.answers.insert(0, added(number))
    answer = await world.propose(tool, {"order": number}, **more)
    assert isinstance(answer, Completed)
    return (await world.every())[-1]


async def fail(world: World) -> Closed:
    """Let the launcher say that its program failed."""
    return await close_run(
        store=world.store, memory=world.memory, run=world.run, reason="exit code 1", by="l", failed=True
    )


async def undo_of(world: World, action: Action) -> Action:
    """Return the undo of an action."""
    undo = await world.store.read(lambda found: undos.undoing(found, action.id))
    assert undo is not None
    return undo


async def waits(world: World, action: Action, attempt: int) -> None:
    """Wait until an undo waits to be sent again, after its attempt of that number."""
    undo = await undo_of(world, action)
    for _ in range(1000):
        undo = await undo_of(world, action)
        if (undo.state, undo.attempt) == (ActionState.RETRY, attempt):
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"the undo is {undo.state} after {undo.attempt} attempts")


async def test_a_person_has_an_action_undone_by_what_was_reviewed_for_it(world: World) -> None:
    action = await did(world, number=7)
    begun = await people(world).action(action.id, person="maria", reason="a mistake")
    undone = await world.until(action.id, "compensated")
    undo = await world.action(begun.undo.id)
    assert (undo.state, undo.comp_of, undo.agent) == (ActionState.SUCCEEDED, action.id, RECOVERY)
    assert undone.result == action.result
    sent = world.script.effects[-1]
    assert (sent.tool, sent.arguments, sent.principal.agent) == ("drop", {"item": 7, "from": 7}, RECOVERY)
    assert sent.idempotency_key


async def test_a_run_that_failed_is_undone_the_last_first_and_what_was_not_sent_is_cancelled(
    world: World,
) -> None:
    done = [await did(world, number=number) for number in (1, 2, 3)]
    plain = await did(world, "shop.write", 4)  # its undo only reads: it is called all the same
    waiting = await world.propose("shop.refund", {"order": 9})
    closed = await fail(world)
    assert [each.tool for each in closed.cancelled] == ["shop.refund"]
    for each in (*done, plain):
        await world.until(each.id, "compensated")
    undone = [each.arguments.get("item") for each in world.script.effects if each.tool == "drop"]
    assert undone == [3, 2, 1]
    assert [each.state.value for each in await world.every()].count("cancelled") == 1
    assert not isinstance(waiting, Completed)


async def test_a_run_that_ends_well_or_whose_workflow_does_not_say_so_keeps_what_it_did(world: World) -> None:
    action = await did(world)
    await close_run(store=world.store, memory=world.memory, run=world.run, reason="exit code 0", by="l")
    kept = await did(world, principal=world.principal(await world.open_run("returns")))
    await close_run(
        store=world.store, memory=world.memory, run=kept.run, reason="exit code 1", by="l", failed=True
    )
    assert {(await world.action(each.id)).state.value for each in (action, kept)} == {"succeeded"}


async def test_a_sibling_that_succeeds_late_is_undone_in_the_commit_of_its_outcome(world: World) -> None:
    early, landed = await did(world, number=1), asyncio.Event()

    async def late(_dispatch: Dispatch, _bridge: Bridge | None) -> Outcome:
        await landed.wait()
        return added(2)

    world.script.answers.append(late)
    calling = asyncio.create_task(world.propose("shop.add", {"order": 2}))
    await eventually(lambda: len(world.script.effects) == 2)
    await fail(world)
    await world.until(early.id, "compensated")
    landed.set()
    await calling
    sibling = next(each for each in await world.every() if each.arguments == {"order": 2})
    await world.until(sibling.id, "compensated")
    moves = await world.store.read(lambda found: actions.moves(found, sibling.id))
    assert [each.to_state for each in moves] == ["executing", "compensating", "compensated"]
    assert world.script.effects[-1].arguments == {"item": 2, "from": 2}


async def test_what_is_in_doubt_is_undone_once_a_person_says_that_it_happened(clocked: World) -> None:
    world = clocked
    world.script.answers = [UNKNOWN]
    await world.propose("shop.write", {"order": 1})
    (doubted,) = await world.every()
    await fail(world)
    assert (await world.action(doubted.id)).state is ActionState.IN_DOUBT
    world.ahead(1000)
    await world.resolve.action(doubted.id, happened=True, person="maria", reason="seen")
    await world.until(doubted.id, "compensated")


async def test_a_call_that_may_still_land_is_undone_only_when_it_cannot_any_more(clocked: World) -> None:
    world = clocked
    world.script.answers = [UNKNOWN]
    calling = asyncio.create_task(world.propose("shop.note", {"order": 5}))
    await eventually(lambda: any(each.state is ActionState.RETRY for each in world.memory.actions.values()))
    (waiting,) = await world.every()
    await fail(world)
    began = await world.until(waiting.id, "compensating")
    undo = await undo_of(world, began)
    assert (undo.state, undo.due_at) == (ActionState.APPROVED, waiting.lease_until)
    assert len(world.script.effects) == 1
    world.ahead(1000)
    await world.until(waiting.id, "compensated")
    await calling


class WallClock(ShiftedClock):
    """A clock on the wall that somebody sets, while what has passed is measured as ever."""

    def monotonic(self) -> float:
        return SystemClock.monotonic(self)


@pytest.mark.parametrize("before", [False, True], ids=["while it waits", "before it is asked for"])
def test_a_clock_that_is_set_forward_lets_no_undo_overtake_the_call_that_it_undoes(
    tmp_path: Path, *, before: bool
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.clock = WallClock()
        await world.open(a_manifest(*TOOLS, grants=GRANTS, on_failure=OnFailure.UNDO))
        world.script.answers = [UNKNOWN]
        calling = asyncio.create_task(world.propose("shop.note", {"order": 5}))
        await eventually(
            lambda: any(each.state is ActionState.RETRY for each in world.memory.actions.values())
        )
        if before:
            world.ahead(3600)
        await fail(world)
        await calling
        undo = next(each for each in await world.every() if each.comp_of)
        almost = (undo.due_at - world.clock.now()) / SECOND - 0.3
        for ahead in (almost, 3600):  # so that it is due in a moment, and then long since
            world.ahead(max(0.0, ahead))
            await world.crash()
            await world.reopen()
            await asyncio.sleep(0.4)
            assert len(world.script.effects) == 1
            world.ahead(3600)
            await asyncio.sleep(0.1)
            assert len(world.script.effects) == 1
        await world.close()

    asyncio.run(story())


async def test_what_was_undone_by_hand_is_known_so_to_who_waits_for_it(world: World) -> None:
    action = await did(world)
    world.script.answers.append(failed())
    await people(world).action(action.id, person="maria", reason="a mistake")
    failing = await world.until(action.id, "compensation_failed")
    world.memory.put_action(actions.live_of(failing))
    await people(world).by_hand(action.id, person="maria", reason="in the shop itself")
    assert world.memory.actions[action.id].state is ActionState.COMPENSATED


async def test_no_breaker_kill_spent_budget_or_retired_agent_stops_an_undo(world: World) -> None:
    action = await did(world)
    for kind, name in ((BreakerKind.TOOL, "shop.drop"), (BreakerKind.WORKFLOW, "orders")):
        await trip_by_hand(
            store=world.store, memory=world.memory, kind=kind, name=name, by="maria", reason="no"
        )
    for subject in ("environment:dev", "tool:shop.drop", "agent:bot"):
        world.memory.put_kill(f"kil_{subject}", subject, KillLevel.STOP)
    retired = sa.update(agents).values(state="retired", epoch=99)
    await world.store.transact(lambda transaction: transaction.execute(retired) and None)
    await people(world).action(action.id, person="maria", reason="a mistake")
    await world.until(action.id, "compensated")
    paid = await world.store.read(lambda found: model_calls.of_run(found, world.run))
    assert [(each.agent, each.cost, each.accounts) for each in paid] == [(RECOVERY, 7, ())]


async def test_what_gets_no_answer_is_sent_again_under_its_key_and_a_failure_needs_a_person(
    clocked: World,
) -> None:
    world = clocked
    action = await did(world)
    world.script.answers = [UNSENT, UNKNOWN, failed()]
    await people(world).action(action.id, person="maria", reason="a mistake")
    for attempt in (1, 2):
        await waits(world, action, attempt)
        world.ahead(700)
    lost = await world.until(action.id, "compensation_failed")
    keys = [each.idempotency_key for each in world.script.effects[1:]]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    await one_page_about_a_failed_undo(world)
    assert lost.error.startswith("Its undo failed")
    again = await people(world).action(action.id, person="maria", reason="the server is mended")
    undone = await world.until(action.id, "compensated")
    assert (again.undo.comp_of, undone.fence) == (action.id, lost.fence + 2)
    assert len([each for each in await world.every() if each.comp_of]) == 1


async def one_page_about_a_failed_undo(world: World) -> None:
    """One incident, one page; that the breaker opened for it is on record, and leads to both."""
    opened = await world.store.read(lambda found: incidents.listed(found, "dev"))
    raised = await world.store.read(lambda found: alert_events.listed(found, "dev"))
    (undo,) = [each for each in raised if each.kind == "undo.failed"]
    (breaker,) = [each for each in raised if each.subject == "tool:shop.add"]
    (incident,) = [
        each for each in opened if each.subject != "tool:shop.drop"
    ]  # which failed on its own account
    assert undo.incident == breaker.incident == incident.id
    assert (incident.kind, breaker.kind, breaker.facts["told_by"]) == (
        "undo.failed",
        "breaker.opened",
        undo.id,
    )
    told = {each.event for each in await world.store.read(lambda found: deliveries.listed(found, "dev"))}
    assert undo.id in told
    assert breaker.id not in told
    record = await world.store.read(lambda found: breakers.get(found, "dev", BreakerKind.TOOL, "shop.add"))
    assert (record.breaker.state, record.incident) == (BreakerState.OPEN, incident.id)


async def test_what_never_gets_an_answer_is_given_up_and_may_be_undone_by_hand(clocked: World) -> None:
    world = clocked
    action = await did(world)
    world.script.answers = [UNKNOWN] * TRIES
    await people(world).action(action.id, person="maria", reason="a mistake")
    for attempt in range(1, TRIES):
        await waits(world, action, attempt)
        world.ahead(700)
    await world.until(action.id, "compensation_failed")
    assert (await undo_of(world, action)).state is ActionState.IN_DOUBT
    done = await people(world).by_hand(action.id, person="maria", reason="taken back in the console")
    assert done.state is ActionState.COMPENSATED


async def test_an_undo_that_failed_is_not_sent_again_with_its_run(world: World) -> None:
    action, other = await did(world), await did(world, number=2)
    world.script.answers = [failed()]
    await people(world).action(action.id, person="maria", reason="a mistake")
    await world.until(action.id, "compensation_failed")
    sent = len(world.script.effects)
    undone = await people(world).run(world.run, person="maria", reason="all of it")
    await world.until(other.id, "compensated")
    assert [(each.action, each.code) for each in undone.kept] == [(action.id, "undo_failed")]
    assert (await world.action(action.id)).state is ActionState.COMPENSATION_FAILED
    assert len(world.script.effects) == sent + 1


async def test_what_a_person_saw_while_a_call_could_still_land_is_not_believed_later(clocked: World) -> None:
    world, gate = clocked, threading.Event()
    world.script.answers = [UNKNOWN]
    await world.propose("shop.write", {"order": 1}, wait=5)
    (doubted,) = await world.every()
    busy = asyncio.create_task(world.store.transact(lambda _: gate.wait(10)))
    await asyncio.sleep(0.05)
    resolving = asyncio.create_task(
        world.resolve.action(doubted.id, happened=False, person="deng", reason="not there")
    )
    await asyncio.sleep(0.05)
    world.ahead(300)
    gate.set()
    await busy
    with pytest.raises(StateConflict, match="may still land"):
        await resolving
    await world.resolve.action(doubted.id, happened=True, person="deng", reason="it is there")


async def test_a_person_stops_an_undo_before_it_is_sent_and_may_change_their_mind(world: World) -> None:
    first, second = await did(world, number=1), await did(world, number=2)
    world.script.gate = asyncio.Event()
    planned = await people(world).run(world.run, person="maria", reason="a mistake")
    assert [each.action.id for each in planned.undone] == [second.id, first.id]
    await eventually(lambda: len(world.script.effects) == 3)
    with pytest.raises(StateConflict, match="sent already"):
        await people(world).stop(second.id, person="maria", reason="no")
    stopped = await people(world).stop(first.id, person="maria", reason="the customer keeps it")
    assert (stopped.action.state, stopped.undo.state) == (ActionState.SUCCEEDED, ActionState.CANCELLED)
    world.script.gate.set()
    await world.until(second.id, "compensated")
    assert (await world.action(first.id)).state is ActionState.SUCCEEDED
    await people(world).action(first.id, person="maria", reason="after all")
    await world.until(first.id, "compensated")


async def test_what_cannot_be_undone_is_refused_on_record_and_unchanged(clocked: World) -> None:
    world = clocked
    use, done = people(world), await did(world)
    world.script.answers = [failed(), Succeeded(payload={"content": [], "isError": False})]
    await world.propose("shop.add", {"order": 2})
    await world.propose("shop.add", {"order": 3})
    await world.propose("shop.refund", {"order": 4})
    _, never, blind, waiting = await world.every()
    begun = await use.action(done.id, person="maria", reason="a mistake")
    await world.until(done.id, "compensated")
    old = await did(world, number=5)
    world.ahead(1900)
    before = [(each.id, each.state, each.fence) for each in await world.every()]
    for action, said in (
        (done, "was undone already"),
        (begun.undo, "is an undo itself"),
        (never, "never happened"),
        (blind, "is not an object"),
        (waiting, "was not sent yet"),
        (old, "its undo has ended"),
    ):
        with pytest.raises(StateConflict, match=said):
            await use.action(action.id, person="maria", reason="no")
    with pytest.raises(UsageError, match="reason"):
        await use.action(done.id, person="maria", reason=" ")
    with pytest.raises(StateConflict, match="stopped as an undo"):
        await world.cancel.action(begun.undo.id, person="maria", reason="no")
    assert [(each.id, each.state, each.fence) for each in await world.every()] == before
    refused = sa.select(sa.func.count()).select_from(audit).where(audit.c.kind == "undo.refused")
    await eventually(lambda: True)
    assert await world.store.read(lambda found: found.execute(refused).scalar_one()) == 7


async def test_an_identical_call_of_an_agent_never_attaches_to_an_undo(world: World) -> None:
    action = await did(world, number=7)
    world.script.gate = asyncio.Event()
    await people(world).action(action.id, person="maria", reason="a mistake")
    await eventually(lambda: len(world.script.effects) == 2)
    calling = asyncio.create_task(world.propose("shop.drop", {"item": 7, "from": 7}))
    await eventually(lambda: len(world.script.effects) == 3)
    world.script.gate.set()
    assert isinstance(await calling, Completed)


def test_a_process_that_dies_between_the_steps_of_an_undo_changes_nothing_of_it(
    tmp_path: Path, database_url: str
) -> None:
    async def told() -> None:
        manifest = a_manifest(*TOOLS, grants=GRANTS, on_failure=OnFailure.UNDO)
        world = await World(tmp_path, database_url).open(manifest)
        done = [await did(world, number=number) for number in (1, 2, 3)]
        world.script.gate = asyncio.Event()
        await fail(world)
        await eventually(lambda: len(world.script.effects) == 4)
        await world.crash()  # the first undo was sent, and its outcome is not on record
        world.script.gate = None
        await world.open()
        await world.lease_over()
        world.ahead(1000)
        for each in done:
            await world.until(each.id, "compensated")
        undone = [each for each in world.script.effects if each.tool == "drop"]
        assert [each.arguments["item"] for each in undone] == [3, 3, 2, 1]
        assert undone[0].idempotency_key == undone[1].idempotency_key
        assert await world.store.read(check) == []
        await world.close()

    asyncio.run(told())


async def test_a_flight_that_is_cut_off_before_its_first_step_leaves_nothing_behind(world: World) -> None:
    work = world.action("act_unknown")
    world.calls.flights.launch("act_unknown", work)
    world.calls.flights.tasks[0].cancel()
    await eventually(lambda: not len(world.calls.flights))
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
