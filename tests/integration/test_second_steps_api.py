"""People settle, void and ask again over HTTP and by command; what is refused stays on record (E4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from interlock.core.answer import Completed
from interlock.core.document.identity import Person
from interlock.core.document.tool import Companion, FollowUp, Settlement
from interlock.core.document.workflow import Grant
from interlock.core.model import EffectClass, RiskTier
from interlock.errors import InterlockError
from interlock.gateway.mcp.reply import iso, result_of
from interlock.store import people
from interlock.store.schema import audit
from interlock.upstream.executor import Succeeded
from interlock.web import actions, second_steps
from interlock.web.calls import said
from interlock.web.errors import on_interlock_error
from support.engine import World, a_manifest, a_tool

pytestmark = pytest.mark.anyio
LIMITED, SAFE = RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT
CALL = Companion(tool="shop.last", arguments={"order": "$args.order"})
BACK = Companion(tool="shop.back", arguments={"order": "$args.order"})
TOOLS = (
    a_tool("shop.hold", LIMITED, SAFE, undo=None,
           settlement=Settlement(confirm=CALL, void=BACK, within=3600)),
    a_tool("shop.trash", LIMITED, SAFE, undo=BACK,
           follow_up=FollowUp(tool="shop.last", arguments={"order": "$args.order"}, after=3600)),
    a_tool("shop.last", RiskTier.HIGH_BLAST_RADIUS, SAFE, undo=None),
    a_tool("shop.back", LIMITED, SAFE, undo=None),
)  # fmt: skip
ROLES = {"maria": ("agent_owner",), "deng": (), "kim": ("approver",), "eve": ("viewer",)}
WHY = {"reason": "it is right"}


class Api:
    """A world whose API is asked in process."""

    def __init__(self, world: World, app: Starlette, tokens: dict[str, str]) -> None:
        self.world, self.app, self.tokens = world, app, tokens

    async def __call__(self, person: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            return await client.request(method, f"/api/v1/actions/{path}", json=body)

    async def refused(self) -> list[tuple[str, str]]:
        kinds = ("second_step.refused", "approval.refused", "person.refused")
        query = sa.select(audit.c.kind, audit.c.person).where(audit.c.kind.in_(kinds)).order_by(audit.c.seq)
        return [tuple(each) for each in await self.world.store.read(lambda found: found.execute(query).all())]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    manifest = a_manifest(*TOOLS, grants=(Grant(tool="shop.hold"), Grant(tool="shop.trash")))
    persons = [Person(name=name, email="", roles=roles) for name, roles in ROLES.items()]
    world = await World(tmp_path).open(
        [*(each for each in manifest if not isinstance(each, Person)), *persons]
    )
    tokens: dict[str, str] = {}
    for name in ROLES:
        made = await world.store.transact(lambda tx, name=name: people.add_token(tx, name))
        tokens[name] = made.secret
    app = Starlette(
        routes=[*actions.routes, *second_steps.routes],
        exception_handlers={InterlockError: on_interlock_error},  # pyright: ignore[reportArgumentType]
    )
    app.state.wired = SimpleNamespace(
        settings=world.settings, runtime=world.runtime, store=world.store, memory=world.memory,
        calls=world.calls,
    )  # fmt: skip
    yield Api(world, app, tokens)
    await world.close()


async def did(api: Api, tool: str, order: int = 1) -> Completed:
    api.world.script.answers.insert(0, Succeeded(payload={"content": [], "isError": False}))
    answer = await api.world.propose(tool, {"order": order})
    assert isinstance(answer, Completed)
    return answer


async def test_whoever_may_decide_settles_and_nobody_else(api: Api) -> None:
    action = (await did(api, "shop.hold")).action
    shown = (await api("eve", "GET", str(action))).json()
    assert (shown["state"], shown["second_step"]["state"]) == ("pending_settlement", "waiting_approval")
    assert shown["due_at"] == shown["second_step"]["due_at"]
    for person in ("eve", "kim"):  # a viewer; who started the run
        assert (await api(person, "POST", f"{action}/settle", WHY)).status_code == 403
    done = await api("deng", "POST", f"{action}/settle", {})
    assert (done.status_code, done.json()["second_step"]["tool"]) == (202, "shop.last")
    await api.world.until(str(action), "settled")
    again = await api("deng", "POST", f"{action}/settle", WHY)
    assert (again.status_code, "has its second step already" in again.text) == (409, True)
    voided = await api("maria", "POST", f"{action}/void", WHY)
    assert (voided.status_code, "is settled" in voided.text) == (409, True)
    assert [who for _, who in await api.refused()] == ["eve", "kim", "deng", "maria"]


async def test_whoever_may_stop_the_agent_voids_with_a_reason(api: Api) -> None:
    action = (await did(api, "shop.hold")).action
    assert (await api("eve", "POST", f"{action}/void", WHY)).status_code == 403
    assert (await api("maria", "POST", f"{action}/void", {})).status_code == 400
    done = await api("maria", "POST", f"{action}/void", WHY)
    assert (done.status_code, done.json()["second_step"]["state"]) == (202, "cancelled")
    await api.world.until(str(action), "voided")
    assert (await api("deng", "POST", f"{action}/settle", WHY)).status_code == 409
    assert (await api("deng", "POST", "act_none/settle", WHY)).status_code == 404


async def test_a_follow_up_is_asked_for_before_its_time_by_whoever_may(api: Api) -> None:
    action = (await did(api, "shop.trash")).action
    before = (await api("eve", "GET", str(action))).json()["second_step"]
    assert (before["kind"], before["action"]) == ("follow_up", None)
    assert (await api("eve", "POST", f"{action}/follow-up", WHY)).status_code == 403
    assert (await api("maria", "POST", f"{action}/follow-up", {})).status_code == 400
    done = await api("maria", "POST", f"{action}/follow-up", WHY)
    assert (done.status_code, done.json()["second_step"]["state"]) == (202, "waiting_approval")
    assert (await api("maria", "POST", f"{action}/void", WHY)).status_code == 409
    assert (await api("maria", "POST", f"{action}/settle", WHY)).status_code == 409
    second = done.json()["second_step"]["action"]
    assert (await api("eve", "POST", f"{second}/cancel", WHY)).status_code == 403
    assert (await api("maria", "POST", f"{second}/cancel", WHY)).json()["state"] == "cancelled"


async def test_callers_are_told_until_when_a_call_is_provisional(api: Api) -> None:
    provisional, plain = await did(api, "shop.hold"), await did(api, "shop.trash")
    assert said(provisional)["settles_by"] == provisional.settles_by > 0
    assert "settles_by" not in said(plain)
    until = iso(provisional.settles_by)
    told = result_of(provisional)
    assert told["_meta"]["interlock/settles_by"] == until
    assert told["content"][-1]["text"].endswith(f"taken back at {until}.")
    assert result_of(plain)["content"] == []
