"""Every row of docs/explanation/waiting-calls.md is played on a real store (F4, invariants 1, 5, 6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.answer import (
    Answer,
    Broken,
    Completed,
    Continuation,
    InDoubt,
    InputAsked,
    Refused,
    TurnedDown,
    Waiting,
)
from interlock.core.document.rule import Policy, Rule
from interlock.core.document.workflow import Approvals
from interlock.core.model import AtEnd, BreakerState, EffectClass, RiskTier, Verdict
from interlock.errors import StateConflict
from interlock.store import approvals, claims, revocations, runs
from interlock.store.run_rows import RunState
from interlock.store.schema import approvals as approval_rows
from interlock.testing import journal
from support.engine import DENG, MARIA, UNKNOWN, UNSENT, World, a_manifest, a_tool, asks, eventually, failed

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "waiting-calls.md"
ROW = re.compile(r"^\| (?P<row>[a-z-]+) \| (?P<what>[^|]+) \| `(?P<answer>\w+)`(?P<words>[^|]*) \| `(?P<state>\w+)` \| (?P<ran>no|once|again|perhaps) \|$")  # fmt: skip  # noqa: E501


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    name: str
    answer: str
    words: str
    state: str
    ran: str


def rows() -> list[Row]:
    """Read the page's tables."""
    found: list[Row] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith("| row "):
            match = ROW.match(line)
            assert match, f"this row cannot be read: {line}"
            found.append(Row(match["row"], match["answer"], match["words"], match["state"], match["ran"]))
    return found


@dataclass
class Seen:
    """What a scenario ended with: the answer, and the action the row is about."""

    answer: Answer
    action: str


Scenario = Callable[[World], Awaitable[Seen]]
SCENARIOS: dict[str, Scenario] = {}


def row(scenario: Scenario) -> Scenario:
    """Play a scenario for the row of its name."""
    SCENARIOS[scenario.__name__.replace("_", "-")] = scenario
    return scenario


async def asked(world: World, tool: str = "shop.refund") -> Waiting:
    """Propose a call that waits for a person."""
    answer = await world.propose(tool)
    assert isinstance(answer, Waiting), answer
    return answer


@asynccontextmanager
async def waiting_client(world: World, tool: str = "shop.refund") -> AsyncGenerator[tuple[asyncio.Task[Answer], Waiting]]:  # fmt: skip  # noqa: E501
    """A client whose call is held open."""
    task = asyncio.ensure_future(world.propose(tool, wait=20))
    await eventually(lambda: world.memory.actions)
    known = list(world.memory.actions.values())[-1]
    yield task, Waiting(approval=known.approval, action=known.id, expires_at=known.expires_at)
    with suppress(asyncio.CancelledError):
        await task


