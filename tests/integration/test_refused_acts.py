"""What makes no sense or is not allowed is refused in words, written down, and changes nothing (E1, F2, F4).

Each act is tried over the API on each database: the answer says what happened and what to do next, one audit
entry says who tried what, and no row of an action, an approval or a breaker is another than before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
import sqlalchemy as sa

from interlock.core.approval import Decider
from interlock.core.breaker import BreakerKind
from interlock.core.document.identity import Person
from interlock.services.authenticate import Authenticator
from interlock.services.open_run import open_run
from interlock.services.trip import trip_by_hand
from interlock.store import people
from interlock.store.keyring import Keyring
from interlock.store.schema import actions, approvals, audit, breakers
from interlock.web.api import build_api
from support.engine import World, a_manifest, eventually

pytestmark = pytest.mark.anyio
ROLES = {
    "maria": ("approver", "agent_owner"),
    "deng": ("approver",),
    "kim": ("viewer",),
    "ops": ("operator",),
}
AGENTS = {"program of orders": "bot", "program of audits": "other-bot"}
NEXT = ("use a new key", "Name one that this run was given", "length <= 2000")
WHY = {"reason": "because"}
MARIA = Decider(name="maria", roles=frozenset({"approver"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One act that must be refused: who does what, the answer, and the kind of the audit entry about it."""

    what: str
    who: str
    path: str
    status: int
    words: str
    audited: str
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    key: str = ""
    method: str = "POST"


