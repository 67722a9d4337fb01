"""Deployments and going back to the stable one, on both databases: what widens waits, the rest acts."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core.deployment import Deployment
from interlock.core.document.identity import Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.workflow import Grant
from interlock.errors import NotFound, StateConflict, UsageError
from interlock.runtime import Runtime
from interlock.services.apply import Apply, Order
from interlock.services.roll_back import Placed, RollBack, RolledBack
from interlock.settings import Settings
from interlock.store import deployments, state_reviews
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.store.schema import audit
from support.policies import a_workflow
from support.policies import documents as a_manifest
from support.stores import a_settings

ENV = "production"
NARROW = Grant(tool="crm.update", where={"args.n": {"le": 5}}, max_calls=5)
WIDE = replace(NARROW, max_calls=9)
ADMIN = Person(name="root", email="root@example.com", roles=("admin",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The use cases on one store."""

    store: Store
    settings: Settings
    memory: Memory

    async def apply(self, *grants: Grant) -> Placed:
        return await self.put((*a_manifest(a_workflow(*grants)), ADMIN))

    async def put(self, declared: tuple[AnyDocument, ...], restores: str = "") -> Placed:
        use = Apply(store=self.store, memory=self.memory, settings=self.settings, runtime=Runtime.real())
        author = None if self.memory.bundle is None else "root"
        done = await use.apply(Order(declared=declared, author=author, restores=restores))
        return Placed(change=done.change or "", waits_for=done.waits_for, narrowed=done.acted)

    async def back(self, *, to: str = "", reason: str = "it mails the wrong people") -> RolledBack:
        use = RollBack(store=self.store, memory=self.memory, put=self.put)
        return await use.code("refunds", to=to, person="maria", reason=reason)

    async def deployed(self) -> list[Deployment]:
        return await self.store.read(lambda found: deployments.of_workflow(found, ENV, "refunds"))

    async def call_stable(self, deployment: Deployment) -> None:
        await self.store.transact(
            lambda each: deployments.call_stable(each, deployment, by="maria", reason="two weeks of peace")
        )

    def grant(self) -> Grant:
        assert self.memory.bundle is not None
        return self.memory.bundle.workflows["refunds"].document.tools[0]


def story(test: Callable[[Shop], Coroutine[Any, Any, None]]) -> Callable[[Store, Path], None]:
    """Run a test on a shop of its own."""

    @functools.wraps(test)
    def run(store: Store, tmp_path: Path) -> None:
        settings = a_settings(tmp_path, environment=ENV)
        settings.data.mkdir(parents=True, exist_ok=True)
        asyncio.run(test(Shop(store=store, settings=settings, memory=Memory(environment=ENV))))

    run.__dict__.pop("__wrapped__")
    return run


@story
async def test_each_version_that_comes_into_force_is_a_deployment(shop: Shop) -> None:
    await shop.apply(WIDE)
    await shop.apply(NARROW)
    await shop.apply(NARROW)
    assert [(each.version, each.bundle, each.by) for each in await shop.deployed()] == [
        (2, 2, "root"),
        (1, 1, "root"),
    ]


@story
async def test_code_goes_back_to_the_last_stable_version_and_its_state_is_for_the_owner_to_review(
    shop: Shop,
) -> None:
    await shop.apply(NARROW)
    await shop.call_stable((await shop.deployed())[0])
    await shop.apply(replace(NARROW, max_calls=1))
    done = await shop.back()
    assert not done.placed.acts  # five calls where one was allowed: somebody else must agree
    assert (done.placed.waits_for, done.placed.narrowed) == (("maria",), False)
    assert (done.withdrawn.version, done.stable.version) == (2, 1)
    [review] = await shop.store.read(lambda found: state_reviews.listed(found, ENV))
    assert (review.owner, review.deployment) == ("maria", done.withdrawn.id)
    assert (await shop.deployed())[0].withdrawn_at


