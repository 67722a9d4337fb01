"""The LLM gateway in this process, on a real socket, in front of scripted model servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from granian.constants import Interfaces
from granian.server.embed import Server

from interlock.app.compose import wire
from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument, key
from interlock.core.document.provider import DeclaredPrice, DeclaredRates, Provider, ProviderModel
from interlock.core.document.spending import Budget, Models
from interlock.core.document.workflow import Workflow
from interlock.core.model import WireFamily
from interlock.gateway.llm.front import LlmGateway
from interlock.listen import Listener, server_config
from interlock.runtime import Runtime
from interlock.services.open_run import open_run
from interlock.settings import Settings
from interlock.store import bundles, model_calls
from interlock.store import documents as stored
from interlock.store.model_calls import LedgerRow
from interlock.testing import ModelServer
from interlock.wiring import Wired
from support.money import balanced

GPT, SMALL, CLAUDE = "gpt-test", "small-test", "claude-test"
PRICE = DeclaredPrice(rates=DeclaredRates(input=2_000_000, output=8_000_000, cache_read=500_000))
"""2,000, 8,000 and 500 nano-dollars a token."""
CHEAP = DeclaredPrice(rates=DeclaredRates(input=200_000, output=800_000))


def a_model(name: str, price: DeclaredPrice | None = PRICE, **changes: Any) -> ProviderModel:
    """Return a model that writes up to 4,000 tokens."""
    values: dict[str, Any] = {"name": name, "price": price, "window": 100_000, "max_output": 4_000}
    return ProviderModel(**values | changes)


def a_provider(name: str, url: str, *models: ProviderModel, **changes: Any) -> Provider:
    """Return a provider in the OpenAI format, unless it says otherwise."""
    values: dict[str, Any] = {"base_url": url, "models": models, "drain": 0}
    values["wire_formats"] = (WireFamily.OPENAI,)
    return Provider(name=name, **values | changes)


def providers(acme: ModelServer, claude: ModelServer, **changes: Any) -> tuple[Provider, ...]:
    """Return a provider of each format; `changes` are of the first."""
    return (
        a_provider("acme", f"{acme.url}/v1", a_model(GPT), a_model(SMALL, CHEAP), **changes),
        a_provider("claude", claude.url, a_model(CLAUDE), wire_formats=(WireFamily.ANTHROPIC,)),
    )


def manifest(
    serving: tuple[Provider, ...], budget: Budget | None = None, **workflow: Any
) -> tuple[AnyDocument, ...]:
    """Return documents in which `bot` runs `chat`, which may call every model."""
    values: dict[str, Any] = {"models": Models(allow=("*",))}
    return (
        Person(name="maria", email="maria@example.com", roles=("agent_owner", "approver")),
        Agent(name="bot", owner="maria"),
        *serving,
        Workflow(name="chat", agent="bot", owner="maria", budget=budget, **values | workflow),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGateway:
    """A running gateway and what stands behind it."""

    wired: Wired
    url: str
    port: int
    http: httpx2.AsyncClient

    async def token(self, workflow: str = "chat") -> str:
        """Open a run of a workflow and return its token."""
        wired = self.wired
        opened = await open_run(
            store=wired.store,
            memory=wired.memory,
            keyring=wired.keyring,
            settings=wired.settings,
            workflow=workflow,
            started_by="test",
            scope=None,
        )
        return opened.token.token

    async def apply(self, documents: tuple[AnyDocument, ...]) -> None:
        """Put documents in force."""
        wired = self.wired
        memory, bundle = wired.memory, compile_bundle(documents, environment=wired.memory.environment)
        versions = {key(each)[:2]: 1 for each in bundle.documents}
        base = await wired.store.read(lambda found: stored.head_version(found, memory.environment))
        await wired.store.transact(
            lambda each: bundles.put_in_force(each, memory, bundle, versions, base=base, by="maria")
        )
        await wired.prices.ready()

    async def ask(self, token: str, path: str = "/v1/chat/completions", **body: Any) -> httpx2.Response:
        """Call a model as a plain HTTP client does."""
        sent = {"model": GPT, "messages": [{"role": "user", "content": "hi"}], **body}
        return await self.http.post(path, json=sent, headers={"Authorization": f"Bearer {token}"})

    def run(self, token: str) -> str:
        """Return the run of a token."""
        return self.wired.authenticator.verify(token).run

    @property
    def held(self) -> int:
        """How many attempts hold money now."""
        return len(self.wired.budgets._books.holds)

    async def settled(self) -> None:
        """Return when nothing is held any more and everything is written."""
        async with asyncio.timeout(20):
            while self.held:  # noqa: ASYNC110 - nothing tells a test
                await asyncio.sleep(0.01)
        await self.wired.budgets.flush()

    async def spent(self) -> dict[str, int]:
        """Return what each account on disk says was spent, which must be the sum of its rows and charges,
        to the last nano-dollar, as it must be in memory; nothing may be held.
        """
        await self.settled()
        read = await self.wired.store.read(balanced(self.wired.store))
        assert all(spent == summed for spent, summed in read.values()), read
        for known in self.wired.budgets._books.accounts.values():
            assert (known.due, known.held_exp, known.held_max) == (0, 0, 0), known.id
            assert known.id not in read or known.spent == read[known.id][0], known.id
        return {account: spent for account, (spent, _) in read.items()}

    async def rows(self, run: str) -> list[LedgerRow]:
        """Return what the ledger has of a run, once everything settled is written."""
        await self.wired.budgets.flush()
        return await self.wired.store.read(lambda found: model_calls.of_run(found, run))


Serving = Callable[[Any], AbstractAsyncContextManager[int]]
"""Serves an ASGI application and yields its port."""


@asynccontextmanager
async def uvicorn(application: Any) -> AsyncGenerator[int]:
    """Serve as `interlock serve` does."""
    server = Listener(server_config(application, host="127.0.0.1", port=0))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.stop()
        await serving


@asynccontextmanager
async def granian(application: Any) -> AsyncGenerator[int]:
    """Serve on another server, one in Rust."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(
        application, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, log_enabled=False
    )
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not await _listens(port):  # noqa: ASYNC110 - granian has no event for it either
            await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.stop()
        await serving


async def _listens(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


@asynccontextmanager
async def a_model_gateway(
    documents: tuple[AnyDocument, ...],
    data: Path,
    *,
    runtime: Runtime | None = None,
    body_seconds: float | None = None,
    server: Serving = uvicorn,
    **settings: Any,
) -> AsyncGenerator[ModelGateway]:
    """Yield a gateway that serves `documents` from the data directory `data`, on an HTTP server."""
    async with wire(Settings(data=data, **settings), runtime) as wired:
        await wired.prices.start()
        await wired.budgets.start()
        gateway = LlmGateway(wired) if body_seconds is None else LlmGateway(wired, body_seconds=body_seconds)
        async with server(gateway) as port:
            url = f"http://127.0.0.1:{port}"
            async with httpx2.AsyncClient(base_url=url, timeout=30, verify=False) as http:
                found = ModelGateway(wired=wired, url=url, port=port, http=http)
                await found.apply(documents)
                try:
                    yield found
                finally:
                    await wired.models.providers.close()
                    await wired.budgets.close()
