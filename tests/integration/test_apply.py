"""Applying a manifest on both databases: atomic, versioned, narrowing at once, widening agreed by another."""

from __future__ import annotations

import asyncio
import functools
import json
import stat
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.core import version
from interlock.core.bundle import BundleInvalid
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.document.rule import Policy, Rule
from interlock.core.document.spending import Budget, Models
from interlock.core.document.tool import ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import Verdict, WireFamily
from interlock.errors import NotFound, NotPermitted, StateConflict, UsageError
from interlock.runtime import Runtime
from interlock.services.apply import Applied, Apply, Order
from interlock.services.decide_change import DecideChange
from interlock.services.load_bundle import load_bundle
from interlock.services.plan import plan
from interlock.settings import Settings
from interlock.store import agents, changes, documents, people
from interlock.store.agents import AgentState
from interlock.store.changes import ChangeState
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.store.schema import audit
from interlock.store.schema import bundles as bundle_rows
from support.policies import a_workflow
from support.policies import documents as a_manifest
from support.stores import a_settings

ENV = "production"
UPDATE = Grant(tool="crm.update", where={"args.n": {"le": 5}}, max_calls=5)
WIDER = replace(UPDATE, where={"args.n": {"le": 9}})
ADMIN = Person(name="root", email="root@example.com", roles=("admin",))


def manifest(*grants: Grant, more: tuple[AnyDocument, ...] = (), **changes: Any) -> tuple[AnyDocument, ...]:
    """Return a manifest of four people; `root` is the administrator, `maria` owns the workflow."""
    flow = a_workflow(*(grants or (UPDATE,)), **changes)
    writer = Person(name="writer", email="w@example.com", roles=("policy_author",))
    return (*a_manifest(flow), ADMIN, writer, *more)


class Office:
    """The use cases on one store, as the API would call them."""

    def __init__(self, store: Store, path: Path, **over: Any) -> None:
        self.store = store
        self.settings: Settings = a_settings(path, environment=ENV, **over)
        self.settings.data.mkdir(parents=True, exist_ok=True)
        self.memory = Memory(environment=self.settings.environment)

    async def apply(
        self, declared: tuple[AnyDocument, ...], author: str | None = "writer", **over: Any
    ) -> Applied:
        use = Apply(store=self.store, memory=self.memory, settings=self.settings, runtime=Runtime.real())
        return await use.apply(Order(declared=declared, author=author, **over))

    @property
    def decide(self) -> DecideChange:
        return DecideChange(store=self.store, memory=self.memory, settings=self.settings)

    async def roles(self, name: str) -> frozenset[str]:
        found = await self.store.read(lambda connection: people.find(connection, name))
        assert found is not None
        return found.roles

    async def approve(self, change: str | None, person: str, reason: str = "") -> Any:
        assert change is not None
        roles = await self.roles(person)
        return await self.decide.approve(change, person=person, roles=roles, reason=reason)

    async def kinds(self) -> list[str]:
        query = sa.select(audit.c.kind).order_by(audit.c.seq)
        return await self.store.read(lambda connection: list(connection.execute(query).scalars()))

    async def superseded(self) -> list[tuple[str, str, str]]:
        """Return who superseded which change and why, as it is on record."""
        query = sa.select(audit.c.person, audit.c.body).where(audit.c.kind == "change.superseded")
        rows = await self.store.read(lambda connection: connection.execute(query).all())
        bodies = [(person, json.loads(body)) for person, body in rows]
        return [(person, body["change"], body["reason"]) for person, body in bodies]

    def limit(self) -> Any:
        assert self.memory.bundle is not None
        return self.memory.bundle.workflows["refunds"].document.tools[0]

    def flow(self) -> Workflow:
        assert self.memory.bundle is not None
        return self.memory.bundle.workflows["refunds"].document

    def label(self) -> str:
        assert self.memory.bundle is not None
        return self.memory.bundle.workflows["refunds"].label


