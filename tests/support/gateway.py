"""A gateway on a real socket, wired from the real parts, for SDK clients of both protocol eras."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from interlock.call.engine import Calls
from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument, key
from interlock.core.document.tool import BlastRadius, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import EffectClass, RiskTier
from interlock.gateway.mcp.front import McpGateway
from interlock.listen import Listener, server_config
from interlock.runtime import Runtime
from interlock.services.authenticate import Authenticator
from interlock.services.kill import KillSwitch
from interlock.services.open_run import open_run
from interlock.services.register import Registrar
from interlock.settings import Settings
from interlock.store import approvals, bundles
from interlock.store.budgets import Budgets
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.upstream.declared import DeclaredServers
from interlock.upstream.mcp.pool import ToolServers
from interlock.wiring import Wired
from mcp import Client
from support.warm import PYTHON

WORKSHOP = str(Path(__file__).parent / "upstreams" / "workshop.py")
_RADIUS = BlastRadius(widest_scope="one", impact="small", reversible="yes")


def workshop(
    name: str, *options: str, stateless: bool = False, python: tuple[str, ...] = PYTHON
) -> ToolServer:
    """Return a workshop tool server over stdio."""
    return ToolServer(
        name=name,
        transport="stdio",
        command=(*python, WORKSHOP, "--name", name, *options),
        stateless=stateless,
    )


@contextmanager
def workshop_over_http(name: str, port: int, *options: str) -> Generator[None]:
    """Run a workshop that listens on `port` until the block ends."""
    process = subprocess.Popen([*PYTHON, WORKSHOP, "--http", str(port), "--name", name, *options])
    try:
        _wait_until(lambda: _listens(port))
        yield
    finally:
        process.kill()
        process.wait()
        _wait_until(lambda: not _listens(port))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(true: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come true in time")


def a_tool(name: str, tier: RiskTier = RiskTier.READ_ONLY) -> Tool:
    """Return a map entry."""
    effect = EffectClass.READ if tier is RiskTier.READ_ONLY else EffectClass.ONCE
    return Tool(name=name, tier=tier, effect=effect, blast_radius=_RADIUS)


def a_manifest(
    servers: Iterable[ToolServer], tools: Iterable[Tool], **workflow: Any
) -> tuple[AnyDocument, ...]:
    """Return documents in which `bot` runs `work` and `other-bot` runs `other` with all `tools`."""
    tools = tuple(tools)
    granted = workflow.pop("granted", tuple(Grant(tool=each.name) for each in tools))
    return (
        Person(name="maria", email="maria@example.com", roles=("agent_owner", "approver")),
        Person(name="deng", email="deng@example.com", roles=("approver",)),
        Agent(name="bot", owner="maria", backup="deng"),
        Agent(name="other-bot", owner="deng", backup="maria"),
        *servers,
        *tools,
        Workflow(name="work", agent="bot", owner="maria", tools=granted, **workflow),
        Workflow(name="other", agent="other-bot", owner="deng", tools=granted, **workflow),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway."""

    wired: Wired
    url: str

    async def token(self, workflow: str = "work", scope: frozenset[str] | None = None) -> str:
        """Open a run and return its token."""
        opened = await open_run(
            store=self.wired.store,
            memory=self.wired.memory,
            keyring=self.wired.keyring,
            settings=self.wired.settings,
            workflow=workflow,
            started_by="test",
            scope=scope,
        )
        return opened.token.token

    @asynccontextmanager
    async def client(self, token: str, *, mode: str = "auto", **options: Any) -> AsyncGenerator[Client]:
        """Yield an SDK client that presents `token`."""
        async with httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=60, verify=False
        ) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode=mode, cache=None, **options) as client:
                yield client

    async def ready(self, *servers: str) -> None:
        """Wait until the tools of `servers` are registered."""
        async with asyncio.timeout(60):
            while not all(  # noqa: ASYNC110 - another task registers them
                any(pin.startswith(f"{each}.") for pin in self.wired.memory.pins) for each in servers
            ):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_gateway(
    documents: tuple[AnyDocument, ...],
    data: Path,
    *,
    patience: float = 5.0,
    body_seconds: float = 30.0,
    **settings: Any,
) -> AsyncGenerator[Gateway]:
    """Yield a gateway that serves `documents` from the data directory `data`.

    `patience`: how long its store waits for a lock, `body_seconds` how long for a request's body, in seconds.
    """
    known = Settings(data=data, **settings)
    runtime = Runtime.real()
    store = Store.open(known, runtime, patience=patience)
    memory = Memory(environment=known.environment)
    bundle = compile_bundle(documents, environment=known.environment)
    await store.transact(
        lambda each: bundles.put_in_force(
            each, memory, bundle, {key(d)[:2]: 1 for d in bundle.documents}, base=0, by="maria"
        )
    )
    keyring = await Keyring.open(store, known)
    path = {"PATH": os.environ["PATH"]}
    servers = DeclaredServers(
        lambda: ToolServers(runtime=runtime, secret=os.environ.get, environment=path),
        runtime,
        answers=lambda action: store.read(lambda found: approvals.answer_to(found, action)),
    )
    authenticator = Authenticator(
        store=store, keyring=keyring, memory=memory, runtime=runtime, issuer=known.issuer_url
    )
    calls = Calls(
        store=store, memory=memory, executor=servers, runtime=runtime, settings=known, keeps=servers.keeps
    )
    registrar = Registrar(store=store, memory=memory, servers=servers, runtime=runtime)
    handles: Any = dict.fromkeys(Wired.__dataclass_fields__) | {
        "settings": known,
        "runtime": runtime,
        "store": store,
        "memory": memory,
        "keyring": keyring,
        "authenticator": authenticator,
        "servers": servers,
        "registrar": registrar,
        "calls": calls,
        "budgets": Budgets(store=store, memory=memory, runtime=runtime),
        "kill": KillSwitch(store=store, memory=memory, runtime=runtime, settings=known, process="this"),
    }
    wired = Wired(**handles)
    gateway = McpGateway(wired, body_seconds=body_seconds)
    await gateway.start()
    await registrar.start()
    await calls.start()
    server = Listener(server_config(gateway, host="127.0.0.1", port=0))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    names = [each.name for each in documents if isinstance(each, ToolServer)]
    try:
        found = Gateway(wired=wired, url=f"http://127.0.0.1:{port}/mcp")
        await found.ready(*names)
        yield found
    finally:
        await gateway.close()
        server.stop()
        await serving
        await calls.close()
        await servers.close()
        await store.close()
