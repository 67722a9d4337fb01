"""Reversible by construction (E4): what is provisional is settled or voided, a deletion is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.action import Action, ActionState
from interlock.core.answer import Completed
from interlock.core.compensation import RECOVERY
from interlock.core.document.rule import Rule
from interlock.core.document.tool import Companion, FollowUp, Settlement
from interlock.core.document.workflow import Approvals, Grant
from interlock.core.kill import KillLevel
from interlock.core.model import EffectClass, RiskTier, Verdict
from interlock.core.second_step import IDENTITY, StepKind
from interlock.errors import NotPermitted, StateConflict, UsageError
from interlock.services.close_run import close_run
from interlock.services.compensate import Compensate
from interlock.services.propose import Propose
from interlock.services.void import Void
from interlock.store import actions, alert_events, incidents, second_steps, timers
from interlock.store.schema import agents, audit
from interlock.store.schema import timers as timer_rows
from interlock.testing.journal import check
from interlock.upstream.executor import Bridge, Dispatch, Outcome, Succeeded
from support.engine import DENG, KIM, MARIA, UNKNOWN, World, a_manifest, a_tool, eventually, failed

pytestmark = pytest.mark.anyio

LIMITED, HIGH = RiskTier.LIMITED_WRITE, RiskTier.HIGH_BLAST_RADIUS
WITHIN, AFTER = 3600, 1800
HOLD = Settlement(
    confirm=Companion(tool="shop.capture", arguments={"hold": "$result.hold", "order": "$args.order"}),
    void=Companion(tool="shop.release", arguments={"hold": "$result.hold"}),
    within=WITHIN,
)
TOOLS = (
    a_tool("shop.hold", LIMITED, EffectClass.IDEMPOTENT, undo=None, settlement=HOLD),
    a_tool("shop.capture", HIGH, EffectClass.ONCE, undo=None),
    a_tool("shop.release", LIMITED, EffectClass.IDEMPOTENT, undo=None),
    a_tool("shop.trash", LIMITED, EffectClass.IDEMPOTENT,
           undo=Companion(tool="shop.restore", arguments={"order": "$args.order"}),
           follow_up=FollowUp(tool="shop.purge", arguments={"order": "$args.order"}, after=AFTER)),
    a_tool("shop.restore", LIMITED, EffectClass.IDEMPOTENT, undo=None),
    a_tool("shop.purge", HIGH, EffectClass.ONCE, undo=None),
)  # fmt: skip
GRANTS = (Grant(tool="shop.hold"), Grant(tool="shop.trash"), Grant(tool="shop.purge"))


def manifest(**workflow: Any) -> list[Any]:
    return a_manifest(*TOOLS, grants=GRANTS, **workflow)


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    world = await World(tmp_path, database_url).open(manifest())
    yield world
    assert await world.store.read(check) == []
    await world.close()


@pytest.fixture
async def clocked(tmp_path: Path) -> AsyncIterator[World]:
    """A world on SQLite, whose time a test sets; on PostgreSQL the database says what time it is."""
    world = await World(tmp_path).open(manifest())
    yield world
    assert await world.store.read(check) == []
    await world.close()


def propose(world: World) -> Propose:
    return Propose(store=world.store, memory=world.memory)


def void(world: World) -> Void:
    return Void(store=world.store, memory=world.memory)


def undo(world: World) -> Compensate:
    return Compensate(store=world.store, memory=world.memory)


async def did(world: World, tool: str = "shop.hold", order: int = 1) -> Action:
    """Let the agent take the first step; return the action."""
    held = {"structuredContent": {"hold": order}, "content": [], "isError": False}
    world.script.answers.insert(0, Succeeded(payload=held))
    answer = await world.propose(tool, {"order": order})
    assert isinstance(answer, Completed)
    return await world.action(answer.action or "")


async def second_of(world: World, action: Action) -> Action:
    """Return the second step that was proposed last."""
    found = await world.store.read(
        lambda connection: second_steps.proposed(connection, second_steps.of(connection, action.id))
    )
    assert found is not None
    return found


async def settle(world: World, action: Action, person: Any = MARIA) -> Action:
    """Let a person confirm what is provisional, as `interlock actions settle` does."""
    second = await propose(world).asked(action.id, StepKind.CONFIRM, person=person.name, reason="")
    await world.approve(second.approval, person)
    return second


async def ripe(world: World, action: Action, kind: str) -> None:
    """Let a timer be due now, whatever the clock of the database says."""
    due = sa.update(timer_rows).where(timer_rows.c.ref == action.id, timer_rows.c.kind == kind)
    late = sa.update(actions.actions).where(actions.actions.c.id == action.id, actions.actions.c.due_at > 1)

    def work(transaction: Any) -> None:
        transaction.execute(due.values(due_at=1))
        transaction.execute(late.values(due_at=1))

    await world.store.transact(work)


async def kinds(world: World, kind: str) -> int:
    query = sa.select(sa.func.count()).select_from(audit).where(audit.c.kind == kind)
    return int(await world.store.read(lambda found: found.execute(query).scalar_one()))


def sent(world: World, tool: str) -> list[Dispatch]:
    return [each for each in world.script.effects if each.tool == tool]


async def test_a_provisional_call_is_settled_by_a_second_one_that_a_person_confirms(world: World) -> None:
    action = await did(world, order=7)
    assert action.state is ActionState.PENDING_SETTLEMENT
    assert action.due_at - action.ended_at == WITHIN * 10**6
    waiting = await second_of(world, action)
    assert (waiting.state, waiting.agent) == (ActionState.WAITING_APPROVAL, IDENTITY)
    second = await settle(world, action)
    settled = await world.until(action.id, "settled")
    assert (await world.action(second.id)).state is ActionState.SUCCEEDED
    assert (settled.due_at, settled.result) == (0, action.result)
    (capture,) = sent(world, "capture")
    assert capture.arguments == {"hold": 7, "order": 7}
    assert not await world.store.read(lambda found: timers.of(found, action.id))
    with pytest.raises(StateConflict, match="has its second step already"):
        await settle(world, action)
    with pytest.raises(StateConflict, match="is settled"):
        await void(world).action(action.id, person="maria", reason="no")
    with pytest.raises(StateConflict, match="settled, which is final"):
        await undo(world).action(action.id, person="maria", reason="no")


async def test_the_caller_is_told_until_when_it_is_provisional(world: World) -> None:
    held = {"structuredContent": {"hold": 1}, "content": [], "isError": False}
    world.script.answers = [Succeeded(payload=held)]
    answer = await world.propose("shop.hold", {"order": 1})
    assert isinstance(answer, Completed)
    assert answer.settles_by == (await world.action(answer.action or "")).due_at > 0


def test_the_deadline_voids_what_nobody_confirmed_once_even_after_downtime(
    tmp_path: Path, database_url: str
) -> None:
    async def told() -> None:
        world = await World(tmp_path, database_url).open(manifest())
        action = await did(world, order=3)
        await world.crash()
        await world.open(None)
        await ripe(world, action, "settlement")
        voided = await world.until(action.id, "voided")
        assert [each.arguments for each in sent(world, "release")] == [{"hold": 3}]
        assert sent(world, "release")[0].principal.agent == RECOVERY
        assert voided.fence == 3
        second = await second_of(world, action)
        assert (second.state, second.error) == (ActionState.CANCELLED, f"{action.id} is taken back")
        told = await world.store.read(
            lambda found: alert_events.listed(found, "dev", kind="second-step.left")
        )
        assert ["is voided: nobody confirmed it in time" in each.summary for each in told] == [True]
        with pytest.raises(StateConflict, match="is voided"):
            await settle(world, action)
        assert await world.store.read(check) == []
        await world.close()

    asyncio.run(told())


async def test_a_person_voids_past_everything_that_stops_agents(world: World) -> None:
    action = await did(world)
    for subject in ("environment:dev", "tool:shop.release", "agent:bot"):
        world.memory.put_kill(f"kil_{subject}", subject, KillLevel.STOP)
    retired = sa.update(agents).values(state="retired", epoch=99)
    await world.store.transact(lambda transaction: transaction.execute(retired) and None)
    with pytest.raises(UsageError, match="reason"):
        await void(world).action(action.id, person="maria", reason=" ")
    await void(world).action(action.id, person="maria", reason="the wrong account")
    await world.until(action.id, "voided")
    with pytest.raises(StateConflict, match="only what is pending settlement"):
        await void(world).action(action.id, person="maria", reason="again")
    assert await kinds(world, "second_step.refused") == 2


async def test_whoever_rejects_the_confirmation_voids(world: World) -> None:
    action = await did(world)
    second = await second_of(world, action)
    await world.people.reject(second.approval, DENG, reason="the wrong account")
    await world.until(action.id, "voided")
    moves = await world.store.read(lambda found: actions.moves(found, action.id))
    assert [(each.to_state, each.by) for each in moves][1:] == [
        ("pending_settlement", "interlock"), ("compensating", "deng"), ("voided", RECOVERY)
    ]  # fmt: skip


async def test_only_another_person_who_may_decide_confirms(world: World) -> None:
    action = await did(world)
    second = await second_of(world, action)
    with pytest.raises(NotPermitted):
        await world.people.approve(second.approval, KIM)
    with pytest.raises(UsageError, match="nobody changes its arguments"):
        await world.people.modify(second.approval, MARIA, arguments={"hold": 9}, reason="more")
    assert (await world.action(action.id)).state is ActionState.PENDING_SETTLEMENT
    assert await kinds(world, "approval.refused") == 2


async def test_a_confirmation_that_fails_leaves_it_provisional_and_may_be_given_again(world: World) -> None:
    action = await did(world)
    world.script.answers = [failed()]
    second = await settle(world, action)
    await world.until(second.id, "failed")
    assert (await world.action(action.id)).state is ActionState.PENDING_SETTLEMENT
    again = await settle(world, action, DENG)
    assert again.id != second.id
    await world.until(action.id, "settled")


async def test_what_is_being_settled_is_not_voided_and_the_deadline_waits_for_its_end(clocked: World) -> None:
    world = clocked
    action = await did(world)
    world.script.answers = [UNKNOWN]
    second = await settle(world, action)
    await world.until(second.id, "in_doubt")
    world.ahead(WITHIN + 1000)
    await asyncio.sleep(0.1)
    with pytest.raises(StateConflict, match="may have happened"):
        await void(world).action(action.id, person="maria", reason="no")
    with pytest.raises(StateConflict, match="may have happened"):
        await undo(world).action(action.id, person="maria", reason="no")
    assert (await world.action(action.id)).state is ActionState.PENDING_SETTLEMENT
    await world.resolve.action(second.id, happened=False, person="maria", reason="not in the books")
    await world.until(action.id, "voided")


async def test_of_a_confirmation_and_a_deadline_exactly_one_wins(world: World) -> None:
    for order in range(1, 7):
        action = await did(world, order=order)
        second = await second_of(world, action)
        await asyncio.gather(
            world.approve(second.approval), ripe(world, action, "settlement"), return_exceptions=True
        )
        ended = await world.until(action.id, "settled", "voided")
        captured = [each for each in sent(world, "capture") if each.arguments["hold"] == order]
        released = [each for each in sent(world, "release") if each.arguments["hold"] == order]
        assert (len(captured), len(released)) == ((1, 0) if ended.state.value == "settled" else (0, 1))


async def test_a_void_that_fails_is_an_undo_that_failed(clocked: World) -> None:
    world = clocked
    action = await did(world)
    world.script.answers = [failed()]
    await void(world).action(action.id, person="maria", reason="the wrong account")
    await world.until(action.id, "compensation_failed")
    opened = await world.store.read(lambda found: incidents.listed(found, "dev"))
    assert [each.kind for each in opened] == ["undo.failed"]
    assert ("tool", "shop.hold") in world.memory.breakers
    done = await undo(world).by_hand(action.id, person="maria", reason="released in the console")
    assert done.state is ActionState.VOIDED


async def test_what_cannot_even_be_voided_is_an_undo_that_failed(world: World) -> None:
    world.script.answers = [Succeeded(payload={"content": [], "isError": False})]
    answer = await world.propose("shop.hold", {"order": 1})
    assert isinstance(answer, Completed)
    action = await world.action(answer.action or "")
    with pytest.raises(StateConflict, match="cannot be made final"):
        await settle(world, action)
    await ripe(world, action, "settlement")
    lost = await world.until(action.id, "compensation_failed")
    assert lost.error.startswith("It cannot be voided")
    await eventually(lambda: ("tool", "shop.hold") in world.memory.breakers)


async def test_a_run_that_is_undone_voids_what_is_provisional_and_a_void_is_not_stopped(world: World) -> None:
    action = await did(world)
    world.script.gate = asyncio.Event()
    await undo(world).run(world.run, person="maria", reason="a mistake")
    with pytest.raises(StateConflict, match="being voided"):
        await undo(world).stop(action.id, person="maria", reason="no")
    world.script.gate.set()
    await world.until(action.id, "voided")
    assert (await second_of(world, action)).state is ActionState.CANCELLED


async def test_what_succeeds_late_in_a_run_that_is_undone_is_voided_at_once(world: World) -> None:
    landed = asyncio.Event()

    async def late(_dispatch: Dispatch, _bridge: Bridge | None) -> Outcome:
        await landed.wait()
        return Succeeded(payload={"structuredContent": {"hold": 2}, "content": [], "isError": False})

    world.script.answers.append(late)
    calling = asyncio.create_task(world.propose("shop.hold", {"order": 2}))
    await eventually(lambda: world.script.effects)
    await undo(world).run(world.run, person="maria", reason="a mistake")
    landed.set()
    await calling
    (action, *_) = await world.every()
    await world.until(action.id, "voided")
    assert len(await world.every()) == 2


async def deleted(world: World, order: int = 1) -> tuple[Action, Action]:
    """Let the agent delete softly, and the time of its follow-up come; return both actions."""
    action = await did(world, "shop.trash", order)
    assert action.state is ActionState.SUCCEEDED
    await ripe(world, action, "follow_up")
    await eventually(lambda: any(each.follows == action.id for each in world.memory.actions.values()))
    return action, await second_of(world, action)


async def test_a_follow_up_is_proposed_in_its_time_and_makes_final_once_confirmed(world: World) -> None:
    action, second = await deleted(world, 5)
    assert (second.state, second.agent, second.tool) == (ActionState.WAITING_APPROVAL, IDENTITY, "shop.purge")
    await close_run(store=world.store, memory=world.memory, run=world.run, reason="done", by="l")
    retired = sa.update(agents).values(state="retired", epoch=99)
    await world.store.transact(lambda transaction: transaction.execute(retired) and None)
    await asyncio.sleep(0.05)
    await world.approve(second.approval)
    await world.until(second.id, "succeeded")
    (purge,) = sent(world, "purge")
    assert (purge.arguments, purge.principal.agent, purge.principal.actors) == (
        {"order": 5},
        IDENTITY,
        ("bot",),
    )
    with pytest.raises(StateConflict, match=f"{second.id} \\(shop.purge\\) made it final|made it final"):
        await undo(world).action(action.id, person="maria", reason="restore it")
    with pytest.raises(StateConflict, match="has its second step already"):
        await propose(world).asked(action.id, StepKind.FOLLOW_UP, person="maria", reason="again")
    with pytest.raises(StateConflict, match="does not wait to be settled"):
        await settle(world, action)


async def test_an_undo_before_the_follow_up_takes_its_timer_or_withdraws_it(world: World) -> None:
    early = await did(world, "shop.trash", 1)
    await undo(world).action(early.id, person="maria", reason="keep it")
    await world.until(early.id, "compensated")
    assert not await world.store.read(lambda found: timers.of(found, early.id))
    action, second = await deleted(world, 2)
    await undo(world).action(action.id, person="maria", reason="keep it")
    await world.until(action.id, "compensated")
    assert (await world.action(second.id)).state is ActionState.CANCELLED
    with pytest.raises(StateConflict, match="already cancelled"):
        await world.people.approve(second.approval, MARIA)
    with pytest.raises(StateConflict, match="is compensated"):
        await propose(world).asked(action.id, StepKind.FOLLOW_UP, person="maria", reason="again")
    assert not sent(world, "purge")


async def test_an_undo_that_is_stopped_leaves_the_follow_up_due(world: World) -> None:
    first, action = await did(world, "shop.trash", 1), await did(world, "shop.trash", 2)
    world.script.gate = asyncio.Event()
    await undo(world).run(world.run, person="maria", reason="a mistake")
    await eventually(lambda: sent(world, "restore"))
    await undo(world).stop(first.id, person="maria", reason="it stays deleted")
    found = await world.store.read(lambda connection: timers.of(connection, first.id))
    assert [each.kind for each in found] == ["follow_up"]
    world.script.gate.set()
    await world.until(action.id, "compensated")


async def test_what_nobody_confirmed_stays_as_it_is_is_told_and_can_be_asked_again(clocked: World) -> None:
    world = clocked
    action, second = await deleted(world)
    world.ahead(3700)
    await world.until(second.id, "expired")
    assert (await world.action(action.id)).state is ActionState.SUCCEEDED
    told = await world.store.read(lambda found: alert_events.listed(found, "dev", kind="second-step.left"))
    assert [f"{second.id} (shop.purge) is expired" in each.summary for each in told] == [True]
    assert ("workflow", "orders") not in world.memory.breakers
    with pytest.raises(UsageError, match="reason"):
        await propose(world).asked(action.id, StepKind.FOLLOW_UP, person="maria", reason="")
    again = await propose(world).asked(action.id, StepKind.FOLLOW_UP, person="maria", reason="still wanted")
    await world.approve(again.approval)
    await world.until(again.id, "succeeded")
    assert len(sent(world, "purge")) == 1


async def test_a_rule_denies_a_second_step_and_a_kill_parks_one_that_was_confirmed(tmp_path: Path) -> None:
    denies = Rule(id="never", tool="shop.purge", when={}, then=Verdict.DENY)
    world = await World(tmp_path).open(manifest(rules=(denies,)))
    action = await did(world, "shop.trash")
    await ripe(world, action, "follow_up")
    for _ in range(400):
        if await kinds(world, "second_step.proposed"):
            break
        await asyncio.sleep(0.01)
    assert (await second_of(world, action)).state is ActionState.DENIED
    held = await did(world)
    world.memory.put_kill("kil_1", "agent:bot", KillLevel.STOP)
    second = await settle(world, held)
    await world.until(second.id, "parked")
    assert not sent(world, "capture")
    await void(world).action(held.id, person="maria", reason="the agent was stopped")
    await world.until(held.id, "voided")
    assert await world.store.read(check) == []
    await world.close()


async def test_an_agents_own_identical_call_never_attaches_to_a_second_step(world: World) -> None:
    _, second = await deleted(world, 4)
    await world.propose("shop.purge", {"order": 4})
    own = [each for each in await world.every() if each.tool == "shop.purge" and not each.follows]
    assert [each.state for each in own] == [ActionState.WAITING_APPROVAL]
    assert (await world.action(second.id)).state is ActionState.WAITING_APPROVAL


async def test_two_people_confirm_where_four_eyes_are_asked_for(tmp_path: Path) -> None:
    asked = Approvals(approvers=("desk",), four_eyes=tuple(RiskTier))
    world = await World(tmp_path).open(manifest(approvals=asked))
    action = await did(world)
    second = await settle(world, action)
    assert (await world.action(second.id)).state is ActionState.WAITING_APPROVAL
    await settle(world, action, DENG)
    await world.until(action.id, "settled")
    await world.close()


@pytest.mark.parametrize("kind", ["settlement", "follow_up"])
def test_a_process_that_dies_between_a_timer_and_its_effect_loses_neither(
    tmp_path: Path, database_url: str, kind: str
) -> None:
    async def told() -> None:
        world = await World(tmp_path, database_url).open(manifest())
        action = await did(world, "shop.hold" if kind == "settlement" else "shop.trash")
        broken = Breaks(world.calls.ring._handlers[kind])
        world.calls.ring._handlers[kind] = broken
        await ripe(world, action, kind)
        await eventually(lambda: broken.times)
        assert (await world.action(action.id)).fence == action.fence
        await world.crash()
        await world.open()
        await ripe(world, action, kind)
        if kind == "settlement":
            await world.until(action.id, "voided")
            assert len(sent(world, "release")) == 1
        else:
            await eventually(lambda: any(each.follows for each in world.memory.actions.values()))
            assert len([each for each in await world.every() if each.follows]) == 1
        assert await world.store.read(check) == []
        await world.close()

    asyncio.run(told())


class Breaks:
    """A handler that does its work, and dies before the commit."""

    def __init__(self, work: Callable[[Any, str], None]) -> None:
        self.work, self.times = work, 0

    def __call__(self, transaction: Any, ref: str) -> None:
        self.work(transaction, ref)
        self.times += 1
        raise RuntimeError("the process dies here")
