"""A program is told what became of its calls: signed, at least once, under one id, without contents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from starlette.applications import Starlette

from interlock.core.answer import Completed, InDoubt, Waiting
from interlock.core.document.identity import Person
from interlock.core.document.tool import Companion
from interlock.core.document.workflow import Grant, Webhook
from interlock.core.model import SECOND, EffectClass, RiskTier
from interlock.errors import InterlockError, NotFound, StateConflict, StoreUnavailable, UsageError
from interlock.services.compensate import Compensate
from interlock.services.deliver import Deliver
from interlock.services.redeliver import Redeliver
from interlock.store import alert_events, deliveries, outcomes, people
from interlock.store.deliveries import About, Delivery
from interlock.store.schema import audit
from interlock.store.schema import deliveries as table
from interlock.web import actions, alerts
from interlock.web import outcomes as web_outcomes
from interlock.web.errors import on_interlock_error
from support.engine import UNKNOWN, World, a_manifest, a_tool, eventually, failed
from support.receivers import KEY, Hook, hook, signed

KEY_REF = "secret://env/HOOK"
TOOLS = (
    a_tool("shop.add", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT,
           undo=Companion(tool="shop.drop", arguments={"order": "$args.order"})),
    a_tool("shop.drop", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT),
)  # fmt: skip
GRANTS = tuple(Grant(tool=f"shop.{each}") for each in ("add", "write", "refund", "later", "read"))


def a_shop(url: str, **webhook: Any) -> list[Any]:
    """The shop, whose orders say where their outcomes are told."""
    return a_manifest(*TOOLS, grants=GRANTS, webhook=Webhook(url=url, key=KEY_REF, **webhook))


class Story:
    """A world, what tells its outcomes, and the program that is told."""

    def __init__(self, world: World, receiver: Hook) -> None:
        self.world, self.receiver = world, receiver

    async def tell(self, **changes: Any) -> int:
        """Send what is due."""
        values: dict[str, Any] = {
            "store": self.world.store, "memory": self.world.memory, "runtime": self.world.runtime,
            "environment": "dev", "secret": {"HOOK": KEY}.get, "private": True, "about": About.OUTCOME,
            "url": "https://interlock.example",
        }  # fmt: skip
        return await Deliver(**values | changes)()

    @property
    def told(self) -> list[dict[str, Any]]:
        """What the program was told, in order."""
        return [json.loads(body) for _, body in self.receiver.got]

    @property
    def states(self) -> list[str]:
        """The states that it was told, in order."""
        return [each["state"] for each in self.told]

    async def outbox(self) -> list[Delivery]:
        """What is on the outbox, oldest first."""
        read = self.world.store.read
        found = await read(lambda c: deliveries.listed(c, "dev", about=About.OUTCOME, limit=500))
        return found[::-1]

    async def ago(self, seconds: int) -> None:
        """Let everything about deliveries have happened earlier."""
        past = {name: table.c[name] - seconds * SECOND for name in ("created_at", "due_at", "lease_until")}
        await self.world.store.transact(lambda tx: tx.execute(sa.update(table).values(past)) and None)

    async def again(self, delivery: str, reason: str = "it lost it") -> Delivery:
        """Have maria tell one again."""
        use = Redeliver(store=self.world.store, memory=self.world.memory)
        return await use(delivery, person="maria", reason=reason)


@asynccontextmanager
async def orders(data: Path, database: str, *answers: int) -> AsyncGenerator[Story]:
    """A shop whose program listens on a real socket."""
    async with hook(*answers) as receiver:
        world = await World(data, database).open(a_shop(receiver.url))
        try:
            yield Story(world, receiver)
        finally:
            await world.close()


async def call(story: Story, tool: str = "shop.write", key: str = "", **arguments: Any) -> Any:
    """Propose one call under the caller's own key."""
    proposal = replace(story.world.proposal(tool, arguments or {"card": "hush"}), idempotency_key=key)
    return await story.world.calls.propose(proposal, bridge=None, wait=0)


