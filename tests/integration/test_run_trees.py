"""A run that starts runs: one purse, one scope cut to what all hold, one end (B9, invariant 3)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interlock.core.admission import decide
from interlock.core.bundle import compile_bundle
from interlock.core.document.kind import AnyDocument
from interlock.core.document.rule import Rule
from interlock.core.document.spending import Budget
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import Principal, Request, Verdict
from interlock.core.snapshot import RunFacts
from interlock.services.close_run import close_run
from interlock.services.exchange import NEW, Proof
from interlock.store import run_facts, run_starts, runs
from interlock.store.live_accounts import Held
from interlock.store.memory import Memory
from support.engine import World as Engine
from support.engine import a_manifest
from support.identity import World, small_world, world
from support.money import Purse, a_bundle, a_principal

__all__ = ["small_world", "world"]

ABOVE = (("run_1", "orders"),)
CHILD = Workflow(name="lookups", agent="bot", owner="maria", budget=Budget(run=2_000, day=5_000))


async def a_run(world: World, workflow: str = "refunds", **more: Any) -> dict[str, Any]:
    answer = await world.exchange(Proof.CODE, await world.code(), workflow=workflow, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def below(world: World, parent: dict[str, Any], **more: Any) -> Any:
    return await world.exchange(Proof.RUN_TOKEN, parent["access_token"], run=NEW, **more)


def test_a_run_token_starts_a_run_of_the_same_agent_with_no_more_than_both_may_do(world: World) -> None:
    async def story() -> None:
        parent = await a_run(world)
        child = (await below(world, parent, workflow="notes")).json()
        assert child["scope"] == "crm.note"
        principal = world.authenticator.verify(child["access_token"])
        assert principal.run == child["run"] != parent["run"]
        assert principal.actors == ("refund-bot",)
        assert principal.scope == frozenset({"crm.note"})
        assert world.memory.runs[child["run"]].above == ((parent["run"], "refunds"),)
        opened = await world.store.read(lambda each: runs.get(each, child["run"]))
        assert (opened.parent, opened.started_by) == (parent["run"], "maria")

    asyncio.run(story())


def test_a_narrow_token_starts_runs_that_are_no_wider(world: World) -> None:
    async def story() -> None:
        parent = await a_run(world, scope="crm.lookup")
        twin = (await below(world, parent)).json()
        assert (twin["scope"], twin["workflow"]) == ("crm.lookup", "refunds@1")
        notes = (await below(world, parent, workflow="notes")).json()
        assert notes["scope"] == ""
        renewed = (await world.exchange(Proof.RUN_TOKEN, notes["access_token"])).json()
        assert renewed["scope"] == ""

    asyncio.run(story())


def test_another_agents_workflow_needs_that_agents_own_proof(world: World) -> None:
    async def story() -> None:
        parent = await a_run(world)
        refused = await below(world, parent, workflow="other")
        assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
        code = await world.code("other-bot")
        child = (
            await below(world, parent, workflow="other", actor_token=code, actor_token_type=Proof.CODE.value)
        ).json()
        principal = world.authenticator.verify(child["access_token"])
        assert (principal.agent, principal.actors) == ("other-bot", ("refund-bot",))
        again = await below(
            world, parent, workflow="other", actor_token=code, actor_token_type=Proof.CODE.value
        )
        assert again.json()["error"] == "invalid_grant"
        own = await below(
            world, parent, actor_token=parent["access_token"], actor_token_type=Proof.RUN_TOKEN.value
        )
        assert own.json()["error"] == "invalid_request"

    asyncio.run(story())


def test_what_a_run_started_ends_with_it_and_an_ended_run_starts_nothing(world: World) -> None:
    async def story() -> None:
        parent = await a_run(world)
        child = (await below(world, parent)).json()
        grandchild = (await below(world, child)).json()
        assert [name for name, _ in world.memory.runs[grandchild["run"]].above] == [
            child["run"],
            parent["run"],
        ]
        await close_run(store=world.store, memory=world.memory, run=parent["run"], reason="done", by="x")
        assert not world.memory.runs[grandchild["run"]].open
        assert (await below(world, child)).json()["error"] == "invalid_grant"

    asyncio.run(story())


def test_runs_above_are_known_after_a_restart_with_what_was_called_below(world: World) -> None:
    async def story() -> None:
        parent = await a_run(world)
        child = (await below(world, parent)).json()
        facts = await world.store.read(lambda found: list(run_facts.load_facts(found)))
        found = {each.run: each for each in facts}
        assert found[child["run"]].above == ((parent["run"], "refunds"),)
        assert found[parent["run"]].above == ()

    asyncio.run(story())


def test_a_run_pays_into_the_accounts_of_the_run_that_started_it(tmp_path: Path) -> None:
    async def story() -> None:
        bundle = a_bundle(CHILD, workflow=Budget(run=1_000))
        purse = await Purse.open(tmp_path, "", bundle)
        purse.open_run("run_1")
        purse.open_run("run_2", "lookups", above=ABOVE)
        child = a_principal("run_2", "lookups")
        await purse.spend(300, by=child)
        await purse.spend(900)
        now = purse.clock.now()
        spent = {each.key.name: each.spent for each in purse.budgets.accounts(child, now)}
        assert spent == {"run_2": 300, "lookups": 300, "run_1": 1_200}
        refused = purse.hold(1, 301, by=child)
        assert refused.scope == "run run_1"
        assert isinstance(purse.hold(1, 300, by=child), Held)
        await purse.budgets.flush()
        await purse.close()

    asyncio.run(story())


@pytest.fixture
def manifest() -> list[AnyDocument]:
    """A parent that may write twice, for order 1 only and never for order 9; a child that may do more."""
    parent = Workflow(
        name="parents",
        agent="bot",
        owner="maria",
        tools=(
            Grant(tool="shop.write", where={"args.order": {"le": 5}}, max_calls=2),
            Grant(tool="shop.read"),
        ),
        rules=(Rule(id="never-3", tool="shop.write", then=Verdict.DENY, when={"args.order": 3}),),
    )
    return a_manifest(parent)


def test_every_limit_of_the_run_above_holds_below(tmp_path: Path, manifest: list[AnyDocument]) -> None:
    async def story() -> None:
        engine = await Engine(tmp_path).open(manifest)
        top = await engine.open_run("parents")
        start = run_starts.RunStart(
            workflow="orders", agent="bot", started_by="kim", lease_until=1 << 60, parent=top
        )
        child = (await engine.store.transact(lambda tx: run_starts.start(tx, engine.memory, start)))[0].id

        def said(tool: str, order: int) -> str:
            decision = decide(
                Request(tool=tool, arguments={"order": order}, digest="d", principal=engine.principal(child)),
                engine.memory.snapshot(engine.principal(child), tool),
                engine.clock.now(),
            )
            return decision.reason.code if decision.denied else "allowed"

        assert said("shop.write", 1) == "allowed"
        assert said("shop.write", 9) == "out_of_scope"
        assert said("shop.refund", 1) == "not_in_scope"
        assert said("shop.write", 3) != "allowed"
        for _ in range(2):
            engine.memory.count_call(child, "shop.write")
        assert said("shop.write", 1) == "max_calls"
        engine.memory.uncount_call(child, "shop.write")
        assert said("shop.write", 1) == "allowed"
        engine.memory.close_run(top)
        assert said("shop.read", 1) == "run_closed"
        await engine.close()

    asyncio.run(story())


def test_a_run_above_that_is_not_known_has_ended() -> None:
    memory = Memory(environment="dev", bundle=compile_bundle(a_manifest(), environment="dev"))
    memory.open_run(RunFacts(run="run_2", workflow="orders", version=1, above=ABOVE))
    principal: Principal = a_principal("run_2")
    above = memory.snapshot(principal, "shop.read").above
    assert [(each.run, each.open) for each in above] == [("run_1", False)]
