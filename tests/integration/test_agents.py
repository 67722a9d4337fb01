"""An agent has owners, is stopped at once, and leaves for good, with proof (H1, H3, H5)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.core.document.identity import Agent
from interlock.errors import StateConflict, TokenInvalid
from interlock.services.exchange import Proof
from interlock.store import agents, enrolments, runs
from support.identity import World, build_world, small_world, world

__all__ = ["small_world", "world"]


def test_agents_are_listed_with_who_answers_for_them(world: World) -> None:
    async def story() -> None:
        async with await world.signed_in("vera") as client:
            found = (await client.get("/api/v1/agents")).json()["items"]
            assert [(each["name"], each["owner"], each["backup"]) for each in found] == [
                ("other-bot", "deng", "maria"),
                ("refund-bot", "maria", "deng"),
            ]
            shown = (await client.get("/api/v1/agents/refund-bot")).json()
            assert shown["workflows"] == ["notes", "refunds"]
            assert (await client.get("/api/v1/agents/nobody")).status_code == 404

    asyncio.run(story())


@pytest.mark.parametrize(
    ("person", "status"), [("maria", 201), ("deng", 201), ("ada", 201), ("otto", 403), ("vera", 403)]
)
def test_only_an_agents_owners_and_an_admin_enrol_it(small_world: World, person: str, status: int) -> None:
    async def story() -> None:
        async with await small_world.signed_in(person) as client:
            answer = await client.post("/api/v1/agents/refund-bot/enrolments", json={})
            assert answer.status_code == status

    asyncio.run(story())


def test_a_code_is_kept_hashed(world: World) -> None:
    async def story() -> None:
        code = await world.code()
        found = await world.store.read(lambda each: enrolments.by_code(each, code))
        assert found is not None
        from interlock.store.schema import enrolments as table

        row = await world.store.read(lambda each: each.execute(table.select()).one())
        assert code not in str(row)

    asyncio.run(story())


def test_without_a_backup_an_agent_is_enrolled_in_dev_only(tmp_path: Path) -> None:
    async def story(environment: str) -> int:
        world = await build_world(tmp_path / environment, environment=environment)
        lone = Agent(name="refund-bot", owner="maria")
        await world.store.transact(lambda each: agents.declare(each, [lone]))
        async with await world.signed_in("maria") as client:
            answer = await client.post("/api/v1/agents/refund-bot/enrolments", json={})
        world.store.close_now()
        return answer.status_code

    assert asyncio.run(story("dev")) == 201
    assert asyncio.run(story("production")) == 409


def test_suspending_stops_runs_and_tokens_and_resuming_brings_neither_back(world: World) -> None:
    async def story() -> None:
        opened = await world.open_run()
        async with await world.signed_in("otto") as client:
            url = "/api/v1/agents/refund-bot"
            assert (await client.post(f"{url}/suspend", json={})).status_code == 400
            done = await client.post(f"{url}/suspend", json={"reason": "odd calls"})
            assert done.json()["state"] == "suspended"
            assert (await client.post(f"{url}/suspend", json={"reason": "again"})).status_code == 409
        with pytest.raises(TokenInvalid):
            world.authenticator.verify(opened.token.token)
        with pytest.raises(StateConflict, match="suspended"):
            await world.open_run()
        async with await world.signed_in("maria") as client:
            assert (await client.post("/api/v1/agents/refund-bot/enrolments", json={})).status_code == 409
            assert (await client.post(f"{url}/resume", json={"reason": "explained"})).status_code == 200
        again = await world.open_run()
        assert world.authenticator.verify(again.token.token).epoch == 2
        with pytest.raises(TokenInvalid):
            world.authenticator.verify(opened.token.token)
        ended = await world.store.read(lambda each: runs.get(each, opened.run.id))
        assert (ended.state.value, ended.reason) == ("ended", "the agent was suspended")

    asyncio.run(story())


def test_retiring_removes_every_way_in_and_keeps_the_proof(world: World) -> None:
    async def story() -> None:
        code, opened = await world.code(), await world.open_run()
        async with await world.signed_in("maria") as client:
            done = await client.post("/api/v1/agents/refund-bot/retire", json={"reason": "replaced"})
            assert done.status_code == 200, done.text
            again = await client.post("/api/v1/agents/refund-bot/retire", json={"reason": "replaced"})
            assert again.status_code == 409
            shown = (await client.get("/api/v1/agents/refund-bot")).json()
        proof = done.json()["proof"]
        steps = {each["step"]: each for each in proof["checklist"]}
        assert steps["enrolment codes deleted"]["count"] == 1
        assert steps["runs ended"]["runs"] == [opened.run.id]
        assert steps["tokens revoked by epoch"]["epoch"] == 2
        assert (proof["by"], proof["reason"]) == ("maria", "replaced")
        assert shown["state"] == "retired"
        assert shown["enrolments"] == []
        with pytest.raises(TokenInvalid):
            world.authenticator.verify(opened.token.token)
        answer = await world.exchange(Proof.CODE, code, workflow="refunds")
        assert answer.json()["error"] == "invalid_grant"
        (entry,) = await world.audited("agent.retired")
        assert json.loads(entry.body) == proof
        with pytest.raises(StateConflict, match="never used again"):
            await world.store.transact(
                lambda each: agents.declare(each, [Agent(name="refund-bot", owner="maria")])
            )

    asyncio.run(story())


def test_retiring_is_all_or_nothing(world: World) -> None:
    async def story() -> None:
        opened = await world.open_run()
        code = await world.code()

        def broken(transaction: object) -> None:
            from interlock.services.retire import _remove
            from interlock.store.database import Transaction
            from interlock.store.people import Person

            assert isinstance(transaction, Transaction)
            record = agents.get(transaction.connection, "refund-bot")
            _remove(transaction, world.memory, record, by=Person(name="maria"), reason="x")
            raise StateConflict("the disk said no")

        with pytest.raises(StateConflict, match="the disk"):
            await world.store.transact(broken)
        assert world.authenticator.verify(opened.token.token).agent == "refund-bot"
        assert (await world.exchange(Proof.CODE, code, workflow="notes")).status_code == 200

    asyncio.run(story())


def test_a_changed_owner_reaches_the_next_token(world: World) -> None:
    async def story() -> None:
        moved = Agent(name="refund-bot", owner="deng", backup="maria")
        await world.store.transact(lambda each: agents.declare(each, [moved]))
        opened = await world.open_run()
        assert world.authenticator.verify(opened.token.token).owner == "deng"
        assert replace(moved) == moved

    asyncio.run(story())


def test_a_person_starts_a_run_with_a_code_and_gets_no_token(world: World) -> None:
    async def story() -> None:
        async with await world.signed_in("maria") as client:
            answer = await client.post("/api/v1/runs", json={"workflow": "refunds"})
            assert answer.status_code == 201
            assert "access_token" not in answer.json()
            code = answer.json()["code"]
            assert (await client.post("/api/v1/runs", json={"workflow": "nothing"})).status_code == 404
        given = (await world.exchange(Proof.CODE, code, attended="true")).json()
        run = await world.store.read(lambda each: runs.get(each, given["run"]))
        assert (run.started_by, run.attended) == ("maria", True)
        (entry,) = await world.audited("run.requested")
        assert entry.person == "maria"
        async with await world.signed_in("vera") as client:
            assert (await client.post("/api/v1/runs", json={"workflow": "refunds"})).status_code == 403
            assert (await client.post(f"/api/v1/runs/{run.id}/end", json={})).status_code == 403
            listed = (await client.get("/api/v1/runs", params={"state": "open"})).json()["items"]
            assert [each["id"] for each in listed] == [run.id]
            assert (await client.get("/api/v1/runs", params={"state": "odd"})).status_code == 400
            assert (await client.get(f"/api/v1/runs/{run.id}")).json()["calls"] == {}
        async with await world.signed_in("deng") as client:
            ended = await client.post(f"/api/v1/runs/{run.id}/end", json={"reason": "enough"})
            assert (ended.json()["state"], ended.json()["reason"]) == ("ended", "enough")

    asyncio.run(story())


def test_a_run_keeps_the_workflow_version_it_opened_with(world: World) -> None:
    from interlock.core.bundle import compile_bundle
    from support.identity import an_organisation

    async def story() -> None:
        opened = await world.open_run()
        world.memory.bundle = compile_bundle(an_organisation(), environment="dev", versions={"refunds": 2})
        renewed = (await world.exchange(Proof.RUN_TOKEN, opened.token.token)).json()
        assert renewed["workflow"] == "refunds@1"
        assert world.authenticator.verify(renewed["access_token"]).workflow_version == 1
        assert (await world.open_run()).run.workflow_version == 2

    asyncio.run(story())
