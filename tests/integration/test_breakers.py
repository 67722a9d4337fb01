"""Breakers trip in the commit of what trips them; only a person's signature closes them (E1, E2)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from interlock.core import breaker as core
from interlock.core.action import ActionState
from interlock.core.answer import Broken, Completed, InDoubt, Refused, Waiting
from interlock.core.breaker import Breaker, BreakerKind, Trigger
from interlock.core.document.workflow import BreakerLimits
from interlock.core.kill import KillLevel, KillOrder, KillSource
from interlock.core.model import BreakerState
from interlock.errors import NotFound, NotPermitted, StateConflict, UsageError
from interlock.gateway.mcp.reply import result_of
from interlock.services.close_run import close_run
from interlock.services.score import score_run
from interlock.services.sign_off import SignOff
from interlock.services.trip import _CUT_OFF, trip_by_hand
from interlock.store import actions, breakers, incidents, run_starts
from interlock.store.breakers import Record
from interlock.store.database import Transaction
from interlock.store.people import Person
from interlock.store.run_starts import RunStart
from interlock.store.schema import audit
from interlock.store.schema import breakers as rows
from interlock.store.scores import Score
from interlock.upstream.executor import Failed, Unknown
from support.engine import UNKNOWN, UNSENT, World, a_manifest, eventually, failed

TOOL, WORKFLOW, AGENT = BreakerKind.TOOL, BreakerKind.WORKFLOW, BreakerKind.AGENT
OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
MARIA = Person(name="maria", roles=frozenset({"operator"}))
KIM = Person(name="kim", roles=frozenset({"admin"}))
VERA = Person(name="deng", roles=frozenset({"viewer", "agent_owner"}))
HERE = "environment = 'dev' AND kind = 'tool' AND name = 'shop.write'"


class Guarded(World):
    """A world whose people sign breakers off."""

    async def breaker(self, kind: BreakerKind, name: str) -> Record:
        return await self.store.read(lambda found: breakers.get(found, "dev", kind, name))

    async def has_counted(self, kind: BreakerKind, name: str) -> bool:
        return await self.store.read(lambda found: breakers.find(found, "dev", kind, name)) is not None

    async def sign(
        self, kind: BreakerKind, name: str, to: BreakerState, by: Person = MARIA, reason: str = "mended"
    ) -> Record:
        sign = SignOff(store=self.store, memory=self.memory, runtime=self.runtime, settings=self.settings)
        return await sign(kind, name, to, by=by, reason=reason)

    async def trip(self, kind: BreakerKind, name: str) -> Record:
        return await trip_by_hand(
            store=self.store, memory=self.memory, kind=kind, name=name, by="maria", reason="odd"
        )

    async def fail(self, times: int, tool: str = "shop.write") -> None:
        """Let calls of a tool fail, each with other arguments."""
        for number in range(times):
            self.script.answers.append(failed())
            await self.propose(tool, {"order": f"{tool} {self.clock.now()} {number}"}, wait=5)

    async def kinds(self, kind: str) -> list[Any]:
        """Return the audit entries of a kind."""
        query = sa.select(audit).where(audit.c.kind == kind).order_by(audit.c.seq)
        return list(await self.store.read(lambda found: found.execute(query).all()))

    async def end(self, run: str) -> None:
        await close_run(store=self.store, memory=self.memory, run=run, reason="done", by="launcher")


@pytest.fixture
def told(tmp_path: Path, database_url: str) -> Callable[..., None]:
    """Run a story in a world, on both databases."""

    def run(story: Callable[[Guarded], Coroutine[Any, Any, None]], **manifest: Any) -> None:
        async def whole() -> None:
            world = Guarded(tmp_path, database_url)
            await world.open(a_manifest(**manifest))
            try:
                await story(world)
            finally:
                await world.close()

        asyncio.run(whole())

    return run


def test_failures_in_a_row_open_a_tool_and_a_restart_finds_it_open(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.fail(2)
        await world.propose("shop.write", {"order": "good"}, wait=5)
        await world.fail(2)
        assert not world.memory.breakers
        await world.fail(1)
        refused = await world.propose("shop.write", {"order": "next"}, wait=5)
        assert isinstance(refused, Refused)
        assert refused.decision.reason.code == "breaker_open"
        assert "3 failures in a row" in refused.decision.reason.message
        assert "interlock breaker sign-off tool:shop.write" in refused.decision.reason.message
        assert isinstance(await world.propose("shop.read", wait=5), Completed)
        await opened_with_an_incident(world)
        await world.crash()
        await world.reopen()
        assert world.memory.breakers == {("tool", "shop.write"): OPEN}
        world.clock.ahead += 366 * 86_400  # no time closes it
        assert isinstance(await world.propose("shop.write", {"order": "later"}, wait=5), Refused)

    told(story)


async def opened_with_an_incident(world: Guarded) -> None:
    record = await world.breaker(TOOL, "shop.write")
    assert (record.breaker.state, record.breaker.opening, record.cause) == (OPEN, 1, Trigger.TOOL_FAILURES)
    assert (record.run, record.starter, record.opened_by) == (world.run, "kim", "interlock")
    (incident,) = await world.store.read(lambda found: incidents.listed(found, "dev"))
    assert (incident.id, incident.kind, incident.subject) == (
        record.incident,
        "breaker.opened",
        "tool:shop.write",
    )


def test_what_a_caller_can_correct_or_never_left_or_was_cut_off_counts_nothing(
    told: Callable[..., None],
) -> None:
    async def story(world: Guarded) -> None:
        theirs = {"isError": True, "content": [], "structuredContent": {"status": 404}}
        for tool in ("shop.write", "shop.read"):
            for answer in (Failed(message="no such order", payload=theirs), UNSENT):
                for number in range(3):
                    world.script.answers.append(answer)
                    await world.propose(tool, {"order": f"{answer} {number}"}, wait=5)
        for number in range(3):
            world.script.answers.append(Unknown(message="gone", left=True))
            await world.propose("shop.read", {"left": number}, wait=5)
        assert not world.memory.breakers
        assert not await world.has_counted(TOOL, "shop.write")

    told(story)


def test_a_process_that_dies_is_no_failure_of_the_tools_it_was_calling(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        world.script.gate = asyncio.Event()
        calls = [
            asyncio.ensure_future(world.propose("shop.write", {"order": number}, wait=5))
            for number in range(3)
        ]
        await eventually(lambda: len(world.script.effects) == len(calls))
        await world.crash()
        await world.reopen()
        await world.lease_over()
        (one, *_) = await world.every()
        left = await world.until(one.id, "in_doubt")
        assert left.error.startswith(_CUT_OFF)
        assert not await world.has_counted(TOOL, "shop.write")

    told(story)


def test_an_outcome_that_is_not_known_counts_and_so_do_reads(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        for number in range(3):
            world.script.answers.append(UNKNOWN)
            answer = await world.propose("shop.write", {"order": number}, wait=5)
            assert isinstance(answer, InDoubt)
        await world.fail(2, "shop.read")
        await world.propose("shop.read", {"good": 1}, wait=5)
        await world.fail(2, "shop.read")
        assert world.memory.breakers == {("tool", "shop.write"): OPEN}
        world.script.answers.append(UNKNOWN)
        assert isinstance(await world.propose("shop.read", {"last": 1}, wait=5), Broken)
        await eventually(lambda: world.memory.breakers.get(("tool", "shop.read")) is OPEN)
        record = await world.breaker(TOOL, "shop.read")
        assert record.run == world.run

    told(story)


def test_the_same_call_again_and_again_opens_the_workflow_that_the_tree_began_with(
    told: Callable[..., None],
) -> None:
    async def story(world: Guarded) -> None:
        for _ in range(3):
            assert isinstance(await world.propose("shop.read", wait=5), Completed)
        for _ in range(2):
            assert isinstance(await world.propose("shop.write", wait=5), Completed)
        assert not world.memory.breakers
        assert isinstance(await world.propose("shop.read", wait=5), Completed)
        assert isinstance(await world.propose("shop.read", wait=5), Refused)
        record = await world.breaker(WORKFLOW, "orders")
        assert (record.cause, record.breaker.state) == (Trigger.IDENTICAL_CALLS, OPEN)
        assert "shop.read was made 4 times" in record.why

    told(story, breaker=BreakerLimits(identical_calls=4))


def test_a_write_that_is_repeated_trips_in_the_commit_of_its_intent(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        for _ in range(2):
            assert isinstance(await world.propose("shop.write", wait=5), Completed)
        assert world.memory.breakers == {("workflow", "orders"): OPEN}
        assert isinstance(await world.propose("shop.write", wait=5), Refused)

    told(story, breaker=BreakerLimits(identical_calls=2))


def test_half_open_asks_a_person_and_any_failure_opens_it_again(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.trip(WORKFLOW, "orders")
        assert isinstance(await world.propose("shop.read", wait=5), Refused)
        signed = await world.sign(WORKFLOW, "orders", HALF_OPEN)
        assert (signed.breaker.state, signed.breaker.opening) == (HALF_OPEN, 1)
        assert isinstance(await world.propose("shop.read", wait=5), Completed)
        waiting = await world.propose("shop.write", wait=0)
        assert isinstance(waiting, Waiting)
        world.script.answers.append(failed())
        await world.approve(waiting.approval)
        await world.until(waiting.action, "failed")
        record = await world.breaker(WORKFLOW, "orders")
        assert (record.cause, record.breaker.opening) == (Trigger.HALF_OPEN_FAILURE, 2)
        assert isinstance(await world.propose("shop.read", {"x": 1}, wait=5), Refused)

    told(story)


def test_a_run_whose_calls_were_never_carried_out_is_no_evidence(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.trip(TOOL, "shop.write")
        await world.sign(TOOL, "shop.write", HALF_OPEN)
        run = await world.open_run()
        assert isinstance(
            await world.propose("shop.write", {"order": 1}, principal=world.principal(run), wait=0), Waiting
        )
        await world.end(run)
        assert (await world.breaker(TOOL, "shop.write")).breaker.clean_runs == 0

    told(story)


def test_clean_runs_are_the_evidence_that_a_signature_is_kept_with(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.trip(TOOL, "shop.write")
        before = await world.open_run()
        await world.sign(TOOL, "shop.write", HALF_OPEN)
        idle, busy = await world.open_run(), await world.open_run()
        for run in (before, busy):
            waiting = await world.propose("shop.write", {"run": run}, principal=world.principal(run), wait=0)
            assert isinstance(waiting, Waiting)
            await world.approve(waiting.approval)
            await world.until(waiting.action, "succeeded")
        for run in (before, idle, busy):
            await world.end(run)
        record = await world.breaker(TOOL, "shop.write")
        assert record.breaker.clean_runs == 1
        await world.sign(TOOL, "shop.write", CLOSED, reason="one clean run")
        signed = await world.store.read(lambda found: breakers.sign_offs(found, "dev", TOOL, "shop.write"))
        assert [(each.to_state, each.clean_runs) for each in signed] == [(CLOSED, 1), (HALF_OPEN, 0)]
        assert not world.memory.breakers
        assert isinstance(await world.propose("shop.write", {"order": 9}, wait=5), Completed)

    told(story)


def test_runs_below_the_floor_or_without_a_score_open_their_workflow(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        def score(run: str, value: int, key: str = "k", name: str = "quality") -> Score:
            return Score(
                run=run, key=key, name=name, value=value, source="judge", evaluator="j@1", by="maria", at=0
            )

        unscored, good = await world.open_run(), await world.open_run()
        await world.end(unscored)
        assert (await score_run(store=world.store, memory=world.memory, score=score(good, 9_500))).counts
        assert (await score_run(store=world.store, memory=world.memory, score=score(good, 9_500))).counts, (
            "the same key again"
        )
        with pytest.raises(StateConflict):
            await score_run(store=world.store, memory=world.memory, score=score(good, 100))
        assert not (
            await score_run(store=world.store, memory=world.memory, score=score(good, 1, "x", "latency"))
        ).counts
        await world.end(good)
        assert (await score_run(store=world.store, memory=world.memory, score=score(good, 9_500))).counts, (
            "it has counted"
        )
        late = await score_run(store=world.store, memory=world.memory, score=score(unscored, 10_000))
        assert not late.counts
        for value in (None, 8_999):
            run = await world.open_run()
            if value is not None:
                await score_run(store=world.store, memory=world.memory, score=score(run, value))
            assert not world.memory.breakers
            await world.end(run)
        record = await world.breaker(WORKFLOW, "orders")
        assert (record.cause, record.breaker.state) == (Trigger.LOW_QUALITY, OPEN)
        assert "2 runs in a row ended below the quality floor of 90 %" in record.why

    told(story, breaker=BreakerLimits(quality_floor=9_000, quality_runs=2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": " "}, "needs its key"),
        ({"source": ""}, "needs its source"),
        ({"evaluator": "x" * 201}, "at most 200"),
        ({"value": 10_001}, "from 0 to 1"),
        ({"run": "run_none"}, "no run"),
    ],
)
def test_a_score_that_says_too_little_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    async def story() -> None:
        world = Guarded(tmp_path)
        await world.open(a_manifest())
        score = Score(
            run=world.run, key="k", name="quality", value=1, source="s", evaluator="", by="maria", at=0
        )
        with pytest.raises((UsageError, NotFound), match=said):
            await score_run(store=world.store, memory=world.memory, score=replace(score, **changes))
        await world.close()

    asyncio.run(story())


def test_an_approval_that_nobody_gave_in_time_opens_the_workflow_if_it_was_of_wide_reach(
    told: Callable[..., None],
) -> None:
    async def story(world: Guarded) -> None:
        waiting = await world.propose("shop.refund", wait=0)
        assert isinstance(waiting, Waiting)
        action = await world.action(waiting.action)
        await world.store.transact(
            lambda transaction: actions.move(transaction, action, ActionState.EXPIRED, by="interlock")
        )
        record = await world.breaker(WORKFLOW, "orders")
        assert record.cause is Trigger.APPROVAL_EXPIRED
        assert isinstance(await world.propose("shop.read", wait=5), Refused)

    told(story)


def test_an_undo_that_failed_opens_the_tool_whose_call_it_was(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.propose("shop.write", wait=5)
        (action,) = await world.every()

        def undo_fails(transaction: Transaction) -> None:
            now = actions.move(transaction, action, ActionState.COMPENSATING, by="interlock")
            actions.move(transaction, now, ActionState.COMPENSATION_FAILED, by="interlock")

        await world.store.transact(undo_fails)
        record = await world.breaker(TOOL, "shop.write")
        assert record.cause is Trigger.COMPENSATION_FAILED

    told(story)


def test_a_budget_that_halts_a_run_opens_its_workflow_and_a_person_who_does_opens_nothing(
    told: Callable[..., None],
) -> None:
    async def story(world: Guarded) -> None:
        def order(source: KillSource, subject: str) -> KillOrder:
            return KillOrder(
                id="kill_1", subject=subject, level=KillLevel.STOP, reason="x", by="x", source=source, at=1
            )

        of_run = f"run:{world.run}"
        for source, subject in (
            (KillSource.API, of_run),
            (KillSource.BUDGET, "workflow:orders"),
            (KillSource.BUDGET, "run:run_none"),
        ):
            pressed = order(source, subject)
            await world.store.transact(lambda tx, pressed=pressed: world.breakers.pressed(tx, pressed))
        assert not world.memory.breakers
        await world.store.transact(lambda tx: world.breakers.pressed(tx, order(KillSource.BUDGET, of_run)))
        record = await world.breaker(WORKFLOW, "orders")
        assert record.cause is Trigger.RUN_COST

    told(story)


def test_an_agent_opens_when_two_of_its_workflows_are_open(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        names = [
            each.document.name
            for each in (world.memory.bundle.workflows if world.memory.bundle else {}).values()
            if each.document.agent == "bot"
        ]
        await world.trip(WORKFLOW, names[0])
        assert ("agent", "bot") not in world.memory.breakers
        await world.trip(WORKFLOW, names[1])
        record = await world.breaker(AGENT, "bot")
        assert record.cause is Trigger.WORKFLOWS_OPEN
        await world.trip(WORKFLOW, names[0])  # it is open: nothing happens anew
        opened = await world.breaker(WORKFLOW, names[0])
        assert opened.breaker.opening == 1

    told(story)


def test_a_signature_needs_a_reason_a_role_and_nobody_with_a_stake(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.fail(3)
        for by, reason, to, error in (
            (VERA, "fine", CLOSED, NotPermitted),
            (MARIA, "  ", CLOSED, UsageError),
            (KIM, "it is my run", CLOSED, NotPermitted),
            (MARIA, "again", OPEN, StateConflict),
        ):
            with pytest.raises(error):
                await world.sign(TOOL, "shop.write", to, by, reason)
        with pytest.raises(NotFound):
            await world.sign(TOOL, "shop.read", CLOSED)
        assert world.memory.breakers == {("tool", "shop.write"): OPEN}
        await world.sign(TOOL, "shop.write", CLOSED)
        with pytest.raises(StateConflict):
            await world.sign(TOOL, "shop.write", HALF_OPEN)
        await world.store.transact(lambda _: None)
        refused = [each.person for each in await world.kinds("breaker.sign_off_refused")]
        assert sorted(refused) == ["deng", "kim", "maria", "maria", "maria", "maria"]
        (signed,) = await world.kinds("breaker.signed_off")
        assert (signed.person, signed.tool) == ("maria", "shop.write")

    told(story)


def test_what_was_approved_is_parked_while_open_and_goes_on_as_a_person_signs(
    told: Callable[..., None],
) -> None:
    async def story(world: Guarded) -> None:
        waiting = await world.propose("shop.refund", wait=0)
        assert isinstance(waiting, Waiting)
        await world.trip(AGENT, "bot")
        await world.trip(TOOL, "shop.refund")
        await world.approve(waiting.approval)
        await world.until(waiting.action, "parked")
        asked = await world.calls.resume(world.principal(), waiting.approval, wait=0)
        assert "parked until a person signs off the breaker" in result_of(asked)["content"][0]["text"]
        await world.sign(AGENT, "bot", CLOSED)
        await world.until(waiting.action, "parked")
        assert world.script.effects == []
        await world.sign(TOOL, "shop.refund", CLOSED)
        await world.until(waiting.action, "succeeded")
        assert len(world.script.effects) == 1

    told(story)


def test_a_write_reads_the_breaker_in_the_commit_of_its_intent(told: Callable[..., None]) -> None:
    """Memory does not know yet what another process, or a commit of just now, has opened."""

    async def story(world: Guarded) -> None:
        for kind, name in ((WORKFLOW, "orders"), (TOOL, "shop.refund")):
            await world.trip(kind, name)
            world.memory.breakers.clear()
        assert isinstance(await world.propose("shop.write", wait=5), Broken)
        await world.sign(WORKFLOW, "orders", HALF_OPEN)
        world.memory.breakers.clear()
        assert isinstance(await world.propose("shop.write", wait=5), Broken)
        assert world.script.effects == []
        await world.sign(WORKFLOW, "orders", CLOSED)
        world.memory.breakers.clear()
        assert isinstance(await world.propose("shop.write", wait=5), Completed), "another tool is open"

    told(story)


def test_another_process_of_the_database_decides_by_what_was_recorded(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        await world.trip(AGENT, "bot")
        world.memory.breakers.clear()
        await world.breakers.load()
        assert world.memory.breakers == {("agent", "bot"): OPEN}
        await world.sign(AGENT, "bot", CLOSED)
        world.memory.breakers[("agent", "bot")] = OPEN
        await world.breakers.load()
        assert not world.memory.breakers

    told(story)


SIGNED = (
    "INSERT INTO breaker_sign_offs"
    " (environment, kind, name, opening, to_state, from_state, person, reason, at)"
    " VALUES ('dev', 'tool', 'shop.write', {opening}, '{to}', '{since}', '{person}', '{reason}', 1)"
)
FRESH = (
    "INTO breakers (environment, kind, name, state, opening, changed_at)"
    " VALUES ('dev', 'tool', 'shop.write', 'closed', 0, 1)"
)
WITHOUT_SIGNATURE = (
    f"UPDATE breakers SET state = 'closed' WHERE {HERE}",
    f"UPDATE breakers SET state = 'half_open' WHERE {HERE}",
    f"UPDATE breakers SET state = 'closed', signed = 'closed' WHERE {HERE}",
    f"UPDATE breakers SET state = 'half_open', signed = 'half_open' WHERE {HERE}",
    f"UPDATE breakers SET state = 'closed', opening = 0 WHERE {HERE}",
    f"UPDATE breakers SET state = 'closed', opening = 1, signed = 'closed' WHERE {HERE}",
    f"UPDATE breakers SET state = 'closed', opening = 3, signed = 'closed' WHERE {HERE}",
    f"UPDATE breakers SET opening = 1 WHERE {HERE}",
    f"UPDATE breakers SET name = 'shop.other' WHERE {HERE}",
    f"UPDATE breakers SET environment = 'gone' WHERE {HERE}",
    f"DELETE FROM breakers WHERE {HERE}",
    f"INSERT {FRESH}",
    "DELETE FROM breaker_sign_offs",
    "UPDATE breaker_sign_offs SET opening = 2",
    "UPDATE breaker_sign_offs SET reason = 'another'",
    SIGNED.format(opening=1, to="half_open", since="open", person="maria", reason="late"),
    SIGNED.format(opening=3, to="closed", since="open", person="maria", reason="in advance"),
    SIGNED.format(opening=2, to="closed", since="half_open", person="maria", reason="from elsewhere"),
    SIGNED.format(opening=2, to="closed", since="open", person="bot", reason="an agent"),
    SIGNED.format(opening=2, to="closed", since="open", person="maria", reason=" "),
    SIGNED.format(opening=2, to="open", since="open", person="maria", reason="nowhere"),
)
ONLY_SQLITE = (
    f"INSERT OR REPLACE {FRESH}",
    f"REPLACE {FRESH}",
    f"UPDATE OR REPLACE breakers SET state = 'closed', signed = 'closed' WHERE {HERE}",
    "INSERT OR REPLACE" + SIGNED.format(opening=1, to="closed", since="open", person="deng", reason="x")[6:],
)
ONLY_POSTGRESQL = (
    "TRUNCATE breakers",
    "TRUNCATE breaker_sign_offs CASCADE",
    f"INSERT {FRESH} ON CONFLICT (environment, kind, name) DO UPDATE SET state = 'closed', opening = 0",
)


def test_no_statement_leads_out_of_an_opening_without_its_signature(told: Callable[..., None]) -> None:
    """The first opening was signed closed; the second stands. Nothing but its own signature helps."""

    async def story(world: Guarded) -> None:
        await world.trip(TOOL, "shop.write")
        await world.sign(TOOL, "shop.write", CLOSED)
        reopened = f"UPDATE breakers SET state = 'open', signed = NULL WHERE {HERE}"
        assert await refused(world, reopened), "an opening takes a new number"
        assert await refused(world, f"UPDATE breakers SET opening = 9 WHERE {HERE}")
        await world.trip(TOOL, "shop.write")
        kept = await everything(world)
        mine = ONLY_POSTGRESQL if world.settings.database else ONLY_SQLITE
        for statement in (*WITHOUT_SIGNATURE, *mine):
            assert await refused(world, statement), statement
            assert await everything(world) == kept, statement
        await world.sign(TOOL, "shop.write", HALF_OPEN)
        assert await refused(world, f"UPDATE breakers SET state = 'closed', signed = 'closed' WHERE {HERE}")
        await world.sign(TOOL, "shop.write", CLOSED)

    told(story)


async def refused(world: Guarded, statement: str) -> bool:
    try:
        await world.store.transact(lambda transaction: transaction.execute(sa.text(statement)) and None)
    except DBAPIError:
        return True
    return False


async def everything(world: Guarded) -> list[Any]:
    return await world.store.read(lambda found: [tuple(each) for each in found.execute(sa.select(rows))])


STEPS = ("fail", "succeed", "trip", "half_open", "closed", "clean", "restart")


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_the_store_and_the_pure_breaker_agree(told: Callable[..., None], seed: int) -> None:
    async def story(world: Guarded) -> None:
        chance, model = random.Random(seed), Breaker(kind=TOOL, name="shop.write")
        for _ in range(60):
            match chance.choice(STEPS):
                case "fail":
                    await world.store.transact(lambda tx: failing(world, tx))
                    model, cause = core.failed(model, 3)
                    model = core.opened(model) if cause else model
                case "succeed":
                    await world.store.transact(lambda tx: world.breakers._succeeded(tx, "shop.write"))
                    model = core.succeeded(model)
                case "trip":
                    await world.trip(TOOL, "shop.write")
                    model = model if model.state is OPEN else core.opened(model)
                case "clean":
                    await world.end(await used(world))
                    model = core.ran_clean(model)
                case "restart":
                    world.memory.breakers.clear()
                    await world.breakers.load()
                case state:
                    to = BreakerState(state)
                    if core.may_move(model.state, to, signed=True):
                        await world.sign(TOOL, "shop.write", to)
                        model = core.signed(model, to)
            found = await world.store.read(lambda each: breakers.find(each, "dev", TOOL, "shop.write"))
            assert (found.breaker if found else Breaker(kind=TOOL, name="shop.write")) == model
            assert world.memory.breakers.get(("tool", "shop.write"), CLOSED) is model.state

    told(story)


def failing(world: Guarded, transaction: Transaction) -> None:
    world.breakers._failed(transaction, "shop.write", world.run, "orders", "bot")


async def used(world: Guarded) -> str:
    """Open a run in which the tool was called."""
    run = await world.open_run()
    world.memory.count_call(run, "shop.write")
    return run


def test_what_a_kill_cut_is_no_failure_of_the_tool(told: Callable[..., None]) -> None:
    async def story(world: Guarded) -> None:
        world.script.gate = asyncio.Event()
        world.script.answers += [UNKNOWN] * 3
        calls = [
            asyncio.ensure_future(world.propose("shop.write", {"order": number}, wait=5))
            for number in range(3)
        ]
        await eventually(lambda: len(world.script.effects) == len(calls))
        world.memory.put_kill("kill_1", "tool:shop.write", KillLevel.STOP)
        world.script.gate.set()
        assert all(isinstance(each, InDoubt) for each in await asyncio.gather(*calls))
        assert not await world.has_counted(TOOL, "shop.write")

    told(story)


def test_runs_that_a_run_started_share_its_loops_its_breakers_and_its_probation(
    told: Callable[..., None],
) -> None:
    async def story(world: Guarded) -> None:
        start = RunStart(
            workflow="audits", agent="other-bot", started_by="kim", lease_until=1 << 60, parent=world.run
        )
        child = (await world.store.transact(lambda tx: run_starts.start(tx, world.memory, start)))[0].id
        below = world.principal(child)
        assert isinstance(await world.propose("shop.read", wait=5), Completed)
        assert isinstance(await world.propose("shop.read", principal=below, wait=5), Completed)
        assert isinstance(await world.propose("shop.write", principal=below, wait=5), Completed)
        assert isinstance(await world.propose("shop.read", wait=5), Completed)
        assert world.memory.breakers == {("workflow", "orders"): OPEN}, "the one that the tree began with"
        assert isinstance(await world.propose("shop.read", {"x": 1}, principal=below, wait=5), Refused)
        other = world.principal(await world.open_run("audits", "other-bot"))
        assert isinstance(await world.propose("shop.read", principal=other, wait=5), Completed)
        await world.sign(WORKFLOW, "orders", HALF_OPEN)
        world.script.answers.append(failed())
        await world.propose("shop.read", {"x": 2}, principal=below, wait=5)
        record = await world.breaker(WORKFLOW, "orders")
        assert (record.cause, record.run) == (Trigger.HALF_OPEN_FAILURE, child)

    told(story, breaker=BreakerLimits(identical_calls=3))