def story(told: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let a test be an async function."""

    @functools.wraps(told)
    def run(**fixtures: Any) -> None:
        asyncio.run(told(**fixtures))

    return run


@pytest.fixture
def office(store: Store, tmp_path: Path) -> Office:
    return Office(store, tmp_path)


@story
async def test_the_first_apply_makes_the_administrator(office: Office) -> None:
    done = await office.apply(manifest(), author=None)
    assert (done.version, done.acted, done.administrator, done.workflows) == (1, True, "root", {"refunds": 1})
    stored = office.settings.data / "credentials.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    token = json.loads(stored.read_text())["token"]
    assert token == done.token
    person = await office.store.read(lambda connection: people.by_token(connection, token, 0))
    assert person is not None
    assert person.name == "root"
    assert "manifest.bootstrapped" in await office.kinds()
    again = await office.apply(manifest())
    assert (again.version, again.acted, again.token, again.change) == (1, False, None, None)


@story
async def test_the_first_apply_needs_exactly_one_administrator(office: Office) -> None:
    with pytest.raises(UsageError, match="nobody has it"):
        await office.apply(tuple(a_manifest()), author=None)
    second = Person(name="boss", email="b@example.com", roles=("admin",))
    with pytest.raises(UsageError, match="root, boss"):
        await office.apply(manifest(more=(second,)), author=None)
    with pytest.raises(UsageError):
        await office.apply(manifest(), author=None, admin="maria")
    done = await office.apply(manifest(more=(second,)), author=None, admin="boss")
    assert done.administrator == "boss"


@story
async def test_nobody_applies_without_a_name_once_there_are_people(office: Office) -> None:
    await office.apply(manifest(), author=None)
    with pytest.raises(UsageError, match="signed in"):
        await office.apply(manifest(WIDER), author=None)


@story
async def test_a_narrowing_acts_at_once_and_is_a_new_version(office: Office) -> None:
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(replace(UPDATE, max_calls=1)))
    assert (done.version, done.acted, done.change, done.workflows) == (2, True, None, {"refunds": 2})
    assert office.limit().max_calls == 1
    assert office.label() == "refunds@2"


@story
async def test_a_widening_waits_for_a_named_person_other_than_its_author(office: Office) -> None:
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(WIDER))
    assert not done.acted
    assert done.waits_for == ("maria", "root")
    assert office.limit() == UPDATE
    with pytest.raises(NotPermitted, match="author"):
        await office.approve(done.change, "writer")
    with pytest.raises(NotPermitted, match="may not decide"):
        await office.approve(done.change, "deng")
    assert office.limit() == UPDATE
    decided = await office.approve(done.change, "maria", "agreed in review")
    assert (decided.version, decided.workflows) == (2, {"refunds": 2})
    assert office.limit() == WIDER
    with pytest.raises(StateConflict, match="approved"):
        await office.approve(done.change, "root")
    last = ["change.proposed", "deployment.registered", "change.approved"]
    assert (await office.kinds())[-3:] == last


@story
async def test_a_mixed_change_narrows_at_once_and_widens_when_agreed(office: Office) -> None:
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(replace(WIDER, max_calls=1)))
    assert done.acted
    assert office.limit() == replace(UPDATE, max_calls=1)
    again = await office.apply(manifest(replace(WIDER, max_calls=1)))
    assert (again.acted, again.change) == (False, done.change)
    found, named = await office.decide.show(str(done.change))
    assert [str(each) for each in found.differences] == [
        "Workflow refunds: tool crm.update args.n widened from up to 5 to up to 9"
    ]
    assert named == ("maria", "root")
    await office.approve(done.change, "root")
    assert office.limit() == replace(WIDER, max_calls=1)
    assert office.label() == "refunds@3"


@story
async def test_a_change_cannot_bring_its_own_approver(office: Office) -> None:
    await office.apply(manifest(), author=None)
    crony = Person(name="crony", email="c@example.com", roles=("admin",))
    done = await office.apply(manifest(WIDER, more=(crony,)))
    assert "crony" not in done.waits_for


@story
async def test_a_token_narrowed_below_the_role_cannot_decide(office: Office) -> None:
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(WIDER))
    with pytest.raises(NotPermitted):
        await office.decide.approve(str(done.change), person="root", roles=frozenset({"viewer"}))


@story
async def test_a_change_whose_base_moved_is_refused_and_says_what_to_do(office: Office) -> None:
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(WIDER))
    await office.apply(manifest(replace(UPDATE, max_calls=2)), author="root")
    with pytest.raises(StateConflict, match="superseded: version 2 was applied"):
        await office.approve(done.change, "maria")
    assert await office.superseded() == [("root", done.change, "version 2 was applied")]
    assert office.limit().max_calls == 2


@story
async def test_a_plan_that_is_out_of_date_is_not_applied(office: Office) -> None:
    await office.apply(manifest(), author=None)
    with pytest.raises(StateConflict, match="version 1 is in force"):
        await office.apply(manifest(WIDER), base=0)
    assert (await office.apply(manifest(WIDER), base=1)).change


@story
async def test_a_rejection_has_a_reason_and_ends_the_change(office: Office) -> None:
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(WIDER))
    with pytest.raises(UsageError, match="reason"):
        await office.decide.reject(str(done.change), person="maria", roles=(), reason=" ")
    await office.decide.reject(str(done.change), person="maria", roles=(), reason="too much")
    [found] = await office.store.read(changes.listed)
    assert (found.state, found.decided_by, found.reason) == (ChangeState.REJECTED, "maria", "too much")
    assert office.limit() == UPDATE
    assert (await office.kinds())[-1] == "change.rejected"


@story
async def test_an_author_withdraws_a_change_and_a_newer_one_takes_its_place(office: Office) -> None:
    await office.apply(manifest(), author=None)
    first = await office.apply(manifest(WIDER))
    second = await office.apply(manifest(replace(WIDER, max_calls=9)))
    waiting = await office.store.read(lambda connection: changes.listed(connection, waiting=True))
    assert [each.id for each in waiting] == [second.change]
    assert first.change != second.change
    assert await office.superseded() == [("writer", first.change, "its author applied again")]
    done = await office.decide.reject(str(second.change), person="writer", roles=(), reason="mistake")
    assert done.state is ChangeState.REJECTED
    with pytest.raises(NotFound):
        await office.decide.show("chg_none")


@story
async def test_documents_that_do_not_compile_never_replace_a_good_bundle(office: Office) -> None:
    await office.apply(manifest(), author=None)
    good = office.memory.bundle
    with pytest.raises(BundleInvalid):
        await office.apply(manifest(Grant(tool="nobody.knows")))
    assert office.memory.bundle is good
    history = await office.store.read(lambda each: documents.history(each, ENV))
    assert [each.version for each in history] == [1]


@story
async def test_what_fails_half_way_changes_nothing(office: Office) -> None:
    await office.apply(manifest(), author=None)
    good = office.memory.bundle
    await office.store.transact(
        lambda tx: agents.move(tx, agents.get(tx.connection, "refund-bot"), AgentState.RETIRED)
    )
    without = tuple(each for each in manifest(replace(UPDATE, max_calls=1)) if each.name != "writer")
    with pytest.raises(StateConflict, match="was retired"):
        await office.apply(without, author="root")
    writer = await office.store.read(lambda connection: people.find(connection, "writer"))
    assert writer is not None
    assert not writer.disabled
    assert office.memory.bundle is good
    assert await office.store.read(lambda each: documents.head_version(each, ENV)) == 1


@story
async def test_two_applies_at_once_leave_one_after_the_other(office: Office) -> None:
    await office.apply(manifest(), author=None)
    tighter = [manifest(replace(UPDATE, max_calls=calls)) for calls in (4, 3)]
    done = await asyncio.gather(*(office.apply(each) for each in tighter))
    assert sorted(each.version for each in done) in ([2, 2], [2, 3])
    history = await office.store.read(lambda each: documents.history(each, ENV))
    assert [each.version for each in history] == list(range(len(history), 0, -1))


@story
async def test_no_thread_that_calls_wait_for_compiles_a_bundle(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy: set[int] = set()
    compiled = version.compiled

    def noticed(*given: Any) -> Any:
        busy.add(threading.get_ident())
        return compiled(*given)

    monkeypatch.setattr(version, "compiled", noticed)
    await office.apply(manifest(), author=None)
    writer = await office.store.transact(lambda _: threading.get_ident())
    assert busy
    assert not busy & {writer, threading.get_ident()}


@story
async def test_people_and_agents_follow_the_manifest(office: Office) -> None:
    bot = Agent(name="second-bot", owner="maria")
    await office.apply(manifest(more=(bot,)), author=None)
    records = await office.store.read(agents.everyone)
    assert {each.name: each.owner for each in records} == {"refund-bot": "maria", "second-bot": "maria"}
    done = await office.apply(manifest())
    assert any("second-bot" in note and "not retired" in note for note in done.notes)
    assert len(await office.store.read(agents.everyone)) == 2
    without = tuple(each for each in manifest() if each.name != "writer")
    await office.apply(without, author="root")
    gone = await office.store.read(lambda connection: people.find(connection, "writer"))
    assert gone is not None
    assert gone.disabled


@story
async def test_a_version_number_is_never_used_twice(office: Office) -> None:
    await office.apply(manifest(), author=None)
    without = tuple(each for each in manifest() if not isinstance(each, Workflow))
    await office.apply(without)
    done = await office.apply(manifest(), author="writer")
    await office.approve(done.change, "root")
    assert office.label() == "refunds@1"  # the very content that was refunds@1
    await office.apply(without)
    done = await office.apply(manifest(WIDER))
    await office.approve(done.change, "root")
    assert office.label() == "refunds@2"


@story
async def test_a_policy_makes_every_workflow_a_new_version(office: Office) -> None:
    await office.apply(manifest(), author=None)
    rule = Rule(id="no", tool="*", then=Verdict.DENY, when={"run.taints": {"contains": "web"}})
    done = await office.apply(manifest(more=(Policy(name="all", rules=(rule,)),)))
    assert done.workflows == {"refunds": 2}


@story
async def test_self_approval_is_for_dev_alone(store: Store, tmp_path: Path) -> None:
    office = Office(store, tmp_path, self_approve=True)
    await office.apply(manifest(), author=None)
    assert (await office.apply(manifest(WIDER))).change


@story
async def test_dev_may_be_set_to_approve_itself(store: Store, tmp_path: Path) -> None:
    office = Office(store, tmp_path, self_approve=True)
    office.settings = replace(office.settings, environment="dev")
    office.memory = Memory(environment="dev")
    await office.apply(manifest(), author=None)
    done = await office.apply(manifest(WIDER))
    assert (done.acted, done.change) == (True, None)


@story
async def test_a_plan_says_what_an_apply_then_does(office: Office) -> None:
    async def planned(declared: tuple[AnyDocument, ...]) -> Any:
        return await plan(
            store=office.store,
            settings=office.settings,
            runtime=Runtime.real(),
            declared=declared,
            author="writer",
        )

    first = await planned(manifest())
    assert (first.base, first.acts, first.waits, first.workflows) == (0, True, False, {"refunds": 1})
    await office.apply(manifest(), author=None)
    assert (await planned(manifest())).differences == ()
    elsewhere = ToolServer(name="x", transport="stdio", command=("x",), environment="staging")
    mixed = await planned(manifest(replace(WIDER, max_calls=1), more=(elsewhere,)))
    assert (mixed.base, mixed.acts, mixed.waits, mixed.waits_for) == (1, True, True, ("maria", "root"))
    assert "other environments" in mixed.notes[0]
    assert office.limit() == UPDATE


@story
async def test_a_started_process_decides_on_what_was_applied(office: Office) -> None:
    memory = Memory(environment=ENV)
    assert await load_bundle(office.store, memory, office.settings) is None
    await office.apply(manifest(), author=None)
    await office.apply(manifest(replace(UPDATE, max_calls=1)))
    found = await load_bundle(office.store, memory, office.settings)
    assert found is memory.bundle
    assert found is not None
    assert office.memory.bundle is not None
    assert found.digest == office.memory.bundle.digest
    assert found.workflows["refunds"].label == "refunds@2"


@story
async def test_documents_that_cannot_be_read_deny_everything_and_say_so(office: Office) -> None:
    await office.apply(manifest(), author=None)
    await office.store.transact(lambda each: each.execute(sa.update(bundle_rows).values(body="[{}]")))
    memory = Memory(environment=ENV)
    assert await load_bundle(office.store, memory, office.settings) is None
    assert memory.bundle is None
    assert (await office.kinds())[-1] == "manifest.unusable"


HOUSE = Provider(
    name="house",
    base_url="https://models.example.com/v1",
    wire_formats=(WireFamily.OPENAI,),
    models=(ProviderModel(name="large"), ProviderModel(name="small")),
)


def spending(run: int, *models: str, at: str = HOUSE.base_url) -> tuple[AnyDocument, ...]:
    """Return a manifest whose workflow may call `models` for `run` nano-dollars a run."""
    return manifest(
        more=(replace(HOUSE, base_url=at),), models=Models(allow=models), budget=Budget(run=run, day=100)
    )


@story
async def test_less_money_acts_at_once_and_one_more_model_waits(office: Office) -> None:
    await office.apply(spending(9, "small"), author=None)
    done = await office.apply(spending(5, "small", "large"))
    assert done.acted
    assert sorted(str(each.words) for each in done.differences) == [
        "budget of a run narrowed from 0.000000009 USD to 0.000000005 USD",
        "model large added",
    ]
    flow = office.flow()
    assert (flow.budget, flow.models.allow) == (Budget(run=5, day=100), ("small",))
    assert office.label() == "refunds@1", "open runs go on, within the smaller budget"
    await office.approve(done.change, "maria")
    assert office.flow().models.allow == ("small", "large")
    assert office.label() == "refunds@2"


@story
async def test_another_address_of_a_provider_waits_for_who_owns_a_workflow_of_it(
    office: Office,
) -> None:
    await office.apply(spending(9, "small"), author=None)
    done = await office.apply(spending(9, "small", at="https://elsewhere.example.com/v1"))
    assert (done.acted, done.waits_for) == (False, ("maria", "root"))
    assert office.memory.bundle is not None
    assert office.memory.bundle.providers["house"].base_url == HOUSE.base_url
