"""A small organisation on a real store: people, two agents, two workflows, keys, and the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
import sqlalchemy as sa
from joserfc import jws
from joserfc.jwk import ECKey
from starlette.applications import Starlette

from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.tool import BlastRadius, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import EffectClass, RiskTier
from interlock.errors import InterlockError
from interlock.runtime import EventLoopScheduler, Runtime, TimeOrderedIds
from interlock.services.authenticate import Authenticator
from interlock.services.exchange import Proof
from interlock.services.open_run import OpenedRun, open_run
from interlock.settings import Settings
from interlock.store import agents as agent_records
from interlock.store import people
from interlock.store.database import Store, Transaction
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.store.schema import audit
from interlock.testing.clock import FixedClock
from interlock.web import agents, oauth, runs
from interlock.web import people as web_people
from interlock.web.errors import on_interlock_error
from interlock.wiring import Wired
from support.stores import a_settings

GRANT = oauth.GRANT
TOOLS = ("crm.lookup", "crm.update", "crm.note")


def an_organisation() -> tuple[AnyDocument, ...]:
    """Return the documents: refund-bot runs `refunds` and `notes`, other-bot runs `other`."""
    radius = BlastRadius(widest_scope="one record", impact="a wrong record", reversible="yes")
    return (
        Person(name="maria", email="maria@example.com", roles=("agent_owner", "approver", "developer")),
        Person(name="deng", email="deng@example.com", roles=("agent_owner", "approver")),
        Person(name="ada", email="ada@example.com", roles=("admin", "viewer")),
        Person(name="otto", email="otto@example.com", roles=("operator",)),
        Person(name="vera", email="vera@example.com", roles=("viewer",)),
        ToolServer(name="crm", transport="stdio", command=("true",)),
        *(
            Tool(name=name, tier=RiskTier.READ_ONLY, effect=EffectClass.READ, blast_radius=radius)
            for name in TOOLS
        ),
        Agent(name="refund-bot", owner="maria", backup="deng"),
        Agent(name="other-bot", owner="deng", backup="maria"),
        Workflow(name="refunds", agent="refund-bot", owner="maria", tools=tuple(map(_grant, TOOLS))),
        Workflow(name="notes", agent="refund-bot", owner="maria", tools=(_grant("crm.note"),)),
        Workflow(name="other", agent="other-bot", owner="deng", tools=(_grant("crm.lookup"),)),
    )


def _grant(tool: str) -> Grant:
    return Grant(tool=tool)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One environment, wired by hand, whose clock stands still."""

    settings: Settings
    clock: FixedClock
    runtime: Runtime
    store: Store
    memory: Memory
    keyring: Keyring
    authenticator: Authenticator

    def client(self, token: str = "") -> httpx2.AsyncClient:
        """Return a client of the API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx2.ASGITransport(app=self.app())
        return httpx2.AsyncClient(transport=transport, base_url="http://interlock", headers=headers)

    def app(self) -> Starlette:
        """Return the API with the routes of identity."""
        app = Starlette(
            routes=[*oauth.routes, *agents.routes, *runs.routes, *web_people.routes],
            exception_handlers={InterlockError: on_interlock_error},
        )
        handles: Any = dict.fromkeys(Wired.__dataclass_fields__) | {
            "settings": self.settings,
            "runtime": self.runtime,
            "store": self.store,
            "memory": self.memory,
            "keyring": self.keyring,
            "authenticator": self.authenticator,
        }
        app.state.wired = Wired(**handles)
        return app

    async def signed_in(self, name: str, **terms: Any) -> httpx2.AsyncClient:
        """Return a client that presents a personal token of `name`."""
        made = await self.store.transact(lambda each: people.add_token(each, name, **terms))
        return self.client(made.secret)

    async def open_run(self, workflow: str = "refunds", **terms: Any) -> OpenedRun:
        """Open a run."""
        return await open_run(
            store=self.store,
            memory=self.memory,
            keyring=self.keyring,
            settings=self.settings,
            workflow=workflow,
            started_by="maria",
            **terms,
        )

    async def code(self, agent: str = "refund-bot", **body: Any) -> str:
        """Return a one-time code that the agent's owner asked for."""
        owner = "maria" if agent == "refund-bot" else "deng"
        async with await self.signed_in(owner) as client:
            answer = await client.post(f"/api/v1/agents/{agent}/enrolments", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["code"]

    async def exchange(self, proof: Proof, subject: str, **fields: str) -> httpx2.Response:
        """Ask the token endpoint."""
        form = {"grant_type": GRANT, "subject_token_type": proof.value, "subject_token": subject, **fields}
        async with self.client() as client:
            return await client.post(
                "/oauth/token",
                content=urlencode(form),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )

    async def audited(self, kind: str) -> list[Any]:
        """Return the audit entries of a kind, oldest first; some are written a moment after they happen."""
        query = sa.select(audit).where(audit.c.kind == kind).order_by(audit.c.seq)
        for _ in range(100):
            if found := await self.store.read(lambda connection: connection.execute(query).all()):
                return list(found)
            await asyncio.sleep(0.02)
        return []


async def build_world(
    data: Path, database_url: str = "", *, clock: FixedClock | None = None, **settings: Any
) -> World:
    """Open a store with the organisation applied. Close it with `world.store.close_now()`."""
    known = a_settings(data, database=database_url, **settings)
    clock = clock or FixedClock()
    runtime = Runtime(clock=clock, ids=TimeOrderedIds(clock), scheduler=EventLoopScheduler())
    store = Store.open(known, runtime)
    memory = Memory(environment=known.environment)
    bundle = compile_bundle(an_organisation(), environment=known.environment)

    def apply(transaction: Transaction) -> None:
        people.declare(transaction, (each for each in bundle.documents if isinstance(each, Person)))
        agent_records.declare(transaction, (each for each in bundle.documents if isinstance(each, Agent)))
        memory.bundle = bundle

    await store.transact(apply)
    keyring = await Keyring.open(store, known)
    authenticator = Authenticator(
        store=store, keyring=keyring, memory=memory, runtime=runtime, issuer=known.issuer_url
    )
    return World(
        settings=known,
        clock=clock,
        runtime=runtime,
        store=store,
        memory=memory,
        keyring=keyring,
        authenticator=authenticator,
    )


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """A small organisation on each database."""
    built = asyncio.run(build_world(tmp_path, database_url))
    yield built
    built.store.close_now()


@pytest.fixture
def small_world(tmp_path: Path) -> Iterator[World]:
    """A small organisation on SQLite, for what does not depend on the database."""
    built = asyncio.run(build_world(tmp_path))
    yield built
    built.store.close_now()


def an_agent_key() -> ECKey:
    """Return a new private key of an agent."""
    return ECKey.generate_key("P-256", private=True)


def signed(key: Any, claims: dict[str, Any], *, alg: str = "ES256", **header: Any) -> str:
    """Return `claims` as a compact JWS."""
    import json

    return jws.serialize_compact({"alg": alg, **header}, json.dumps(claims).encode(), key, [alg])