@story
async def test_a_rollback_that_narrows_acts_at_once_and_is_as_stable_as_what_it_brought_back(
    shop: Shop,
) -> None:
    await shop.apply(NARROW)
    stable = (await shop.deployed())[0]
    await shop.call_stable(stable)
    wider = a_manifest(a_workflow(WIDE))
    self_approving = replace(shop, settings=replace(shop.settings, environment=ENV))
    use = Apply(
        store=shop.store, memory=shop.memory, settings=self_approving.settings, runtime=Runtime.real()
    )
    asked = await use.apply(Order(declared=(*wider, ADMIN), author="root"))
    assert asked.change is not None
    await agree(shop, asked.change)
    assert shop.grant().max_calls == 9
    done = await shop.back()
    assert done.placed.acts
    assert shop.grant().max_calls == 5
    newest = (await shop.deployed())[0]
    assert (newest.version, newest.restores, bool(newest.stable_at)) == (3, stable.id, True)
    with pytest.raises(StateConflict, match="was rolled back"):
        await shop.back(to=done.withdrawn.id)


@story
async def test_a_rollback_that_waits_is_contained_at_once_and_names_what_it_restores_once_agreed(
    shop: Shop,
) -> None:
    await shop.apply(replace(NARROW, where={"args.n": {"le": 2}}))
    stable = (await shop.deployed())[0]
    await shop.call_stable(stable)
    asked = await shop.apply(replace(NARROW, max_calls=1))
    await agree(shop, asked.change)
    bad = (await shop.deployed())[0]
    done = await shop.back()
    assert (done.withdrawn.id, bool(done.withdrawn.withdrawn_at)) == (bad.id, True)
    assert (done.placed.acts, done.placed.narrowed) == (False, True)
    assert (shop.grant().where, shop.grant().max_calls) == ({"args.n": {"le": 2}}, 1)
    meanwhile = (await shop.deployed())[0]
    assert (meanwhile.restores, meanwhile.stable_at) == ("", 0)
    await agree(shop, done.placed.change)
    assert (shop.grant().where, shop.grant().max_calls) == ({"args.n": {"le": 2}}, 5)
    newest = (await shop.deployed())[0]
    assert newest.id != meanwhile.id
    assert (newest.restores, bool(newest.stable_at), newest.stable_by) == (stable.id, True, "maria")


@story
async def test_a_rollback_that_is_turned_down_restores_nothing(shop: Shop) -> None:
    await shop.apply(NARROW)
    await shop.call_stable((await shop.deployed())[0])
    await shop.apply(replace(NARROW, max_calls=1))
    done = await shop.back()
    asked = await shop.apply(replace(NARROW, max_calls=3))  # somebody else's idea, of the same author
    await agree(shop, asked.change)
    assert [each.restores for each in await shop.deployed()] == ["", "", ""]
    with pytest.raises(StateConflict):
        await agree(shop, done.placed.change)


async def agree(shop: Shop, change: str) -> None:
    """Have the owner approve a change."""
    from interlock.services.decide_change import DecideChange

    use = DecideChange(store=shop.store, memory=shop.memory, settings=shop.settings)
    await use.approve(change, person="maria", roles=frozenset({"agent_owner"}), reason="needed")


@story
async def test_without_a_stable_deployment_a_reason_or_a_workflow_nothing_moves(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.back()
    await shop.apply(NARROW)
    await shop.apply(replace(NARROW, max_calls=1))
    with pytest.raises(StateConflict, match="called stable"):
        await shop.back()
    with pytest.raises(UsageError, match="reason"):
        await shop.back(reason=" ")
    with pytest.raises(NotFound):
        await shop.back(to="dep_of_somebody_else")
    assert await shop.store.read(lambda found: state_reviews.listed(found, ENV)) == []
    assert shop.grant().max_calls == 1


@story
async def test_a_rollback_is_on_record_with_who_and_why(shop: Shop) -> None:
    await shop.apply(NARROW)
    await shop.call_stable((await shop.deployed())[0])
    await shop.apply(replace(NARROW, max_calls=1))
    await shop.back()
    query = sa.select(audit.c.person, audit.c.workflow, audit.c.body).where(audit.c.kind == "rollback.code")
    [(person, workflow, body)] = await shop.store.read(lambda found: found.execute(query).all())
    assert (person, workflow) == ("maria", "refunds")
    assert "it mails the wrong people" in body
