"""What a tool server asks during a call is put to people, who answer, decline, or let it pass (F2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from interlock.core.approval import Approval, Decider
from interlock.core.document.identity import Person
from interlock.core.document.tool import Companion
from interlock.core.document.workflow import Approvals
from interlock.core.model import RiskTier
from interlock.errors import NotPermitted, UsageError
from interlock.store import actions, approvals, people
from interlock.store.schema import approvals as rows
from interlock.store.schema import audit, timers
from interlock.web.api import build_api
from interlock.web.approval_view import use
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop

MARIA, DENG, STARTER = Decider(name="maria"), Decider(name="deng"), Decider(name="test")
ROUTE = Approvals(approvers=("maria", "test"), escalation=("deng",))
Story = Callable[[Gateway, Any], Awaitable[None]]


@pytest.fixture(params=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """The protocol era of the tool server."""
    return request.param


def play(data: Path, era: str, story: Story, tier: RiskTier = RiskTier.LIMITED_WRITE, **more: Any) -> None:
    """Play a story with a client of the modern era; people are asked what the server asks."""
    server = workshop("desk", *(("--legacy",) if era == "legacy" else ()))
    undo = Companion(tool="desk.echo", arguments={}) if tier is RiskTier.LIMITED_WRITE else None
    tools = [replace(a_tool("desk.ask", tier), undo=undo), a_tool("desk.echo")]
    starter = Person(name="test", email="test@example.com")
    documents = (starter, *a_manifest([server], tools, elicitation="people", approvals=ROUTE))

    async def run() -> None:
        async with (
            a_gateway(documents, data, inline_wait=0, **more) as gateway,
            gateway.client(await gateway.token()) as client,
        ):
            await story(gateway, client)

    asyncio.run(run())


async def question(gateway: Gateway) -> Approval:
    """Return the one question that waits, as soon as there is one."""
    for _ in range(1000):
        found = await gateway.wired.store.read(lambda found: approvals.listed(found))
        if found:
            return found[0]
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was asked")


async def collected(client: Any) -> Any:
    """Make the identical call until it is over."""
    for _ in range(1000):
        told = await client.call_tool("ask", {})
        if (told.structured_content or {}).get("status") != "pending_approval":
            return told
        await asyncio.sleep(0.01)
    raise AssertionError("it never ended")


async def answered(gateway: Gateway, approval: str, value: Any, person: Decider = MARIA) -> None:
    done = await use(gateway.wired).answer(approval, person, value=value)
    gateway.wired.calls.decided(done.action)


async def read(gateway: Gateway, path: str) -> Any:
    """Return what maria is shown over the API."""
    made = await gateway.wired.store.transact(lambda transaction: people.add_token(transaction, "maria"))
    transport = httpx2.ASGITransport(app=build_api(gateway.wired))
    headers = {"Authorization": f"Bearer {made.secret}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
        return (await client.get(f"/api/v1/{path}")).json()


async def kinds(gateway: Gateway) -> list[str]:
    query = sa.select(audit.c.kind).order_by(audit.c.seq)
    return await gateway.wired.store.read(lambda found: list(found.execute(query).scalars()))


def test_people_are_asked_what_a_server_asks_and_the_answer_goes_back_in_the_same_call(
    tmp_path: Path, era: str
) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        told = await client.call_tool("ask", {})
        assert told.structured_content["status"] == "pending_approval"
        assert "waits for a person to answer" in told.content[0].text
        asked = await question(gateway)
        assert (asked.kind.value, asked.of_server, asked.stage) == ("input", True, "approvers")
        assert asked.arguments is not None
        assert (asked.arguments["server"], asked.arguments["message"]) == ("desk", "Who are you?")
        assert await read(gateway, "approvals/digest") == {"items": [], "next": None}
        shown = await read(gateway, f"approvals/{asked.id}")
        assert (shown["question"]["server"], shown["call"]["tool"]) == ("desk", "desk.ask")
        for person in (DENG, Decider(name="bot"), STARTER):
            with pytest.raises(NotPermitted):
                await answered(gateway, asked.id, {"name": "x"}, person)
        with pytest.raises(UsageError, match="asks for an answer"):
            await use(gateway.wired).approve(asked.id, MARIA)
        for wrong in ("Ann", {"name": 3}, {}):
            with pytest.raises(UsageError, match="does not fit"):
                await answered(gateway, asked.id, wrong)
        await answered(gateway, asked.id, {"name": "Ann"})
        done = await collected(client)
        assert done.content[0].text == "accept: Ann"
        action = await gateway.wired.store.read(lambda found: actions.get(found, asked.action))
        assert (action.approval, action.attempt) == ("", 1)
        said = await kinds(gateway)
        assert [each for each in said if each.startswith(("question", "approval.a"))] == [
            "question.asked",
            "approval.answered",
        ]

    play(tmp_path, era, story, RiskTier.READ_ONLY)


def test_a_no_a_silence_and_the_end_of_the_call_are_told_apart_and_are_no_answer(
    tmp_path: Path, era: str
) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        await client.call_tool("ask", {})
        asked = await question(gateway)
        await use(gateway.wired).reject(asked.id, MARIA, reason="none of its business")
        assert (await collected(client)).content[0].text == "decline: None"
        await client.call_tool("ask", {})
        late = await question(gateway)

        def over(transaction: Any) -> None:
            transaction.execute(sa.update(rows).where(rows.c.id == late.id).values(expires_at=1))
            transaction.execute(sa.update(timers).where(timers.c.ref == late.id).values(due_at=1))

        await gateway.wired.store.transact(over)
        assert (await collected(client)).content[0].text == "cancel: None"
        ended = await gateway.wired.store.read(lambda found: approvals.get(found, late.id))
        assert (ended.state.value, ended.decided_by) == ("expired", "")
        await client.call_tool("ask", {})
        last = await question(gateway)

        def stop(transaction: Any) -> None:
            action = actions.get(transaction.connection, last.action)
            approvals.cancel(transaction, gateway.wired.memory, action, by="maria", reason="enough")

        await gateway.wired.store.transact(stop)
        stopped = await gateway.wired.store.read(lambda found: approvals.get(found, last.id))
        assert (stopped.state.value, stopped.reason) == (
            "cancelled",
            "the call does not wait for it any more",
        )

    play(tmp_path, era, story)


def test_no_client_answers_in_the_place_of_people(tmp_path: Path, era: str) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        del client

        async def elicited(context: Any, params: Any) -> Any:
            raise AssertionError("the client was asked")

        for mode in ("auto", "legacy"):
            token = await gateway.token()
            async with gateway.client(token, mode=mode, elicitation_callback=elicited) as own:
                told = await own.call_tool("ask", {})
                assert told.structured_content["status"] == "pending_approval"

    play(tmp_path, era, story)


def test_an_answer_is_no_approval_of_the_call_and_takes_none_away(tmp_path: Path, era: str) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        pending = (await client.call_tool("ask", {})).structured_content
        done = await use(gateway.wired).approve(pending["approval_id"], MARIA)
        gateway.wired.calls.decided(done.action)
        asked = await question(gateway)
        assert asked.id != pending["approval_id"]
        action = await gateway.wired.store.read(lambda found: actions.get(found, asked.action))
        assert action.approval == pending["approval_id"]
        await answered(gateway, asked.id, {"name": "Ann"})
        assert (await collected(client)).content[0].text == "accept: Ann"

    play(tmp_path, era, story, RiskTier.HIGH_BLAST_RADIUS)