async def gone(task: asyncio.Task[Answer]) -> None:
    """Let a client disconnect."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def reject(world: World, approval: str) -> None:
    await world.people.reject(approval, MARIA, reason="not this order")


async def modify(world: World, approval: str) -> None:
    await world.people.modify(approval, MARIA, arguments={"order": 2}, reason="the other order")


async def cancel(world: World, action: str) -> None:
    await world.cancel.action(action, person="deng", reason="no longer needed")


async def expire(world: World, action: str) -> None:
    world.ahead(3601)
    await world.until(action, "expired")


# the same client is still waiting


@row
async def same_timeout(world: World) -> Seen:
    answer = await world.propose(wait=0.05)
    assert isinstance(answer, Waiting)
    assert answer.expires_at > world.clock.now()
    return Seen(answer, answer.action)


@row
async def same_approved(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await world.approve(call.approval)
    answer = client.result()
    assert isinstance(answer, Completed)
    assert not answer.recorded
    return Seen(answer, call.action)


@row
async def same_rejected(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await reject(world, call.approval)
    return Seen(client.result(), call.action)


@row
async def same_modified(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await modify(world, call.approval)
    return Seen(client.result(), call.action)


@row
async def same_expired(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        world.clock.ahead += 3601
        client_wait = await world.until(call.action, "expired")
        assert client_wait.collected is False
    answer = client.result()
    if isinstance(answer, Waiting):  # its own wait had ended as well
        answer = await world.propose()
    return Seen(answer, call.action)


@row
async def same_cancelled(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await cancel(world, call.action)
    return Seen(client.result(), call.action)


@row
async def client_gone(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await gone(client)
        await world.approve(call.approval)
        await world.until(call.action, "succeeded")
        answer = await world.propose()
    return Seen(answer, call.action)


@row
async def client_gone_executing(world: World) -> Seen:
    world.script.gate = asyncio.Event()
    async with waiting_client(world, "shop.write") as (client, call):
        await eventually(lambda: world.script.effects)
        await gone(client)
        world.script.gate.set()
        await world.until(call.action, "succeeded")
        answer = await world.propose("shop.write")
    return Seen(answer, call.action)


@row
async def tool_fails(world: World) -> Seen:
    world.script.answers = [failed()]
    async with waiting_client(world) as (client, call):
        await world.approve(call.approval)
    answer = client.result()
    assert isinstance(answer, Completed)
    assert answer.payload["isError"]
    return Seen(answer, call.action)


@row
async def not_sent(world: World) -> Seen:
    world.script.answers = [UNSENT]
    async with waiting_client(world) as (client, call):
        await world.approve(call.approval)
    assert world.memory.runs[world.run].calls["shop.refund"] == 0
    return Seen(client.result(), call.action)


@row
async def outcome_unknown(world: World) -> Seen:
    world.script.answers = [UNKNOWN]
    async with waiting_client(world) as (client, call):
        await world.approve(call.approval)
    return Seen(client.result(), call.action)


# an identical retry


@row
async def outcome_unknown_keyed(world: World) -> Seen:
    await world.apply(a_manifest(keyed=True))
    world.script.answers = [UNKNOWN]
    async with waiting_client(world) as (client, call):
        await world.approve(call.approval)
        await world.until(call.action, "retry")
        world.ahead(2)
    return Seen(client.result(), call.action)


@row
async def retry_open(world: World) -> Seen:
    first = await asked(world)
    answer = await world.propose()
    assert isinstance(answer, Waiting)
    assert answer.approval == first.approval
    return Seen(answer, first.action)


@row
async def retry_approved(world: World) -> Seen:
    first = await asked(world)
    await world.approve(first.approval)
    await world.until(first.action, "succeeded")
    return Seen(await world.propose(), first.action)


@row
async def retry_rejected(world: World) -> Seen:
    first = await asked(world)
    await reject(world, first.approval)
    return Seen(await world.propose(), first.action)


@row
async def retry_modified(world: World) -> Seen:
    first = await asked(world)
    await modify(world, first.approval)
    await world.until((await world.action(first.action)).successor, "succeeded")
    return Seen(await world.propose(), first.action)


@row
async def retry_expired(world: World) -> Seen:
    first = await asked(world)
    await expire(world, first.action)
    return Seen(await world.propose(), first.action)


@row
async def retry_cancelled(world: World) -> Seen:
    first = await asked(world)
    await cancel(world, first.action)
    return Seen(await world.propose(), first.action)


@row
async def retry_collected(world: World) -> Seen:
    first = await asked(world)
    await reject(world, first.approval)
    assert isinstance(await world.propose(), TurnedDown)
    answer = await world.propose()
    assert isinstance(answer, Waiting)
    assert answer.action != first.action
    return Seen(answer, answer.action)


async def in_doubt(world: World) -> Waiting:
    world.script.answers = [UNKNOWN]
    first = await asked(world)
    await world.approve(first.approval)
    await world.until(first.action, "in_doubt")
    return first


@row
async def retry_in_doubt(world: World) -> Seen:
    first = await in_doubt(world)
    assert isinstance(await world.propose(), InDoubt)
    answer = await world.propose()
    assert isinstance(answer, InDoubt)
    assert answer.action == first.action
    return Seen(answer, first.action)


@row
async def retry_happened(world: World) -> Seen:
    first = await in_doubt(world)
    with pytest.raises(StateConflict, match="may still land"):
        await world.resolve.action(first.action, happened=True, person="deng", reason="seen")
    world.ahead(300)
    await world.resolve.action(first.action, happened=True, person="deng", reason="it is in the ledger")
    return Seen(await world.propose(), first.action)


@row
async def retry_did_not_happen(world: World) -> Seen:
    first = await in_doubt(world)
    world.ahead(300)
    await world.resolve.action(first.action, happened=False, person="deng", reason="not in the ledger")
    return Seen(await world.propose(), first.action)


# changed arguments, other callers


@row
async def changed_arguments(world: World) -> Seen:
    first = await asked(world)
    answer = await world.propose("shop.refund", {"order": 2})
    assert isinstance(answer, Waiting)
    assert answer.approval != first.approval
    return Seen(answer, answer.action)


@row
async def other_run(world: World) -> Seen:
    first = await asked(world)
    other = world.principal(await world.open_run())
    answer = await world.propose(principal=other)
    assert isinstance(answer, Waiting)
    assert answer.approval != first.approval
    return Seen(answer, answer.action)


async def foreign_resume(world: World, workflow: str, agent: str) -> Seen:
    first = await asked(world)
    other = world.principal(await world.open_run(workflow, agent))
    answer = await world.calls.resume(other, first.approval, wait=0)
    unknown = await world.calls.resume(other, "apr_unknown", wait=0)
    assert answer == unknown, "a stranger cannot tell what exists"
    return Seen(answer, first.action)


@row
async def other_run_resume(world: World) -> Seen:
    return await foreign_resume(world, "orders", "bot")


@row
async def other_agent_resume(world: World) -> Seen:
    return await foreign_resume(world, "audits", "other-bot")


@row
async def other_workflow_resume(world: World) -> Seen:
    return await foreign_resume(world, "returns", "bot")


# resume by id


async def resumed(world: World, call: Waiting) -> Answer:
    return await world.calls.resume(world.principal(), call.approval, wait=0)


@row
async def resume_open(world: World) -> Seen:
    first = await asked(world)
    answer = await resumed(world, first)
    assert isinstance(answer, Waiting)
    assert answer.approval == first.approval
    return Seen(answer, first.action)


@row
async def resume_approved(world: World) -> Seen:
    first = await asked(world)
    await world.approve(first.approval)
    await world.until(first.action, "succeeded")
    return Seen(await resumed(world, first), first.action)


@row
async def resume_again(world: World) -> Seen:
    seen = await resume_approved(world)
    first = await world.action(seen.action)
    again = await world.calls.resume(world.principal(), first.approval, wait=0)
    assert again == seen.answer
    return Seen(again, seen.action)


@row
async def resume_rejected(world: World) -> Seen:
    first = await asked(world)
    await reject(world, first.approval)
    return Seen(await resumed(world, first), first.action)


@row
async def resume_modified(world: World) -> Seen:
    first = await asked(world)
    await modify(world, first.approval)
    await world.until((await world.action(first.action)).successor, "succeeded")
    answer = await resumed(world, first)
    assert await resumed(world, first) == answer
    return Seen(answer, first.action)


@row
async def resume_expired(world: World) -> Seen:
    first = await asked(world)
    await expire(world, first.action)
    return Seen(await resumed(world, first), first.action)


@row
async def resume_cancelled(world: World) -> Seen:
    first = await asked(world)
    await cancel(world, first.action)
    return Seen(await resumed(world, first), first.action)


# the world moved while it waited


def policy(then: Verdict) -> Policy:
    return Policy(name="house", rules=(Rule(id="house", tool="shop.refund", then=then),))


async def approved_after(world: World, first: Waiting, *states: str) -> Seen:
    await world.approve(first.approval)
    await world.until(first.action, *states)
    return Seen(await world.propose(), first.action)


@row
async def policy_denies(world: World) -> Seen:
    first = await asked(world)
    await world.apply(a_manifest(policy(Verdict.DENY)))
    seen = await approved_after(world, first, "denied")
    assert isinstance(seen.answer, Refused)
    assert seen.answer.decision.reason.rule == "house"
    return seen


@row
async def policy_moved(world: World) -> Seen:
    first = await asked(world)
    await world.apply(a_manifest(policy(Verdict.REQUIRE_APPROVAL)))
    await world.approve(first.approval)
    for _ in range(200):
        if (await world.action(first.action)).approval != first.approval:
            break
        await asyncio.sleep(0.01)
    answer = await world.propose()
    assert isinstance(answer, Waiting)
    assert answer.approval != first.approval
    assert answer.action == first.action
    return Seen(answer, first.action)


@row
async def policy_loosened(world: World) -> Seen:
    first = await asked(world)
    milder = a_tool("shop.refund", RiskTier.LIMITED_WRITE, EffectClass.ONCE)
    await world.apply([milder if each.name == "shop.refund" else each for each in a_manifest()])
    return await approved_after(world, first, "succeeded")


@row
async def pin_drifted(world: World) -> Seen:
    first = await asked(world)
    world.trust(refund="another tool")
    return await approved_after(world, first, "denied")


async def end_run(world: World) -> None:
    def end(transaction: Any) -> None:
        approvals.cancel_open(transaction, world.memory, by="kim", reason="the run ended", run=world.run)
        run = runs.get(transaction.connection, world.run)
        runs.end(transaction, world.memory, run, state=RunState.CLOSED, reason="done")

    await world.store.transact(end)


@row
async def run_ended(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await end_run(world)
        with pytest.raises(StateConflict):
            await world.people.approve(call.approval, MARIA)
    return Seen(client.result(), call.action)


@row
async def agent_retired(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await world.store.transact(
            lambda tx: approvals.cancel_open(
                tx, world.memory, by="maria", reason="the agent was retired", agent="bot"
            )
        )
    return Seen(client.result(), call.action)


@row
async def run_revoked(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        await world.store.transact(
            lambda tx: revocations.add(tx, world.memory, revocations.Revoked.RUN, world.run)
        )
        await world.approve(call.approval)
    return Seen(client.result(), call.action)


@row
async def breaker_open(world: World) -> Seen:
    first = await asked(world)
    world.memory.breakers["workflow", "orders"] = BreakerState.OPEN
    return await approved_after(world, first, "parked")


@row
async def breaker_left(world: World) -> Seen:
    first = await asked(world)
    world.memory.breakers["workflow", "orders"] = BreakerState.OPEN
    await world.approve(first.approval)
    await world.until(first.action, "parked")
    del world.memory.breakers["workflow", "orders"]
    await world.store.transact(
        lambda transaction: claims.release_parked(transaction, world.memory, workflow="orders")
    )
    await eventually(lambda: world.memory.actions[first.action].state.final)
    return Seen(await world.propose(), first.action)


@row
async def approved_twice(world: World) -> Seen:
    async with waiting_client(world) as (client, call):
        both = await asyncio.gather(
            world.people.approve(call.approval, MARIA),
            world.people.approve(call.approval, DENG),
            return_exceptions=True,
        )
        assert sorted(isinstance(each, StateConflict) for each in both) == [False, True]
    return Seen(client.result(), call.action)


async def two_eyes(world: World, **route: Any) -> Waiting:
    """Let a call wait under a policy of its own."""
    given: dict[str, Any] = {"approvers": ("desk",), "expire_after": 3600}
    await world.apply(a_manifest(approvals=Approvals(**given | route)))
    return await asked(world)


EYES: dict[str, Any] = {"four_eyes": tuple(RiskTier)}


@row
async def approved_by_one(world: World) -> Seen:
    first = await two_eyes(world, **EYES)
    await world.approve(first.approval, MARIA)
    again = await world.propose()
    assert isinstance(again, Waiting)
    assert again.approval == first.approval
    return Seen(again, first.action)


@row
async def approved_by_two(world: World) -> Seen:
    first = await two_eyes(world, **EYES)
    await world.approve(first.approval, MARIA)
    await world.approve(first.approval, DENG)
    await world.until(first.action, "succeeded")
    return Seen(await world.propose(), first.action)


@row
async def rejected_by_one(world: World) -> Seen:
    first = await two_eyes(world, **EYES)
    await world.approve(first.approval, MARIA)
    await world.people.reject(first.approval, DENG, reason="not this order")
    return Seen(await world.propose(), first.action)


@row
async def escalated(world: World) -> Seen:
    first = await two_eyes(world, approvers=("maria",), escalation=("deng",), sla=60)
    world.ahead(61)
    for _ in range(500):
        found = await world.store.read(lambda connection: approvals.get(connection, first.approval))
        if found.level == 1:
            break
        await asyncio.sleep(0.01)
    await world.approve(first.approval, DENG)
    await world.until(first.action, "succeeded")
    return Seen(await world.propose(), first.action)


@row
async def parked_at_its_end(world: World) -> Seen:
    first = await two_eyes(world, at_end=AtEnd.PARK)
    world.ahead(3601)
    await asyncio.sleep(0.1)
    again = await world.propose()
    assert isinstance(again, Waiting)
    assert (again.approval, again.ends_at) == (first.approval, 0)
    return Seen(again, first.action)


@row
async def approved_late(world: World) -> Seen:
    first = await asked(world)
    world.ahead(3601)
    with pytest.raises(StateConflict, match="expired"):
        await world.people.approve(first.approval, MARIA)
    await world.until(first.action, "expired")
    return Seen(await world.propose(), first.action)


@row
async def token_expired(world: World) -> Seen:
    first = await asked(world)
    world.ahead(1200)
    return await approved_after(world, first, "succeeded")


# a delayed tool


@row
async def scheduled(world: World) -> Seen:
    answer = await world.propose("shop.later")
    assert isinstance(answer, Waiting)
    assert answer.due_at > world.clock.now()
    return Seen(answer, answer.action)


@row
async def scheduled_due(world: World) -> Seen:
    first = await asked(world, "shop.later")
    world.ahead(601)
    await world.until(first.action, "succeeded")
    return Seen(await world.propose("shop.later"), first.action)


@row
async def scheduled_cancelled(world: World) -> Seen:
    first = await asked(world, "shop.later")
    await cancel(world, first.action)
    world.ahead(601)
    await asyncio.sleep(0.05)
    return Seen(await world.propose("shop.later"), first.action)


# the tool asks for input


async def input_needed(world: World) -> InputAsked:
    world.script.answers = [asks()]
    async with waiting_client(world) as (client, call):
        await world.approve(call.approval)
    answer = client.result()
    assert isinstance(answer, InputAsked)
    return answer


@row
async def input_asked(world: World) -> Seen:
    answer = await input_needed(world)
    assert "theirs" not in str(answer.payload)
    assert await world.propose() == answer, "asking again shows the same question"
    return Seen(answer, answer.action)


@row
async def input_given(world: World) -> Seen:
    question = await input_needed(world)
    given = Continuation(request_state=question.payload["requestState"], input_responses={"ok": True})
    answer = await world.propose(continuation=given)
    sent = world.script.effects[-1]
    assert (sent.request_state, sent.input_responses) == ("theirs", {"ok": True})
    del world.script.effects[-1]  # the second half of the same call
    again = await world.propose(continuation=given)
    assert isinstance(again, Broken), "the state is good for one answer"
    return Seen(answer, question.action)


@row
async def input_forged(world: World) -> Seen:
    question = await input_needed(world)
    other = world.principal(await world.open_run())
    given = Continuation(request_state=question.payload["requestState"], input_responses={})
    guessed = Continuation(request_state=f"{question.action}.inp_0", input_responses={})
    assert isinstance(await world.propose(continuation=guessed), Broken)
    return Seen(await world.propose(continuation=given, principal=other), question.action)


# the server is killed


@row
async def kill_before_approval(world: World) -> Seen:
    lost = asyncio.ensure_future(world.propose())
    lost.cancel()
    await world.crash()
    await world.reopen()
    assert await world.every() == []
    answer = await world.propose()
    assert isinstance(answer, Waiting)
    return Seen(answer, answer.action)


@row
async def kill_while_waiting(world: World) -> Seen:
    first = await asked(world)
    await world.crash()
    await world.reopen()
    answer = await world.propose()
    assert isinstance(answer, Waiting)
    assert answer == first
    return Seen(answer, first.action)


@row
async def kill_after_approval(world: World) -> Seen:
    first = await asked(world)
    await world.calls.close()
    await world.people.approve(first.approval, MARIA)
    await world.crash()
    await world.reopen()
    await world.until(first.action, "succeeded")
    return Seen(await world.propose(), first.action)


@row
async def kill_after_rejection(world: World) -> Seen:
    first = await asked(world)
    await reject(world, first.approval)
    await world.crash()
    await world.reopen()
    return Seen(await world.propose(), first.action)


async def cut_off(world: World, tool: str) -> Waiting:
    world.script.gate = asyncio.Event()
    first = await asked(world, tool)
    await world.approve(first.approval)
    await eventually(lambda: world.script.effects)
    await world.crash()
    await world.reopen()
    await world.lease_over()
    return first


@row
async def kill_after_intent(world: World) -> Seen:
    first = await cut_off(world, "shop.refund")
    return Seen(await world.propose(), first.action)


@row
async def kill_after_intent_keyed(world: World) -> Seen:
    await world.apply(a_manifest(keyed=True))
    first = await cut_off(world, "shop.refund")
    return Seen(await world.propose(), first.action)


@row
async def kill_after_intent_read(world: World) -> Seen:
    first = await cut_off(world, "shop.peek")
    return Seen(await world.propose("shop.peek"), first.action)


@row
async def kill_after_outcome(world: World) -> Seen:
    seen = await client_gone_executing_until_settled(world)
    await world.crash()
    await world.reopen()
    return Seen(await world.propose("shop.write"), seen)


async def client_gone_executing_until_settled(world: World) -> str:
    world.script.gate = asyncio.Event()
    async with waiting_client(world, "shop.write") as (client, call):
        await gone(client)
        world.script.gate.set()
        await world.until(call.action, "succeeded")
    return call.action


@row
async def kill_then_expired(world: World) -> Seen:
    first = await asked(world)
    if not world.store.alone:  # there the database says what time it is
        past = sa.update(approval_rows).where(approval_rows.c.id == first.approval).values(expires_at=1)
        await world.store.transact(lambda transaction: transaction.execute(past) and None)
    await world.crash()
    world.ahead(3601)
    await world.reopen()
    await world.until(first.action, "expired")
    return Seen(await world.propose(), first.action)


def test_the_page_and_the_scenarios_are_the_same_list() -> None:
    assert [each.name for each in rows()] == list(SCENARIOS)


async def play(each: Row, world: World) -> None:
    await world.open(a_manifest())
    try:
        seen = await SCENARIOS[each.name](world)
        action = await world.action(seen.action)
        assert type(seen.answer).__name__ == each.answer, seen.answer
        assert action.state.value == each.state
        ran = [sent for sent in world.script.effects if sent.action in (action.id, action.successor or "-")]
        assert len(ran) == {"no": 0, "again": 2}.get(each.ran, 1)
        assert len({sent.idempotency_key for sent in ran}) <= 1
        if "recorded" in each.words:
            assert getattr(seen.answer, "recorded", True)
        if "arguments that ran" in each.words:
            assert isinstance(seen.answer, Completed)
            assert seen.answer.revised == {"order": 2}
        if isinstance(seen.answer, TurnedDown):
            assert seen.answer.state == each.state
            assert seen.answer.reason
        assert await world.store.read(journal.check) == []
    finally:
        await world.close()


@pytest.mark.parametrize("each", rows(), ids=lambda each: each.name)
def test_what_happens_to_a_call_that_waits(each: Row, tmp_path: Path) -> None:
    asyncio.run(play(each, World(tmp_path)))


ON_POSTGRES = [
    each
    for each in rows()
    if each.name.startswith("kill-") or each.name in ("same-approved", "same-modified", "approved-twice")
]


@pytest.mark.parametrize("each", ON_POSTGRES, ids=lambda each: each.name)
def test_the_main_rows_are_the_same_on_postgresql(each: Row, tmp_path: Path, postgres_url: str) -> None:
    asyncio.run(play(each, World(tmp_path, postgres_url)))
