"""An agent asks a person, and only a person answers: in words, or with a value that fits (F2, F4)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interlock.core.approval import Decider
from interlock.core.document.tool import ToolServer
from interlock.core.document.workflow import Approvals, Grant
from interlock.errors import NotPermitted, StateConflict, UsageError
from interlock.store import approvals
from interlock.web.approval_view import use
from support.gateway import Gateway, a_gateway, a_manifest

MARIA, DENG = Decider(name="maria"), Decider(name="deng")
PEOPLE = ToolServer(name="people", transport="people")
ASKING = (Grant(tool="people.ask"), Grant(tool="people.value"))
NUMBER = {"type": "integer", "minimum": 1, "maximum": 9}


def play(data: Path, story: Any, **workflow: Any) -> None:
    values: dict[str, Any] = {"granted": ASKING, "approvals": Approvals(approvers=("maria",))}
    documents = a_manifest([PEOPLE], [], **values | workflow)

    async def run() -> None:
        async with a_gateway(documents, data, inline_wait=0) as gateway:
            token = await gateway.token()
            async with gateway.client(token) as client:
                await story(gateway, client)

    asyncio.run(run())


async def ask(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """Put a question and return what the pending answer says."""
    told = await client.call_tool(tool, arguments)
    return told.structured_content


async def answered(gateway: Gateway, approval: str, value: Any, person: Decider = MARIA) -> None:
    done = await use(gateway.wired).answer(approval, person, value=value)
    gateway.wired.calls.decided(done.action)


async def collected(client: Any, approval: str) -> Any:
    for _ in range(500):
        told = await client.call_tool("interlock_resume", {"approval_id": approval})
        if told.structured_content.get("status") != "pending_approval":
            return told
        await asyncio.sleep(0.01)
    raise AssertionError("nobody answered")


def test_a_question_waits_for_a_person_and_the_answer_is_the_result(tmp_path: Path) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        names = {each.name for each in (await client.list_tools()).tools}
        assert {"ask", "value", "interlock_resume"} <= names
        pending = await ask(client, "ask", question="Which address is right?")
        assert pending["status"] == "pending_approval"
        with pytest.raises(UsageError, match="asks for an answer"):
            await use(gateway.wired).approve(pending["approval_id"], MARIA)
        with pytest.raises(UsageError, match="words are wanted"):
            await answered(gateway, pending["approval_id"], " ")
        with pytest.raises(NotPermitted):
            await answered(gateway, pending["approval_id"], "mine", DENG)
        await answered(gateway, pending["approval_id"], "The one in Berlin.")
        told = await collected(client, pending["approval_id"])
        assert told.content[0].text == "The one in Berlin."
        assert told.structured_content == {"answer": "The one in Berlin."}
        with pytest.raises(StateConflict, match="already answered by maria"):
            await answered(gateway, pending["approval_id"], "Another.")

    play(tmp_path, story)


def test_a_value_must_fit_the_schema_that_was_asked_for(tmp_path: Path) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        pending = await ask(client, "value", question="How many?", schema=NUMBER)
        for wrong in (0, "3", None, "x" * 30_000):
            with pytest.raises(UsageError, match="does not fit"):
                await answered(gateway, pending["approval_id"], wrong)
        await answered(gateway, pending["approval_id"], 3)
        told = await collected(client, pending["approval_id"])
        assert told.structured_content == {"answer": 3}
        broken = await ask(client, "value", question="How many?", schema={"type": "no such type"})
        with pytest.raises(UsageError, match="does not fit"):
            await answered(gateway, broken["approval_id"], 3)

    play(tmp_path, story)


def test_a_question_that_is_turned_down_or_out_of_scope_gets_no_answer(tmp_path: Path) -> None:
    async def story(gateway: Gateway, client: Any) -> None:
        pending = await ask(client, "ask", question="May I have the password?")
        await use(gateway.wired).reject(pending["approval_id"], MARIA, reason="never")
        told = await client.call_tool("interlock_resume", {"approval_id": pending["approval_id"]})
        assert told.is_error
        assert "never" in told.content[0].text
        beyond = await client.call_tool("value", {"question": "x", "schema": {}})
        assert beyond.is_error
        every = await gateway.wired.store.read(lambda found: approvals.listed(found, state=""))
        assert [(each.kind.value, each.answer) for each in every] == [("answer", None)]

    play(tmp_path, story, granted=(Grant(tool="people.ask"),))
