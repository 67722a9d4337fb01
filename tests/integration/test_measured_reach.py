"""A real preview through the gateway: small reach passes, large waits, doubt counts as the widest (A1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from interlock.cli.approvals import view
from interlock.core.approval import Decider
from interlock.core.document.rule import Rule
from interlock.core.document.tool import Companion, ToolServer, Variant
from interlock.core.document.workflow import Approvals, Grant
from interlock.core.model import Pin, RiskTier, Verdict
from interlock.errors import UsageError
from interlock.services.approve import Approve
from interlock.store import actions, approvals
from interlock.store.schema import audit
from interlock.web.approvals import _view
from support.gateway import Gateway, a_gateway, a_manifest, a_tool
from support.warm import PYTHON

MAILING = str(Path(__file__).parents[1] / "support" / "upstreams" / "mailing.py")
HIGH, LIMITED = RiskTier.HIGH_BLAST_RADIUS, RiskTier.LIMITED_WRITE
DENG = Decider(name="deng", roles=frozenset({"approver"}))
FEW = Variant(name="few", when={"reach.recipients": {"le": 50}}, tier=LIMITED)
NEVER = Rule(id="never-all", tool="mail.send", then=Verdict.DENY, when={"reach.recipients": {"gt": 5000}})
"""At most 50 recipients go without a person, more than 5000 never."""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A gateway before the mailing server, and an agent's client."""

    gateway: Gateway
    client: Any
    place: Path

    def answers(self, result: object) -> None:
        """Say what `count` answers from now on."""
        (self.place / "answer").write_text(result if isinstance(result, str) else json.dumps(result))

    def calls(self, tool: str) -> list[Any]:
        """Return the arguments of the calls of a tool that arrived."""
        log = self.place / "log"
        lines = [json.loads(each) for each in log.read_text().splitlines()] if log.exists() else []
        return [arguments for name, arguments in lines if name == tool]

    async def send(self, segment: str = "pro", **more: Any) -> tuple[bool, str]:
        """Send a mail as the agent does; return whether it is an error, and the text."""
        told = await self.client.call_tool("mail.send", {"segment": segment, **more})
        return bool(told.is_error), told.content[0].text

    async def entries(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return kind, tool and body of the audit log, oldest first."""
        query = sa.select(audit.c.kind, audit.c.tool, audit.c.body).order_by(audit.c.seq)
        found = await self.gateway.wired.store.read(lambda each: each.execute(query).all())
        return [(kind, tool, json.loads(body)) for kind, tool, body in found]

    async def waiting(self) -> list[Any]:
        """Return what waits for a person, newest first."""
        return await self.gateway.wired.store.read(lambda each: approvals.listed(each))

    @property
    def people(self) -> Approve:
        wired = self.gateway.wired
        return Approve(
            store=wired.store,
            memory=wired.memory,
            runtime=wired.runtime,
            measure=lambda request: wired.calls.measure.reach(request, own=1),
        )

    async def approve(self) -> str:
        """Let deng approve the newest call that waits; return its action."""
        decided = await self.people.approve((await self.waiting())[0].id, DENG)
        self.gateway.wired.calls.decided(decided.action)
        return decided.action

    async def until(self, action: str, *states: str) -> Any:
        """Wait until an action is in one of `states`."""
        async with asyncio.timeout(15):
            while True:
                found = await self.gateway.wired.store.read(lambda each: actions.get(each, action))
                if found.state.value in states:
                    return found
                await asyncio.sleep(0.02)

    async def shown(self) -> str:
        """Return what an approver sees of the newest call that waits."""
        return view(await _view(self.gateway.wired, (await self.waiting())[0]))


@asynccontextmanager
async def a_desk(
    place: Path, *, preview: Companion | None = None, mail: dict[str, Any] | None = None, **workflow: Any
) -> AsyncGenerator[Desk]:
    """Yield an agent that may send mail, and may not count."""
    server = ToolServer(name="mail", transport="stdio", command=(*PYTHON, MAILING, str(place)))
    asked = preview or Companion(tool="mail.count", arguments={"segment": "$args.segment"})
    values: dict[str, Any] = {
        "preview": asked,
        "variants": (FEW,),
        "undo": Companion(tool="mail.count", arguments={}),
    }
    send = replace(a_tool("mail.send", HIGH), **values | (mail or {}))
    limits: dict[str, Any] = {
        "granted": (Grant(tool="mail.send", max_calls=3),),
        "rules": (NEVER,),
        "approvals": Approvals(approvers=("deng",)),
    }
    documents = a_manifest([server], [send, a_tool("mail.count")], **limits | workflow)
    async with a_gateway(documents, place / "data", call_timeout=1, inline_wait=0) as gateway:
        await registered(gateway)
        async with gateway.client(await gateway.token()) as client:
            yield Desk(gateway=gateway, client=client, place=place)


async def registered(gateway: Gateway) -> None:
    async with asyncio.timeout(15):
        while {"mail.send", "mail.count"} - gateway.wired.memory.pins.keys():  # noqa: ASYNC110 - as in ready()
            await asyncio.sleep(0.01)


def play(place: Path, story: Callable[[Desk], Coroutine[Any, Any, None]], **desk: Any) -> None:
    async def told() -> None:
        async with a_desk(place, **desk) as found:
            await story(found)

    asyncio.run(told())


def test_a_small_reach_passes_and_is_on_record(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 12, "sample": ["a@example.com"]})
        failed, said = await desk.send("s-4711")
        assert (failed, said) == (False, "sent")
        assert desk.calls("count") == desk.calls("send") == [{"segment": "s-4711"}]
        entries = await desk.entries()
        [previewed] = [(tool, body) for kind, tool, body in entries if kind == "call.previewed"]
        assert (previewed[0], previewed[1]["for"]) == ("mail.count", "mail.send")
        [executing] = [body for kind, _, body in entries if kind == "action.executing"]
        assert (executing["reach"], executing["tier"]) == ({"recipients": 12}, "limited_write")
        assert "s-4711" not in json.dumps(entries)
        desk.answers(['{"recipients": 50}'])
        assert (await desk.send("as text"))[1] == "sent"

    play(tmp_path, story)


def test_a_large_reach_waits_and_the_approver_sees_it(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 900})
        assert not (await desk.send())[0]
        assert "measured     recipients 900, by mail.count" in await desk.shown()
        done = await desk.until(await desk.approve(), "succeeded")
        assert done.decision["read"]["reach"] == {"recipients": 900}
        assert len(desk.calls("count")) == 2
        assert len(desk.calls("send")) == 1

    play(tmp_path, story)


def test_a_reach_beyond_a_rule_or_a_grant_is_refused_with_what_would_have_passed(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 5001})
        failed, said = await desk.send()
        assert failed
        assert "never-all" in said
        assert "reach.recipients: not more than 5000; this was 5001" in said
        assert desk.calls("send") == []

    play(tmp_path, story)


def test_a_grant_may_limit_the_reach(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 11})
        failed, said = await desk.send()
        assert failed
        assert "reach.recipients: up to 10; this was 11" in said
        desk.answers({"recipients": 10})
        assert (await desk.send())[1] == "sent"

    play(tmp_path, story, granted=(Grant(tool="mail.send", where={"reach.recipients": {"le": 10}}),))


SILENT = "it gave no answer in time, or none that can be read"
NONSENSE: list[tuple[Any, str]] = [
    ("hang", SILENT),
    ("fail", "it failed"),
    ("ask", "it failed"),
    ({"recipients": -5}, "its recipients is no such measure"),
    ({"recipients": "12"}, "its recipients is no such measure"),
    ({"rows": []}, "its answer measures nothing"),
    (["twelve"], "its answer is not an object"),
    (["{}", "{}"], "its answer is not an object"),
    ("die", SILENT),
]


def test_a_preview_that_does_not_measure_leaves_the_widest_scope(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for number, (answer, problem) in enumerate(NONSENSE):
            desk.answers(answer)
            failed, said = await desk.send(f"s-{number}")
            assert not failed  # it waits for a person: no variant matched, so the tier is the tool's own
            assert "not executed" in said.lower()
            assert f"[yellow]not known[/yellow], {problem}: the widest scope counts" in await desk.shown()
        waits = [body for kind, _, body in await desk.entries() if kind == "action.waiting_approval"]
        assert [body["unmeasured"] for body in waits] == [problem for _, problem in NONSENSE]
        assert {body["tier"] for body in waits} == {"high_blast_radius"}
        assert desk.calls("send") == []

    play(tmp_path, story, rules=(), granted=(Grant(tool="mail.send"),))


def test_a_rule_on_a_reach_that_is_not_known_counts_as_met(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers("fail")
        failed, said = await desk.send()
        assert failed
        assert "never-all cannot tell about reach.recipients: its reach is not known" in said
        assert "xyz-4711" not in said + json.dumps(await desk.entries())

    play(tmp_path, story)


def test_what_is_refused_anyway_is_not_measured(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 1})
        assert (await desk.send("all"))[0]
        told = await desk.client.call_tool("mail.send", {"segment": 5})
        assert told.is_error
        assert (await desk.client.call_tool("mail.count", {"segment": "pro"})).is_error  # not granted
        assert desk.calls("count") == []

    play(tmp_path, story, granted=(Grant(tool="mail.send", where={"args.segment": "pro"}),))


def test_a_preview_counts_against_no_limit_of_the_call(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 1})
        said = [(await desk.send(text=str(number)))[1] for number in range(4)]
        assert said[:3] == ["sent", "sent", "sent"]
        assert "grants 3 calls" in said[3]
        assert len(desk.calls("count")) == 3

    play(tmp_path, story)


def test_a_preview_that_drifted_is_not_asked(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 1})
        memory = desk.gateway.wired.memory
        memory.pins["mail.count"] = replace(memory.pins["mail.count"], seen="other")
        failed, _ = await desk.send()
        assert not failed
        assert "it may not be asked (tool_drifted)" in await desk.shown()
        del memory.pins["mail.count"]
        await desk.send("eu")
        assert "it may not be asked (not_registered)" in await desk.shown()
        memory.pins["mail.count"] = Pin(tool="mail.count", digest="x")
        memory.validators["mail.count"] = lambda _: "segment: is too short"
        await desk.send("us")
        assert "it may not be asked (arguments_invalid)" in await desk.shown()
        assert desk.calls("count") == []

    play(tmp_path, story, rules=())


def test_an_argument_that_the_call_lacks_cannot_be_measured(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 1})
        await desk.send()
        assert "the call has no args.list" in await desk.shown()

    play(tmp_path, story, preview=Companion(tool="mail.count", arguments={"segment": "$args.list"}), rules=())


def test_reach_that_grew_after_the_approval_goes_back_to_a_person(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 100})
        await desk.send()
        first = (await desk.waiting())[0].id
        desk.answers({"recipients": 101})
        action = await desk.approve()
        asked = await desk.until(action, "waiting_approval")
        assert asked.approval != first
        assert desk.calls("send") == []
        shown = await desk.shown()
        assert "measured     recipients 101" in shown
        assert "reaches further, or otherwise, than what was approved" in shown
        await desk.approve()
        await desk.until(action, "succeeded")
        assert len(desk.calls("send")) == 1

    play(tmp_path, story)


def test_an_approved_call_is_decided_on_the_reach_of_its_execution(tmp_path: Path) -> None:
    ends: list[tuple[Any, str]] = [
        ({"recipients": 80}, "succeeded"),
        ({"recipients": 6000}, "denied"),
        ({"recipients": 3}, "succeeded"),
        ("fail", "denied"),
    ]

    async def story(desk: Desk) -> None:
        for answer, state in ends:
            desk.answers({"recipients": 100})
            await desk.send(state + str(answer))
            desk.answers(answer)
            await desk.until(await desk.approve(), state)
        assert len(desk.calls("send")) == 2

    play(tmp_path, story)


def test_a_preview_that_fails_after_the_approval_goes_back_to_a_person(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 100})
        await desk.send()
        desk.answers("fail")
        await desk.until(await desk.approve(), "waiting_approval")
        assert "not known" in await desk.shown()
        assert desk.calls("send") == []

    play(tmp_path, story, rules=())


def test_changed_arguments_are_measured_before_they_are_taken(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 100})
        await desk.send()
        asked = (await desk.waiting())[0].id
        desk.answers({"recipients": 6000})
        with pytest.raises(UsageError, match="never-all"):
            await desk.people.modify(asked, DENG, arguments={"segment": "all"}, reason="all of them")
        desk.answers({"recipients": 200})
        revised = await desk.people.modify(asked, DENG, arguments={"segment": "eu"}, reason="only these")
        desk.gateway.wired.calls.decided(revised.action)
        done = await desk.until(revised.action, "succeeded")
        assert done.decision["read"]["reach"] == {"recipients": 200}
        assert desk.calls("send") == [{"segment": "eu"}]

    play(tmp_path, story)


def test_identical_calls_at_once_are_one_action(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        desk.answers({"recipients": 900})
        await asyncio.gather(*(desk.send() for _ in range(4)))
        assert len(await desk.waiting()) == 1

    play(tmp_path, story)
