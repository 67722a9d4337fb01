"""Build everything that one process works with, from its settings alone."""

from __future__ import annotations

import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interlock.call.engine import Calls
from interlock.core.document.tool import ToolServer
from interlock.core.rotation import validity
from interlock.model_call import ModelCalls
from interlock.runtime import Runtime
from interlock.services.authenticate import Authenticator
from interlock.services.degrade import Degrade
from interlock.services.import_prices import Prices
from interlock.services.kill import KillSwitch
from interlock.services.load_bundle import load_bundle
from interlock.services.pay import Pay
from interlock.services.register import Registrar
from interlock.services.send import Send
from interlock.services.spend import Spend
from interlock.settings import Settings, child_environment, secret
from interlock.store import revocations, run_facts
from interlock.store.budgets import Budgets
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.upstream.declared import DeclaredServers
from interlock.upstream.llm.providers import Providers
from interlock.upstream.tokenizer import Tokenizer
from interlock.wiring import Wired

if TYPE_CHECKING:
    from interlock.upstream.llm.transport import Transport
    from interlock.upstream.mcp.pool import ToolServers


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime | None = None) -> AsyncGenerator[Wired]:
    """Yield everything one process works with, opened in order and closed in reverse.

    Raises `StoreInUse` when another process owns the data directory, `StoreUnavailable` when the
    database cannot be used.
    """
    world = runtime or Runtime.real()
    store, tokenizer = Store.open(settings, world), Tokenizer()
    try:
        yield await _wired(settings, world, store, tokenizer)
    finally:
        tokenizer.close()
        await store.close()


async def _wired(settings: Settings, runtime: Runtime, store: Store, tokenizer: Tokenizer) -> Wired:
    memory = await _load(store, settings, runtime)
    keyring = await Keyring.open(store, settings)
    servers = DeclaredServers(lambda: _pool(runtime), runtime)
    switch = KillSwitch(
        store=store, memory=memory, runtime=runtime, settings=settings, process=_this_process(settings)
    )
    await switch.load()
    prices = Prices(store=store, memory=memory, runtime=runtime)
    budgets = Budgets(store=store, memory=memory, runtime=runtime)
    paying = Pay(
        executor=Send(executor=servers, memory=memory), memory=memory, budgets=budgets, runtime=runtime
    )
    spend = Spend(
        memory=memory,
        budgets=budgets,
        book=lambda: prices.book,
        ready=prices.ready,
        runtime=runtime,
        tokenizer=tokenizer,
    )
    return Wired(
        settings=settings,
        runtime=runtime,
        store=store,
        memory=memory,
        keyring=keyring,
        authenticator=Authenticator(
            store=store, keyring=keyring, memory=memory, runtime=runtime, issuer=settings.issuer_url
        ),
        servers=servers,
        registrar=Registrar(store=store, memory=memory, servers=servers, runtime=runtime),
        budgets=budgets,
        prices=prices,
        calls=Calls(
            store=store,
            memory=memory,
            executor=paying,
            runtime=runtime,
            settings=settings,
            ready=servers.ready,
        ),
        kill=switch,
        models=_models(store, memory, spend, runtime),
    )


def _models(store: Store, memory: Memory, spend: Spend, runtime: Runtime) -> ModelCalls:
    return ModelCalls(
        store=store,
        memory=memory,
        providers=Providers(_http, secret=secret, clock=runtime.clock),
        spend=spend,
        degrade=Degrade(memory=memory, price=spend.price, habits=spend.habits),
        runtime=runtime,
    )


async def _load(store: Store, settings: Settings, runtime: Runtime) -> Memory:
    """Fill memory with what decisions read: revocations, runs and the bundle in force."""
    memory = Memory(environment=settings.environment)
    now = runtime.clock.now()
    memory.revoked = await store.read(lambda connection: revocations.load(connection, now))
    for facts in await store.read(lambda connection: list(run_facts.load_facts(connection))):
        memory.open_run(facts)
    await load_bundle(store, memory, settings)
    return memory


def _this_process(settings: Settings) -> str:
    """Return how people know the process that serves this environment here, whenever it was started."""
    return f"{settings.environment} on {platform.node()}"


def _expired(server: ToolServer, now: int) -> str | None:
    """Say why a tool server's static credential must not be used any more, or None (H2)."""
    if validity(server.credentials.expires, now=now).usable:
        return None
    owner = server.credentials.owner or "its owner"
    return f"The credential of the tool server {server.name!r} has expired; {owner} must replace it."


def _http() -> Transport:
    from interlock.upstream.llm.client import HttpClient

    return HttpClient()


def _pool(runtime: Runtime) -> ToolServers:
    from interlock.upstream.mcp.pool import ToolServers

    return ToolServers(
        runtime=runtime,
        secret=secret,
        environment=child_environment(),
        refusal=lambda server: _expired(server, runtime.clock.now()),
    )