class Shop:
    """A world with its API, and calls in every state that somebody could misunderstand."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.secrets: dict[str, str] = {}
        self.caller: asyncio.Task[dict[str, Any]]

    async def open(self) -> None:
        """Serve the API, sign people in, and open two runs of programs."""
        manifest = [each for each in a_manifest() if not isinstance(each, Person)]
        staff = [Person(name=name, email="", roles=roles) for name, roles in ROLES.items()]
        world = await self.world.open([*manifest, *staff])
        keyring = await Keyring.open(world.store, world.settings)
        for name in ROLES:
            made = await world.store.transact(lambda tx, name=name: people.add_token(tx, name))
            self.secrets[name] = made.secret
        for workflow in ("orders", "audits"):
            opened = await open_run(
                store=world.store, memory=world.memory, keyring=keyring, settings=world.settings,
                workflow=workflow, started_by="kim",
            )  # fmt: skip
            self.secrets[f"program of {workflow}"] = opened.token.token
        handles = {name: getattr(world, name) for name in ("settings", "runtime", "store", "memory", "calls")}
        authenticator = Authenticator(
            store=world.store, keyring=keyring, memory=world.memory, runtime=world.runtime,
            issuer=world.settings.issuer_url,
        )  # fmt: skip
        wired = SimpleNamespace(**handles, authenticator=authenticator, breakers=world.breakers)
        self.api = build_api(cast("Any", wired))

    async def send(self, act: Try) -> httpx2.Response:
        """Do one act over the API."""
        headers = {"Authorization": f"Bearer {self.secrets[act.who]}"} | (
            {"Idempotency-Key": act.key} if act.key else {}
        )
        transport = httpx2.ASGITransport(app=self.api)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            body = None if act.method == "GET" else act.body
            return await client.request(act.method, f"/api/v1/{act.path}", json=body)

    async def refund(self, order: int, tool: str = "shop.refund") -> dict[str, Any]:
        """Have the program propose a call under a key of its own."""
        body = {"tool": tool, "arguments": {"order": order}}
        act = Try(what="", who="program of orders", path="actions", status=0, words="", audited="", body=body,
                  key=f"order-{order}")  # fmt: skip
        return (await self.send(act)).json()

    async def rows(self) -> list[Any]:
        """Return every row of an action, an approval and a breaker as it is on disk."""

        def read(found: sa.Connection) -> list[Any]:
            ordered = ((each, each.primary_key.columns) for each in (actions, approvals, breakers))
            return [
                tuple(row) for each, by in ordered for row in found.execute(sa.select(each).order_by(*by))
            ]

        return await self.world.store.read(read)

    async def refusals(self, kind: str) -> list[Any]:
        """Return the audit entries of a kind, oldest first, when all that was queued is on disk."""
        await self.world.store.transact(lambda _: None)
        query = sa.select(audit.c.person, audit.c.agent, audit.c.body).where(audit.c.kind == kind)
        return await self.world.store.read(lambda found: list(found.execute(query.order_by(audit.c.seq))))


@pytest.fixture
async def shop(tmp_path: Path, database_url: str) -> AsyncIterator[Shop]:
    shop = Shop(World(tmp_path, database_url))
    await shop.open()
    yield shop
    assert shop.world.script.gate is not None
    shop.world.script.gate.set()
    await shop.caller
    await shop.world.close()


async def the_acts(shop: Shop) -> list[Try]:
    """Bring calls into every state that matters, and return what is then tried on them."""
    world = shop.world
    approved, rejected, late = [await shop.refund(number) for number in (1, 2, 3)]
    await world.people.approve(approved["approval"], MARIA)
    await world.people.reject(rejected["approval"], MARIA, reason="no")
    past = sa.update(approvals).where(approvals.c.id == late["approval"]).values(expires_at=1)
    await world.store.transact(lambda transaction: transaction.execute(past) and None)
    waiting = await shop.refund(4)
    await world.until(approved["action"], "succeeded")
    world.script.gate = asyncio.Event()
    shop.caller = asyncio.create_task(shop.refund(5, "shop.write"))
    await eventually(lambda: len(world.script.effects) == 2)
    (started,) = [each for each in await world.every() if each.state.value == "executing"]
    await trip_by_hand(
        store=world.store, memory=world.memory, kind=BreakerKind.TOOL, name="shop.later", by="ops",
        reason="looks wrong",
    )  # fmt: skip
    a, r, e, w = (each["approval"] for each in (approved, rejected, late, waiting))
    sign = "breakers/tool:shop.later/sign-off"
    p, b = "approval.refused", "breaker.sign_off_refused"
    return [
        Try(what="the same key with other arguments", who="program of orders", path="actions", status=409,
            words="given to another call", audited="call.denied", key="order-4",
            body={"tool": "shop.refund", "arguments": {"order": 40}}),
        Try(what="approving twice", who="deng", path=f"approvals/{a}/approve", status=409,
            words="already approved by maria", audited=p, body=WHY),
        Try(what="rejecting what was approved", who="deng", path=f"approvals/{a}/reject", status=409,
            words="already approved by maria", audited=p, body=WHY),
        Try(what="approving what was rejected", who="deng", path=f"approvals/{r}/approve", status=409,
            words="already rejected by maria", audited=p, body=WHY),
        Try(what="changing what was rejected", who="deng", path=f"approvals/{r}/modify", status=409,
            words="already rejected", audited=p, body={"arguments": {"order": 9}, **WHY}),
        Try(what="approving what has expired", who="deng", path=f"approvals/{e}/approve", status=409,
            words="expired", audited=p, body=WHY),
        Try(what="answering what asks for a decision", who="deng", path=f"approvals/{w}/answer", status=400,
            words="asks for a decision", audited=p, body={"answer": "yes"}),
        Try(what="deciding without being asked", who="ops", path=f"approvals/{w}/approve", status=403,
            words="not among the approvers", audited=p, body=WHY),
        Try(what="rejecting without a reason", who="deng", path=f"approvals/{w}/reject", status=400,
            words="needs a reason", audited=p, body={"reason": " "}),
        Try(what="rejecting with a book", who="deng", path=f"approvals/{w}/reject", status=400,
            words="2000", audited="person.refused", body={"reason": "x" * 2001}),
        Try(what="cancelling with a book", who="ops", path=f"actions/{waiting['action']}/cancel", status=400,
            words="2000", audited="person.refused", body={"reason": "x" * 2001}),
        Try(what="deciding on nothing", who="deng", path="approvals/apr_none/approve", status=404,
            words="no approval", audited="person.refused", body=WHY),
        Try(what="undoing what never ran", who="maria", path=f"actions/{rejected['action']}/undo",
            status=409, words="never", audited="undo.refused", body=WHY),
        Try(what="undoing what is not there", who="maria", path="actions/act_none/undo", status=404,
            words="no action", audited="person.refused", body=WHY),
        Try(what="cancelling what was started", who="ops", path=f"actions/{started.id}/cancel", status=409,
            words="cannot be cancelled any more", audited="person.refused", body=WHY),
        Try(what="cancelling without a reason", who="ops", path=f"actions/{waiting['action']}/cancel",
            status=400, words="needs a reason", audited="person.refused", body={"reason": ""}),
        Try(what="cancelling what is not theirs", who="kim", path=f"actions/{waiting['action']}/cancel",
            status=403, words="may not decide", audited="person.refused", body=WHY),
        Try(what="clearing up what is not in doubt", who="ops", path=f"actions/{started.id}/resolve",
            status=409, words="executing", audited="person.refused", body={"happened": True, **WHY}),
        Try(what="collecting another agent's call", who="program of audits", method="GET",
            path=f"actions/{approved['action']}/outcome", status=404, words="nor a call",
            audited="action.resume_refused"),
        Try(what="a signature without a reason", who="ops", path=sign, status=400,
            words="needs a reason", audited=b, body={"to": "closed", "reason": ""}),
        Try(what="a signature of the wrong role", who="maria", path=sign, status=403,
            words="may not sign", audited=b, body={"to": "closed", **WHY}),
    ]  # fmt: skip


async def test_a_refused_act_says_why_is_written_down_and_changes_nothing(shop: Shop) -> None:
    tried = await the_acts(shop)
    for act in tried:
        before, known = await shop.rows(), len(await shop.refusals(act.audited))
        answer = await shop.send(act)
        assert answer.status_code == act.status, (act.what, answer.text)
        said = answer.json().get("error", answer.json())
        assert act.words in said["message"], (act.what, said)
        assert said.get("hint") or any(each in said["message"] for each in NEXT), (act.what, said)
        written = await shop.refusals(act.audited)
        assert len(written) == known + 1, act.what
        assert (written[-1].person or written[-1].agent) == AGENTS.get(act.who, act.who), act.what
        assert await shop.rows() == before, act.what
