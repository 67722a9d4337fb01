"""People undo over HTTP: who may, what is listed, and what is refused stays on record (E3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from interlock.core.document.identity import Person
from interlock.core.document.tool import Companion
from interlock.core.document.workflow import Grant
from interlock.core.model import EffectClass, OnFailure, RiskTier
from interlock.errors import InterlockError
from interlock.store import people
from interlock.store.schema import audit
from interlock.web import runs, undos
from interlock.web.errors import on_interlock_error
from support.engine import World, a_manifest, a_tool

pytestmark = pytest.mark.anyio
ROLES = {"maria": ("agent_owner",), "kim": ("viewer",), "ops": ("operator",), "deng": ("agent_owner",)}
TOOLS = (
    a_tool("shop.add", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT,
           undo=Companion(tool="shop.drop", arguments={"order": "$args.order"})),
    a_tool("shop.drop", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT),
)  # fmt: skip
WHY = {"reason": "a mistake"}


class Api:
    """A world whose API is asked in process."""

    def __init__(self, world: World, app: Starlette, tokens: dict[str, str]) -> None:
        self.world, self.app, self.tokens = world, app, tokens

    async def __call__(self, person: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            return await client.request(method, f"/api/v1/{path}", json=body)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    grants = (Grant(tool="shop.add"), Grant(tool="shop.write"))
    manifest = a_manifest(*TOOLS, grants=grants, on_failure=OnFailure.UNDO)
    persons = [Person(name=name, email="", roles=roles) for name, roles in ROLES.items()]
    world = await World(tmp_path).open(
        [*(each for each in manifest if not isinstance(each, Person)), *persons]
    )
    tokens: dict[str, str] = {}
    for name in ROLES:
        made = await world.store.transact(lambda tx, name=name: people.add_token(tx, name))
        tokens[name] = made.secret
    routes, handlers = [*undos.routes, *runs.routes], {InterlockError: on_interlock_error}
    app = Starlette(routes=routes, exception_handlers=handlers)  # pyright: ignore[reportArgumentType]
    app.state.wired = SimpleNamespace(
        settings=world.settings,
        runtime=world.runtime,
        store=world.store,
        memory=world.memory,
        calls=world.calls,
    )
    yield Api(world, app, tokens)
    await world.close()


async def test_who_may_undoes_an_action_and_everybody_sees_what_became_of_it(api: Api) -> None:
    await api.world.propose("shop.add", {"order": 1})
    (action,) = await api.world.every()
    before = (await api("kim", "GET", f"actions/{action.id}/undo")).json()
    assert (before["undoable"], before["by"]) == (True, {"tool": "shop.drop", "arguments": {"order": 1}})
    for person in ("kim", "deng"):
        assert (await api(person, "POST", f"actions/{action.id}/undo", WHY)).status_code == 403
    assert (await api("maria", "POST", f"actions/{action.id}/undo", {})).status_code == 400
    done = await api("maria", "POST", f"actions/{action.id}/undo", WHY)
    assert (done.status_code, done.json()["undo"]["identity"]) == (202, "interlock:recovery")
    await api.world.until(action.id, "compensated")
    again = await api("maria", "POST", f"actions/{action.id}/undo", WHY)
    assert (again.status_code, "undone already" in again.text) == (409, True)
    for path in ("stop", "done"):
        assert (await api("ops", "POST", f"actions/{action.id}/undo/{path}", WHY)).status_code == 409
    after = (await api("kim", "GET", f"actions/{action.id}/undo")).json()
    assert (after["why_not"]["code"], after["undo"]["state"]) == ("undone", "succeeded")
    refused = sa.select(audit.c.person).where(audit.c.kind == "undo.refused").order_by(audit.c.seq)
    said = await api.world.store.read(lambda found: list(found.execute(refused).scalars()))
    assert said == ["kim", "deng", "maria", "maria", "ops", "ops"]


async def test_a_run_is_undone_by_a_person_or_because_it_failed_and_says_what_it_keeps(api: Api) -> None:
    for number in (1, 2):
        await api.world.propose("shop.add", {"order": number})
    first, second = await api.world.every()
    assert (await api("kim", "POST", f"runs/{api.world.run}/undo", WHY)).status_code == 403
    done = (await api("ops", "POST", f"runs/{api.world.run}/undo", WHY)).json()
    assert [each["action"] for each in done["undone"]] == [second.id, first.id]
    assert (done["state"], done["awaited"], done["kept"]) == ("ended", [], [])
    for each in (first, second):
        await api.world.until(each.id, "compensated")
    other = await api.world.open_run()
    await api.world.propose("shop.add", {"order": 3}, principal=api.world.principal(other))
    ended = (await api("ops", "POST", f"runs/{other}/end", {"reason": "it failed", "failed": True})).json()
    assert (ended["state"], ended["aborting"]) == ("ended", other)
    third = next(each for each in await api.world.every() if each.run == other and not each.comp_of)
    await api.world.until(third.id, "compensated")
