"""A request goes from stage to stage by the clock, and no clock ever approves it (F2, invariant 6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.answer import Waiting
from interlock.core.approval import Approval, ApprovalState, Decider
from interlock.core.document.identity import Person, Rotation, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import Approvals
from interlock.core.model import SECOND, AtEnd, RiskTier
from interlock.errors import NotPermitted, StateConflict, UsageError
from interlock.services.approve import Approve
from interlock.services.escalate import Escalate
from interlock.store import approvals, audit, deliveries, incidents, timers
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.store.schema import alert_events, approval_votes
from support.engine import DENG, MARIA, World, a_manifest
from support.stores import a_settings

ZOE, OTTO = Decider(name="zoe"), Decider(name="otto")
ROUTE = Approvals(
    approvers=("maria",), fallback=("desk",), escalation=("nights",), sla=600, expire_after=7200
)
BESIDE: tuple[AnyDocument, ...] = (
    Person(name="zoe", email="zoe@example.com"),
    Person(name="otto", email="otto@example.com"),
    Rotation(name="nights", members=("zoe", "otto"), tz="Europe/Berlin", first=0, every=86_400 * 366),
)


@asynccontextmanager
async def a_world(data: Path, database: str = "", **route: Any) -> AsyncGenerator[World]:
    """A shop whose calls go from maria to the desk to whoever is on duty at night."""
    values = {name: getattr(ROUTE, name) for name in ROUTE.__slots__} | route
    world = World(data, database)
    await world.open(a_manifest(*BESIDE, approvals=Approvals(**values)))
    try:
        yield world
    finally:
        await world.close()


def play(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


async def asked(world: World, order: int = 1) -> Waiting:
    answer = await world.propose("shop.refund", {"order": order})
    assert isinstance(answer, Waiting), answer
    return answer


async def approval(world: World, name: str) -> Approval:
    return await world.store.read(lambda found: approvals.get(found, name))


async def stage(world: World, name: str, wanted: str) -> Approval:
    """Wait until a request is in a stage."""
    found = await approval(world, name)
    for _ in range(500):
        if found.stage == wanted:
            return found
        await asyncio.sleep(0.01)
        found = await approval(world, name)
    raise AssertionError(f"it is in {found.stage}")


async def told(world: World, kind: str) -> list[str]:
    """Return who has a notice of this kind waiting, by mail."""

    def read(found: sa.Connection) -> list[str]:
        events = set(found.execute(sa.select(alert_events.c.id).where(alert_events.c.kind == kind)).scalars())
        every = deliveries.listed(found, world.settings.environment, limit=500)
        return sorted(each.name for each in every if each.event in events)

    return await world.store.read(read)


async def kinds(world: World, kind: str) -> int:
    """Return how many audit entries of this kind there are."""
    return len(await world.store.read(lambda found: audit.newest(found, audit.Filter(kind=kind), 500)))


def ahead(world: World, seconds: float) -> None:
    """Let time pass, for a store on PostgreSQL too: it counts on from what it has seen last."""
    world.ahead(seconds)
    if world.settings.database:
        world.store._written.observe(world.store._written.latest + SECOND)


def test_a_missed_sla_asks_the_next_stage_and_the_last_one_opens_an_incident(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        async with a_world(tmp_path, database_url) as world:
            call = await asked(world)
            assert await told(world, "approval.requested") == ["maria"]
            with pytest.raises(NotPermitted, match="asked in the stage fallback, which has not begun"):
                await world.people.approve(call.approval, DENG)
            ahead(world, 301)
            await eventually_told(world, "approval.reminder", ["maria"])
            ahead(world, 300)
            second = await stage(world, call.approval, "fallback")
            assert second.approvers == ("maria", "deng")
            assert await told(world, "approval.escalated") == ["deng", "maria"]
            ahead(world, 601)
            third = await stage(world, call.approval, "escalation")
            assert set(third.approvers) == {"maria", "deng", "zoe", "otto"}
            [on_duty] = set(await told(world, "approval.escalated")) - {"deng", "maria"}
            assert on_duty in ("zoe", "otto")
            ahead(world, 601)
            await eventually_told(world, "approval.unanswered", ["maria", "otto", "zoe"])
            [incident] = await world.store.read(
                lambda found: incidents.listed(found, world.settings.environment)
            )
            assert (incident.kind, incident.state) == ("approval.unanswered", "open")
            assert (await approval(world, call.approval)).state is ApprovalState.PENDING
            assert world.script.effects == []
            await world.approve(call.approval, MARIA)
            await world.until(call.action, "succeeded")
            assert [await kinds(world, f"approval.{each}") for each in ("escalated", "unanswered")] == [2, 1]

    play(story)


async def eventually_told(world: World, kind: str, names: list[str]) -> None:
    for _ in range(500):
        if await told(world, kind) == names:
            return
        await asyncio.sleep(0.01)
    assert await told(world, kind) == names


def test_what_was_overdue_while_nobody_served_happens_once_at_the_stage_of_now(
    tmp_path: Path, database_url: str
) -> None:
    async def story() -> None:
        world = await World(tmp_path, database_url).open(a_manifest(*BESIDE, approvals=ROUTE))
        call = await asked(world)
        await world.crash()
        world.ahead(1900)
        await world.reopen()
        ahead(world, 1900 if database_url else 0)  # PostgreSQL says what time it is, not this machine
        try:
            found = await stage(world, call.approval, "escalation")
            assert await kinds(world, "approval.escalated") == 1
            assert await told(world, "approval.reminder") == []
            assert found.level_at >= found.requested_at + 1900 * SECOND
            await asyncio.sleep(0.1)
            assert await kinds(world, "approval.unanswered") == 0
        finally:
            await world.close()

    play(story)


@pytest.mark.parametrize("end", list(AtEnd))
def test_silence_never_approves_and_its_end_is_no_refusal(tmp_path: Path, end: AtEnd) -> None:
    async def story() -> None:
        async with a_world(tmp_path, at_end=end) as world:
            call = await asked(world)
            ahead(world, 7201)
            if end is AtEnd.EXPIRE:
                await world.until(call.action, "expired")
                assert (await approval(world, call.approval)).state is ApprovalState.EXPIRED
                with pytest.raises(StateConflict, match="already expired"):
                    await world.people.approve(call.approval, MARIA)
                assert await kinds(world, "approval.refused") == 1
            else:
                await stage(world, call.approval, "escalation")
                ahead(world, 10**6)
                await eventually_told(world, "approval.unanswered", ["maria", "otto", "zoe"])
                assert (await world.action(call.action)).state.value == "waiting_approval"
            assert world.script.effects == []
            assert await kinds(world, "approval.approved") == 0

    play(story)


def test_a_notice_goes_out_once_for_its_request_stage_and_address(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(tmp_path) as world:
            call = await asked(world)
            clock = Escalate(memory=world.memory)
            for _ in range(3):
                await world.store.transact(lambda transaction: clock.remind(transaction, call.approval))
                await world.store.transact(lambda transaction: clock.breach(transaction, call.approval))
            assert await told(world, "approval.reminder") == ["maria"]
            found = await approval(world, call.approval)
            assert (found.stage, await told(world, "approval.escalated")) == ("approvers", [])

    play(story)


def test_a_decided_request_is_reminded_of_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(tmp_path) as world:
            call = await asked(world)
            await world.people.reject(call.approval, MARIA, reason="no")
            ahead(world, 7000)
            for _ in range(300):
                if not await world.store.read(lambda found: timers.of(found, call.approval)):
                    break
                await asyncio.sleep(0.01)
            assert await told(world, "approval.reminder") == await told(world, "approval.escalated") == []

    play(story)


def test_a_request_begins_where_somebody_else_than_who_asked_may_decide(tmp_path: Path) -> None:
    async def story() -> None:
        world = await World(tmp_path, environment="staging").open(a_manifest(*BESIDE, approvals=ROUTE))
        try:
            world.run = await world.open_run(by="maria")
            call = await asked(world)
            found = await approval(world, call.approval)
            assert (found.stage, found.approvers) == ("fallback", ("maria", "deng"))
            assert await told(world, "approval.requested") == ["deng"]
        finally:
            await world.close()

    play(story)


def test_where_nobody_is_left_to_decide_it_waits_and_people_hear_of_it_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        nobody = Approvals(approvers=("maria",), escalation=("empty",))
        manifest = a_manifest(*BESIDE, Team(name="empty"), approvals=nobody)
        world = await World(tmp_path, environment="staging").open(manifest)
        try:
            world.run = await world.open_run(by="maria")
            call = await asked(world)
            with pytest.raises(NotPermitted, match="started the run"):
                await world.people.approve(call.approval, MARIA)
            assert await told(world, "approval.requested") == []
            assert "maria" in await told(world, "approval.unanswered")
            assert len(await world.store.read(lambda found: incidents.listed(found, "staging"))) == 1
        finally:
            await world.close()

    play(story)


EYES: dict[str, Any] = {"four_eyes": (RiskTier.HIGH_BLAST_RADIUS,), "approvers": ("desk",)}


def test_two_different_people_let_a_call_pass_where_it_takes_two(tmp_path: Path, database_url: str) -> None:
    async def story() -> None:
        async with a_world(tmp_path, database_url, **EYES) as world:
            call = await asked(world)
            once = await world.people.approve(call.approval, MARIA, reason="checked")
            assert (once.state, [each.person for each in once.votes]) == (ApprovalState.PENDING, ["maria"])
            with pytest.raises(StateConflict, match="takes another person"):
                await world.people.approve(call.approval, MARIA)
            assert (await approval(world, call.approval)).votes == once.votes
            assert world.script.effects == []
            await world.approve(call.approval, DENG)
            await world.until(call.action, "succeeded")
            assert [await kinds(world, f"approval.{each}") for each in ("voted", "approved", "refused")] == [
                1, 1, 1,
            ]  # fmt: skip
            below = await world.propose("shop.write")
            assert not isinstance(below, Waiting)

    play(story)


def test_of_two_who_agree_at_once_both_count_and_it_runs_once(tmp_path: Path, postgres_url: str) -> None:
    """Two processes on one database: each has a writer of its own, so nothing but the row orders them."""

    async def story() -> None:
        async with a_world(tmp_path, postgres_url, **EYES) as world:
            call = await asked(world)
            settings = a_settings(tmp_path / "beside", database=postgres_url)
            other = Store.open(settings, world.runtime)
            memory = Memory(environment=world.settings.environment)
            try:
                second = Approve(store=other, memory=memory, runtime=world.runtime)
                done = await asyncio.gather(
                    world.people.approve(call.approval, MARIA), second.approve(call.approval, DENG)
                )
            finally:
                await other.close()
            assert sorted(each.state.value for each in done) == ["approved", "pending"]
            rows = await world.store.read(
                lambda found: found.execute(sa.select(approval_votes.c.person)).all()
            )
            assert len(rows) == 1

    play(story)


def test_one_no_decides_and_a_change_voids_the_votes(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(tmp_path, "", **EYES | {"approvers": ("desk", "zoe", "otto")}) as world:
            first, second = await asked(world), await asked(world, 2)
            await world.people.approve(first.approval, MARIA)
            await world.people.reject(first.approval, DENG, reason="not this one")
            assert (await world.action(first.action)).state.value == "rejected"
            await world.people.approve(second.approval, MARIA)
            changed = await world.people.modify(second.approval, DENG, arguments={"order": 3}, reason="typo")
            assert (changed.state, changed.votes, changed.needs) == (ApprovalState.PENDING, (), 2)
            with pytest.raises(NotPermitted, match="changed these arguments"):
                await world.people.approve(changed.id, DENG)
            with pytest.raises(StateConflict, match="already superseded"):
                await world.people.approve(second.approval, ZOE)
            await world.people.approve(changed.id, MARIA)
            await world.approve(changed.id, OTTO)
            await world.until(changed.action, "succeeded")
            assert [each.arguments for each in world.script.effects] == [{"order": 3}]

    play(story)


def test_what_does_not_count_is_on_record_and_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(tmp_path) as world:
            call = await asked(world)
            before = await approval(world, call.approval)
            with pytest.raises(UsageError):
                await world.people.reject(call.approval, MARIA, reason=" ")
            with pytest.raises(NotPermitted):
                await world.people.reject(call.approval, Decider(name="kim"), reason="no")
            with pytest.raises(NotPermitted):
                await world.people.modify(call.approval, ZOE, arguments={"order": 9}, reason="no")
            with pytest.raises(StateConflict, match="not what was shown"):
                await world.people.approve(call.approval, MARIA, shown="another digest")
            assert await approval(world, call.approval) == before
            found = await world.store.read(
                lambda found: audit.newest(found, audit.Filter(kind="approval.refused"), 9)
            )
            assert sorted(each[0].person for each in found) == ["kim", "maria", "maria", "zoe"]
            assert not any("order" in each[0].body for each in found)

    play(story)


def test_a_notice_names_the_call_and_how_to_decide_and_no_argument(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world(tmp_path) as world:
            answer = await world.propose("shop.refund", {"order": 77, "note": "\x1b[2J secret"})
            assert isinstance(answer, Waiting)

            def read(found: sa.Connection) -> list[Any]:
                return list(found.execute(sa.select(alert_events)).mappings())

            [event] = await world.store.read(read)
            said = event["summary"] + event["facts"]
            assert "shop.refund of orders waits for your decision" in said
            assert f"interlock approvals show {answer.approval}" in said
            assert "secret" not in said
            assert "77" not in event["facts"].replace(answer.approval, "")

    play(story)


def test_who_holds_the_role_is_told_where_a_workflow_names_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        manifest = [
            Person(name=each.name, email=each.email, roles=("approver",) if each.name == "deng" else ())
            if isinstance(each, Person)
            else each
            for each in a_manifest(approvals=Approvals(sla=60))
        ]
        world = await World(tmp_path).open(manifest)
        try:
            call = await asked(world)
            found = await approval(world, call.approval)
            assert (found.stages, found.approvers, found.stage) == ((), (), "")
            assert await told(world, "approval.requested") == ["deng"]
            ahead(world, 61)
            await eventually_told(world, "approval.unanswered", ["deng", "maria"])
        finally:
            await world.close()

    play(story)