def test_an_outcome_is_signed_and_says_what_became_of_which_call(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            answer = await call(story, key="order-5")
            assert isinstance(answer, Completed)
            assert [await story.tell(), await story.tell()] == [1, 0]
            assert answer.action is not None
            (got,) = story.receiver.got
            assert signed(got)
            assert not signed((got[0], got[1].replace(b"succeeded", b"failed   ")))
            (told,), (row,) = story.told, await story.outbox()
            action = await story.world.action(answer.action)
            assert told["event"] == f"{action.id}.{action.fence}"
            assert (told["action"], told["seq"], told["at"]) == (action.id, action.fence, action.ended_at)
            assert (told["state"], told["was"], told["idempotency_key"]) == (
                "succeeded",
                "executing",
                "order-5",
            )
            assert (told["workflow"], told["tool"], told["run"]) == ("orders", "shop.write", story.world.run)
            assert told["link"] == f"https://interlock.example/api/v1/actions/{action.id}/outcome"
            assert got[0]["x-interlock-delivery"] == told["delivery"] == row.id
            assert b"hush" not in got[1]
            assert b"done" not in got[1]

    asyncio.run(run())


def test_what_later_becomes_of_an_outcome_is_told_as_another_event(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            story.world.script.answers = [UNKNOWN]
            lost = await call(story)
            assert isinstance(lost, InDoubt)
            story.world.ahead(600)
            await story.world.store.transact(
                lambda tx: tx.execute(sa.text("UPDATE actions SET lease_until = 1")) and None
            )
            resolved = await story.world.resolve.action(
                lost.action, happened=True, person="maria", reason="seen"
            )
            added = await call(story, "shop.add", order=1)
            assert isinstance(added, Completed)
            assert added.action is not None
            undo = Compensate(store=story.world.store, memory=story.world.memory)
            await undo.action(added.action, person="maria", reason="the wrong order")
            await story.world.until(added.action, "compensated")
            assert await story.tell() == 4
            mine = sorted(
                (each for each in story.told if each["action"] == lost.action), key=lambda e: e["seq"]
            )
            assert [each["state"] for each in mine] == ["in_doubt", resolved.state.value]
            assert mine[1]["was"] == "in_doubt"
            rest = [each for each in story.told if each["action"] == added.action]
            assert sorted(each["state"] for each in rest) == ["compensated", "succeeded"]
            assert len({each["event"] for each in story.told}) == 4

    asyncio.run(run())


def test_a_failure_a_refusal_and_a_cancelled_call_are_told_and_a_wait_and_a_read_are_not(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with orders(tmp_path, "") as story:
            story.world.script.answers = [failed()]
            await call(story, order=1)
            await call(story, "shop.read", order=2)
            waits = await call(story, "shop.refund", order=3)
            assert isinstance(waits, Waiting)
            later = await call(story, "shop.later", order=4)
            await story.tell()
            assert story.states == ["failed"]
            await story.world.cancel.action(later.action, person="maria", reason="no")
            await story.world.cancel.action(waits.action, person="maria", reason="no")
            await story.tell()
            assert story.states == ["failed", "cancelled", "cancelled"]

    asyncio.run(run())


def test_a_crash_between_the_commit_and_the_sending_loses_nothing(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            answer = await call(story)
            await story.world.crash()
            await story.world.reopen()
            assert await story.tell() == 1
            assert [(each["action"], each["state"]) for each in story.told] == [(answer.action, "succeeded")]

    asyncio.run(run())


def test_a_lost_acknowledgement_brings_the_same_event_again(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            await call(story)
            story.receiver.gate = asyncio.Event()
            telling = asyncio.ensure_future(story.tell())
            await eventually(lambda: story.receiver.got)
            await story.world.crash()  # the program was told; that it was is lost
            await asyncio.gather(telling, return_exceptions=True)
            await story.world.reopen()
            story.receiver.gate = None
            await story.ago(180)
            assert await story.tell() == 1
            first, second = story.receiver.got
            assert first[1] == second[1], "told twice in the same words"
            assert signed(second)
            assert first[0]["x-interlock-delivery"] == second[0]["x-interlock-delivery"]

    asyncio.run(run())


def test_an_outcome_that_is_rolled_back_is_not_told(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            answer = await call(story, "shop.later")

            def halfway(transaction: Any) -> None:
                story.world.cancel._cancel(transaction, answer.action, "maria", "no")  # pyright: ignore[reportPrivateUsage]
                raise StoreUnavailable("The disk is full.")

            with pytest.raises(StoreUnavailable):
                await story.world.store.transact(halfway)
            assert await story.tell() == 0

    asyncio.run(run())


def test_what_is_not_taken_is_tried_again_and_then_given_up_on_record(tmp_path: Path) -> None:
    async def run() -> None:
        async with orders(tmp_path, "", 500, 404) as story:
            answer = await call(story)
            await story.tell()
            assert [each.problem for each in await story.outbox()] == ["HTTP 500"]
            await story.ago(60)
            await story.tell()
            (row,) = await story.outbox()
            assert (row.state, row.attempts, row.problem) == ("given_up", 2, "HTTP 404")
            of = sa.select(audit.c.workflow, audit.c.action, audit.c.body).where(
                audit.c.kind == "delivery.given_up"
            )
            (entry,) = await story.world.store.read(lambda c: c.execute(of).all())
            assert entry[:2] == ("orders", answer.action)
            assert json.loads(entry[2])["event"] == f"{row.action}.{row.move}"

    asyncio.run(run())


def test_a_person_has_one_told_again_under_the_same_event(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            await call(story)
            (first,) = await story.outbox()
            with pytest.raises(StateConflict, match="still on its way"):
                await story.again(first.id)
            await story.tell()
            with pytest.raises(UsageError):
                await story.again(first.id, " ")
            again = await story.again(first.id)
            assert await story.tell() == 1
            assert [each["delivery"] for each in story.told] == [first.id, again.id]
            assert len({each["event"] for each in story.told}) == 1
            await story.world.apply(a_manifest(*TOOLS, grants=GRANTS))
            with pytest.raises(StateConflict, match="declares no webhook"):
                await story.again(again.id)
            with pytest.raises(NotFound):
                await story.again("dlv_none")

    asyncio.run(run())


def test_what_the_manifest_does_not_declare_any_more_is_told_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with orders(tmp_path, "") as story:
            await call(story)
            await story.world.apply(a_shop("https://elsewhere.example/"))
            await story.tell()
            (row,) = await story.outbox()
            assert (row.state, story.told) == ("given_up", [])
            assert row.problem == "not called: the manifest does not declare it any more"

    asyncio.run(run())


def test_an_address_inside_is_not_called(tmp_path: Path) -> None:
    async def run() -> None:
        async with orders(tmp_path, "") as story:
            await call(story)
            await story.tell(private=False)
            (row,) = await story.outbox()
            assert (row.state, story.told) == ("given_up", [])

    asyncio.run(run())


def test_a_workflow_with_much_to_tell_does_not_keep_the_others_waiting(
    tmp_path: Path, database_url: str
) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            answer = await call(story)
            action = await story.world.action(answer.action)

            def many(transaction: Any) -> None:
                to = outcomes.receiver(story.world.memory, "orders")
                assert to is not None
                for name, times in (("loud", 30), ("quiet", 1)):
                    for _ in range(times):
                        deliveries.enqueue_outcome(
                            transaction, "dev", action.id, action.fence, replace(to, name=name)
                        )

            await story.world.store.transact(many)
            claimed = await story.world.store.transact(lambda tx: deliveries.claim(tx, "dev", About.OUTCOME))
            assert len(claimed) == deliveries.BATCH
            assert {each.name for each in claimed} == {"orders", "loud", "quiet"}
            assert await story.world.store.read(lambda c: deliveries.any_due(c, "dev", 1 << 60)) is False
            await story.ago(180)
            assert await story.tell() == 32, "one round after the other"

    asyncio.run(run())


def test_a_delivery_tells_of_an_alert_or_of_an_outcome_and_the_database_holds_to_it(
    tmp_path: Path, database_url: str
) -> None:
    async def run() -> None:
        async with orders(tmp_path, database_url) as story:
            await call(story)
            (row,) = await story.outbox()
            event = alert_events.Raised(
                kind=alert_events.AlertKind.BUDGET_SOFT,
                subject="workflow:orders",
                period="day:1",
                summary="72 %",
            )
            raised = await story.world.store.transact(
                lambda tx: alert_events.raise_alert(tx, story.world.memory, event)
            )
            assert raised is not None
            for values in (
                {"event": raised.id},
                {"action": None, "move": None},
                {"action": None},
                {"move": None},
                {"move": 99},
                {"event": "evt_none", "action": None, "move": None},
            ):
                with pytest.raises(IntegrityError):
                    await story.world.store.transact(
                        lambda tx, values=values: (
                            tx.execute(sa.update(table).where(table.c.id == row.id).values(values)) and None
                        )
                    )

    asyncio.run(run())


def test_people_see_what_programs_were_told_and_those_who_answer_have_it_told_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with hook(404) as receiver:
            roles = {"maria": ("agent_owner",), "kim": ("viewer",)}
            persons = [Person(name=name, email="", roles=each) for name, each in roles.items()]
            manifest = [
                each for each in a_shop(receiver.url + "/a-secret-path") if not isinstance(each, Person)
            ]
            world = await World(tmp_path).open([*manifest, *persons, Person(name="deng", email="")])
            story = Story(world, receiver)
            answer = await call(story)
            await story.tell()
            tokens = {
                name: (await world.store.transact(lambda tx, name=name: people.add_token(tx, name))).secret
                for name in roles
            }
            app = Starlette(
                routes=[*web_outcomes.routes, *actions.routes, *alerts.routes],
                exception_handlers={InterlockError: on_interlock_error},
            )
            app.state.wired = SimpleNamespace(
                store=world.store, memory=world.memory, settings=world.settings, runtime=world.runtime,
                authenticator=None,
            )  # fmt: skip

            async def ask(person: str, method: str, path: str, body: Any = None) -> httpx2.Response:
                headers = {"Authorization": f"Bearer {tokens[person]}"}
                transport = httpx2.ASGITransport(app=app)
                async with httpx2.AsyncClient(
                    transport=transport, base_url="http://x", headers=headers
                ) as client:
                    return await client.request(method, f"/api/v1/{path}", json=body)

            path = f"actions/deliveries?action={answer.action}&workflow=orders&state=given_up"
            (shown,) = (await ask("kim", "GET", path)).json()["items"]
            assert shown["event"].startswith(answer.action)
            assert (shown["workflow"], shown["problem"]) == ("orders", "HTTP 404")
            assert [each["detail"] for each in shown["log"]] == ["HTTP 404"]
            assert "a-secret-path" not in json.dumps(shown)
            assert (await ask("kim", "GET", "alerts/deliveries")).json()["items"] == []
            again = f"actions/deliveries/{shown['id']}/again"
            assert (await ask("kim", "POST", again, {"reason": "x"})).status_code == 403
            assert (await ask("maria", "POST", again, {"reason": ""})).status_code == 400
            made = await ask("maria", "POST", again, {"reason": "it was down"})
            assert (made.status_code, made.json()["event"]) == (202, shown["event"])
            await story.tell()
            assert story.states == ["succeeded", "succeeded"]
            await world.close()

    asyncio.run(run())
