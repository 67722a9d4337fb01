"""Routes of the API on a real store, without a listener, and people of different roles who ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from interlock.core.document.identity import Agent, Person
from interlock.core.document.workflow import Grant, Workflow
from interlock.errors import InterlockError
from interlock.services.authenticate import Authenticator
from interlock.store import people
from interlock.web.errors import on_interlock_error
from interlock.wiring import Wired
from support.engine import World

PEOPLE = (
    Person(name="olga", email="olga@example.com", roles=("operator",)),
    Person(name="otto", email="otto@example.com", roles=("agent_owner",)),
    Person(name="vera", email="vera@example.com", roles=("viewer",)),
    Agent(name="ottos", owner="otto"),
    Workflow(name="notes", agent="ottos", owner="otto", tools=(Grant(tool="shop.read"),)),
)
"""An operator, an owner of one agent with one workflow, and a viewer."""


@dataclass(kw_only=True)
class Api:
    """An application, and who asks it."""

    world: World
    app: Starlette
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    async def ask(self, person: str, method: str, path: str, **body: Any) -> httpx2.Response:
        """Ask as `person`."""
        if person not in self.tokens:
            made = await self.world.store.transact(lambda each: people.add_token(each, person))
            self.tokens[person] = made.secret
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://interlock") as client:
            return await client.request(method, f"/api/v1/{path}", headers=headers, json=body or None)


def an_app(world: World, routes: Sequence[BaseRoute], **handles: Any) -> Starlette:
    """Return an application of some routes on a world that is open; `handles` are what they need besides."""
    app = Starlette(routes=routes, exception_handlers={InterlockError: on_interlock_error})
    no_keyring: Any = None
    known: dict[str, Any] = dict.fromkeys(Wired.__dataclass_fields__)
    known |= {"settings": world.settings, "runtime": world.runtime, "store": world.store}
    known |= {"memory": world.memory}
    known["authenticator"] = Authenticator(
        store=world.store, keyring=no_keyring, memory=world.memory, runtime=world.runtime, issuer="me"
    )
    app.state.wired = Wired(**known | handles)
    return app
