"""The engine beside the table of waiting calls: reads, counts, labels, callers, a store that fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from interlock.core.answer import (
    Broken,
    Completed,
    Continuation,
    InDoubt,
    InputAsked,
    Refused,
    Waiting,
)
from interlock.core.document.identity import Person
from interlock.core.document.workflow import Grant
from interlock.core.model import SECOND, Json
from interlock.errors import CommitUnknown, StoreUnavailable
from interlock.services.recover import Recover
from interlock.services.verify_audit import verify_database
from interlock.store.database import Transaction
from interlock.store.schema import action_moves, actions, audit, run_calls, runs
from interlock.testing.journal import check
from interlock.upstream.executor import Bridge, Dispatch, Outcome, Succeeded
from support.engine import (
    TOOLS,
    UNKNOWN,
    UNSENT,
    World,
    a_manifest,
    asks,
    eventually,
    failed,
)

T = TypeVar("T")
LIMITED = tuple(Grant(tool=each.name, max_calls=3) for each in TOOLS)


def play(data: Path, story: Any, *, manifest: Any = None, **settings: Any) -> None:
    """Play a story in a world of its own."""

    async def told() -> None:
        world = await World(data, **settings).open(manifest or a_manifest())
        try:
            await story(world)
        finally:
            await world.close()

    asyncio.run(told())


class Client:
    """A caller who is told how far the call is."""

    capabilities: Mapping[str, Json] = {}
    meta: Mapping[str, Json] = {}
    can_be_asked = True
    wants_progress = True
    log_level = None

    def __init__(self) -> None:
        self.told: list[str] = []

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.told.append(message or "")

    async def log(self, params: Mapping[str, Json]) -> None:
        self.told.append(str(params["data"]))

    async def elicit(self, params: Mapping[str, Json]) -> dict[str, Json]:
        return {"action": "accept"}

    async def sample(self, params: Mapping[str, Json]) -> dict[str, Json]:
        return {}

    async def roots(self) -> dict[str, Json]:
        return {"roots": []}


def test_an_allowed_read_leaves_no_action_and_is_on_record(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        answer = await world.propose("shop.read")
        assert isinstance(answer, Completed)
        assert answer.action is None
        assert await world.every() == []
        await world.close()
        world.store = type(world.store).open(world.settings, world.runtime)
        kinds = await world.store.read(lambda found: [row.kind for row in found.execute(sa.select(audit))])
        assert kinds[-2:] == ["call.allowed", "call.outcome"]
        counts = await world.store.read(
            lambda found: [tuple(row) for row in found.execute(sa.select(run_calls))]
        )
        assert counts == [(world.run, "shop.read", 1)]

    play(tmp_path, story)
    assert verify_database(World(tmp_path).settings).ok


def test_a_write_action_costs_at_most_fourteen_statements(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        statements: list[str] = []
        await world.propose("shop.write", {"order": 0})  # the run's label is new only once
        raw: list[Any] = []

        def trace(transaction: Any) -> None:
            connection = transaction.connection.connection.dbapi_connection
            connection.set_trace_callback(statements.append)
            raw.append(connection)

        await world.store.transact(trace)
        await asyncio.sleep(0.1)
        statements.clear()
        await world.propose("shop.write", {"order": 1})
        await asyncio.sleep(0.1)
        raw[0].set_trace_callback(None)
        work = [
            each for each in statements if not each.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))
        ]
        assert 6 <= len(work) <= 14, work

    play(tmp_path, story)


def test_the_limit_of_calls_holds_exactly_when_many_come_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for tool in ("shop.write", "shop.read"):
            answers = await asyncio.gather(*(world.propose(tool, {"order": n}) for n in range(12)))
            assert sum(isinstance(each, Completed) for each in answers) == 3
            assert sum(isinstance(each, Refused) for each in answers) == 9

    play(tmp_path, story, manifest=a_manifest(grants=LIMITED))


def test_a_call_that_did_not_happen_is_not_counted(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(5):
            world.script.answers = [UNSENT]
            assert isinstance(await world.propose("shop.write", {"order": number}), Broken)
            world.script.answers = [UNSENT]
            assert isinstance(await world.propose("shop.read", {"order": number}), Broken)
            waiting = await world.propose("shop.refund", {"order": number})
            assert isinstance(waiting, Waiting)
            await world.cancel.action(waiting.action, person="kim", reason="no")
        assert isinstance(await world.propose("shop.write", {"order": 9}), Completed)
        assert {name: n for name, n in world.memory.runs[world.run].calls.items() if n} == {"shop.write": 1}
        counts = await world.store.read(
            lambda found: {row.tool: row[2] for row in found.execute(sa.select(run_calls)) if row[2]}
        )
        assert counts == {"shop.write": 1}

    play(tmp_path, story, manifest=a_manifest(grants=LIMITED))


def test_a_calls_own_reservation_does_not_count_against_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(3):
            waiting = await world.propose("shop.refund", {"order": number})
            assert isinstance(waiting, Waiting)
            await world.approve(waiting.approval)
            await world.until(waiting.action, "succeeded")
        assert isinstance(await world.propose("shop.refund", {"order": 9}), Refused)

    play(tmp_path, story, manifest=a_manifest(grants=LIMITED))


def test_identical_calls_at_once_are_one_action(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        answers = await asyncio.gather(*(world.propose("shop.write") for _ in range(8)))
        assert len({each.action for each in answers if isinstance(each, Completed)}) == 1
        assert len(world.script.effects) == 1

    play(tmp_path, story)


def test_what_a_tool_returned_labels_the_run_before_the_next_decision(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.propose("shop.read")
        assert world.memory.runs[world.run].labels == {"ticket"}
        labels = await world.store.read(
            lambda found: found.execute(sa.select(runs.c.labels).where(runs.c.id == world.run)).scalar_one()
        )
        assert labels == '["ticket"]'
        world.script.answers = [failed()]
        other = world.principal(await world.open_run())
        await world.propose("shop.write", principal=other)
        assert world.memory.runs[other.run].labels == {"ticket"}

    play(tmp_path, story)


def test_a_refused_call_is_never_sent_and_is_on_record(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        refused = await world.propose("shop.write", principal=world.narrowed("shop.read"))
        assert isinstance(refused, Refused)
        assert refused.decision.reason.code == "narrowed_away"
        assert world.script.effects == []
        await world.store.transact(lambda _: None)  # behind everything queued
        latest = sa.select(audit).order_by(audit.c.seq.desc())
        entry = await world.store.read(lambda found: found.execute(latest).first())
        assert entry is not None
        assert (entry.kind, entry.tool) == ("call.denied", "shop.write")
        decision, reason = refused.decision, {"gate": "scope", "code": "narrowed_away", "rule": None}
        assert json.loads(entry.body) == {
            "verdict": "deny",
            "reasons": [reason | {"verdict": "deny"}],
            "tier": decision.tier,
            "effect": decision.effect,
            "bundle": decision.bundle,
            "pin": decision.pin,
            "digest": decision.digest,
        }

    play(tmp_path, story)


def test_a_narrower_token_does_not_collect_what_it_may_not_call(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        waiting = await world.propose()
        assert isinstance(waiting, Waiting)
        narrow = world.narrowed("shop.read")
        assert isinstance(await world.calls.resume(narrow, waiting.approval, wait=0), Broken)
        assert isinstance(await world.propose(principal=narrow), Refused)
        expired = world.principal(expires_at=1)
        assert isinstance(await world.propose(principal=expired), Broken)

    play(tmp_path, story)


def test_a_waiting_caller_is_told_that_it_waits(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = Client()
        await world.propose(bridge=client, wait=0.1)
        assert any("Waiting for a person's decision (apr_" in each for each in client.told)

    play(tmp_path, story)


def test_a_tool_reaches_whoever_is_attached_while_it_runs(tmp_path: Path) -> None:
    async def asking(dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        assert bridge is not None
        assert bridge.can_be_asked
        await bridge.progress(1, 2, "half")
        return Succeeded(payload={"answer": await bridge.elicit({})})

    async def story(world: World) -> None:
        client = Client()
        world.script.answers = [asking]
        answer = await world.propose("shop.write", bridge=client)
        assert isinstance(answer, Completed)
        assert answer.payload == {"answer": {"action": "accept"}}
        assert client.told == ["half"]

    play(tmp_path, story)


def test_a_caller_who_goes_away_cancels_a_read_and_no_write(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.script.gate = asyncio.Event()
        for tool, finished in (("shop.read", 0), ("shop.write", 1)):
            task = asyncio.ensure_future(world.propose(tool))
            await eventually(lambda: world.script.effects)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            world.script.effects.clear()
            assert len(world.calls.flights) == finished
        world.script.gate.set()
        await eventually(lambda: not world.calls.flights)
        assert [each.state for each in await world.every()] == ["succeeded"]

    play(tmp_path, story)


def test_a_read_that_asks_for_input_goes_on_with_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.script.answers = [asks()]
        question = await world.propose("shop.read")
        assert isinstance(question, InputAsked)
        given = Continuation(request_state=question.payload["requestState"], input_responses={"ok": 1})
        answer = await world.propose("shop.read", continuation=given)
        assert isinstance(answer, Completed)
        assert world.script.effects[-1].request_state == "theirs"
        assert world.memory.runs[world.run].calls == {"shop.read": 1}

    play(tmp_path, story)


def test_an_approval_does_not_outlive_its_policy_while_the_tool_waits_for_input(tmp_path: Path) -> None:
    """Invariant 6: what was approved is this call under that policy, also between question and answer."""

    async def story(world: World) -> None:
        asked = await world.propose("shop.refund")
        assert isinstance(asked, Waiting)
        world.script.answers = [asks()]
        await world.approve(asked.approval)
        question = await world.propose("shop.refund")
        while isinstance(question, Waiting):
            question = await world.propose("shop.refund", wait=1)
        assert isinstance(question, InputAsked)
        await world.apply(a_manifest(Person(name="eve", email="eve@example.com")))
        given = Continuation(request_state=question.payload["requestState"], input_responses={"ok": 1})
        again = await world.propose("shop.refund", continuation=given)
        assert isinstance(again, Waiting)
        assert again.approval != asked.approval
        assert len(world.script.effects) == 1, "the answer was not sent"
        await world.approve(again.approval)
        ended = await world.until(again.action, "succeeded")
        assert ended.id == asked.action

    play(tmp_path, story)


def test_a_call_that_waits_for_input_is_denied_when_its_scope_is_gone(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.script.answers = [asks()]
        question = await world.propose("shop.write")
        assert isinstance(question, InputAsked)
        await world.apply(a_manifest(grants=(Grant(tool="shop.read"),)))
        given = Continuation(request_state=question.payload["requestState"], input_responses={"ok": 1})
        answer = await world.propose("shop.write", continuation=given)
        assert isinstance(answer, Refused)
        assert (answer.decision.reason.code, len(world.script.effects)) == ("not_in_scope", 1)
        assert (await world.action(question.action)).state == "denied"

    play(tmp_path, story)


def test_a_narrowed_caller_who_would_join_a_call_is_refused_on_record(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert isinstance(await world.propose("shop.refund"), Waiting)
        answer = await world.propose("shop.refund", principal=world.narrowed("shop.read"))
        assert isinstance(answer, Refused)
        await world.store.transact(lambda _: None)
        query = sa.select(audit.c.tool).where(audit.c.kind == "call.denied")
        rows = await world.store.read(lambda found: found.execute(query).scalars().all())
        assert rows == ["shop.refund"]
        assert world.memory.runs[world.run].calls["shop.refund"] == 1

    play(tmp_path, story)


def test_the_clock_survives_what_it_was_not_made_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        model = await world.propose("shop.refund", {"order": 1})
        assert isinstance(model, Waiting)
        known = world.memory.actions[model.action]
        world.memory.put_action(replace(known, id="act_that_never_was", digest="x"))
        plain = await world.propose("shop.refund", {"order": 2})
        assert isinstance(plain, Waiting)
        world.ahead(3601)
        await world.until(plain.action, "expired")

    play(tmp_path, story)


def test_a_write_without_an_answer_is_never_sent_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.script.answers = [UNKNOWN]
        first = await world.propose("shop.write")
        assert isinstance(first, InDoubt)
        for _ in range(3):
            assert await world.propose("shop.write") == first
        assert len(world.script.effects) == 1

    play(tmp_path, story)


def test_an_intent_that_was_approved_and_sent_while_its_commit_was_in_doubt_is_never_said_not_to_be_sent(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        world.script.answers = [UNKNOWN]
        waiting = await world.propose("shop.refund")
        assert isinstance(waiting, Waiting)
        await world.approve(waiting.approval)
        await world.until(waiting.action, "in_doubt")
        recover = Recover(
            store=world.store, memory=world.memory, runtime=world.runtime, process="prc_1", call_timeout=60
        )
        assert await recover.disown(waiting.action, world.proposal("shop.refund").request)
        assert (await world.action(waiting.action)).state == "in_doubt"

    play(tmp_path, story)


def break_store(world: World) -> Any:
    """Let every commit fail as on a full disk; return what mends it."""
    writer = world.store._writer
    works = writer._commit

    def fails(batch: Any) -> None:
        raise StoreUnavailable("The disk is full.", hint="Make room.")

    writer._commit = fails  # type: ignore[method-assign]

    def mend() -> None:
        writer._commit = works  # type: ignore[method-assign]

    return mend


def test_without_a_store_nothing_is_sent_and_the_caller_is_told_why(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        mend = break_store(world)
        answer = await world.propose("shop.write")
        assert isinstance(answer, Broken)
        assert "disk is full" in answer.message
        assert world.script.effects == []
        assert world.memory.runs[world.run].calls == {"shop.write": 0}
        mend()
        assert isinstance(await world.propose("shop.write"), Completed)

    play(tmp_path, story)


def test_an_outcome_that_cannot_be_written_is_written_later_and_never_sent_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        mend: list[Any] = []

        async def then_full(dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
            mend.append(break_store(world))
            return Succeeded(payload={"content": []})

        world.script.answers = [then_full]
        first = await world.propose("shop.write")
        assert isinstance(first, InDoubt)
        assert "cannot be recorded yet" in first.message
        mend[0]()
        await world.until(first.action, "succeeded")
        again = await world.propose("shop.write")
        assert isinstance(again, Completed)
        assert again.action == first.action
        assert len(world.script.effects) == 1

    play(tmp_path, story)


def lose_the_answer_of_a_commit(world: World) -> None:
    """Let the next commit happen and its answer be lost."""
    writer = world.store._writer
    works = writer._commit

    def lost(batch: Any) -> None:
        writer._commit = works  # type: ignore[method-assign]
        works(batch)
        raise CommitUnknown("The connection was lost while committing.")

    writer._commit = lost  # type: ignore[method-assign]


def test_a_call_whose_intent_may_not_be_on_disk_is_not_sent(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        lose_the_answer_of_a_commit(world)
        assert isinstance(await world.propose("shop.write"), Broken)
        (left,) = await world.every()
        await world.until(left.id, "failed")
        lose_the_answer_of_a_commit(world)
        assert isinstance(await world.propose("shop.refund"), Broken)
        await eventually(lambda: world.memory.actions)
        waiting = await world.propose("shop.refund")
        assert isinstance(waiting, Waiting)
        assert len(await world.every()) == 2
        assert {name: n for name, n in world.memory.runs[world.run].calls.items() if n} == {"shop.refund": 1}
        assert world.script.effects == []

    play(tmp_path, story)


def test_a_decision_on_a_policy_that_moved_is_made_anew(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = world.memory.bundle
        after = await world.apply(a_manifest(grants=LIMITED))
        world.memory.bundle = before  # the decision is made on the old policy, the disk has the new one
        task: Coroutine[Any, Any, Any] = world.propose("shop.write")
        answer = await task
        assert isinstance(answer, Broken)
        assert "kept changing" in answer.message
        assert world.script.effects == []
        world.memory.bundle = after
        assert isinstance(await world.propose("shop.write"), Completed)

    play(tmp_path, story)


def test_what_was_approved_before_a_crash_waits_until_its_tool_is_known_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        waiting = await world.propose()
        assert isinstance(waiting, Waiting)
        await world.calls.close()
        await world.approve(waiting.approval)
        await world.crash()
        await world.open(trusting=False)
        await asyncio.sleep(0.1)
        assert (await world.action(waiting.action)).state == "approved"
        world.trust()
        await world.until(waiting.action, "succeeded")

    play(tmp_path, story)


def test_no_step_on_record_is_before_the_one_before_it_whichever_commit_began_first(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        waiting = await world.propose("shop.refund", {"order": 1})
        assert isinstance(waiting, Waiting)

        def be_later(transaction: Transaction) -> None:
            transaction.execute(sa.update(action_moves).values(at=action_moves.c.at + 60 * SECOND))
            transaction.execute(sa.update(actions).values(updated_at=actions.c.updated_at + 60 * SECOND))

        await world.store.transact(be_later)
        await world.approve(waiting.approval)
        await world.until(waiting.action, "succeeded")
        assert await world.store.read(check) == []

    play(tmp_path, story)
