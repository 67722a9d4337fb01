"""Build everything that one process works with, from its settings alone."""

from __future__ import annotations

import platform
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interlock import __version__
from interlock.app.followed import follow_all
from interlock.app.roles import ALL, Role, Roles, require_shared
from interlock.model_call.engine import ModelCalls
from interlock.runtime import Runtime
from interlock.services.authenticate import Authenticator
from interlock.services.degrade import Degrade
from interlock.services.exercise import load_exercises
from interlock.services.follow import Follow
from interlock.services.import_prices import Prices
from interlock.services.kill import KillSwitch
from interlock.services.load_bundle import load_bundle
from interlock.services.spend.hold import Spend
from interlock.services.track import TrackRecords
from interlock.services.trip import Breakers
from interlock.settings import Settings, collector, secret
from interlock.store import revocations, run_facts
from interlock.store.budgets import Budgets
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.store.outcomes import Outcomes
from interlock.store.proposals import Proposals
from interlock.store.recoveries import Recoveries
from interlock.upstream.llm.providers import Providers
from interlock.upstream.tokenizer import Tokenizer
from interlock.wiring import Wired, WiredModels

if TYPE_CHECKING:
    from interlock.upstream.llm.transport import Transport
    from interlock.upstream.span import Spans
    from interlock.upstream.spans import SpanExport


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime | None = None) -> AsyncGenerator[Wired]:
    """Yield everything that the one process of an environment works with. Raises as `wire_models` does."""
    async with wire_models(settings, runtime) as wired:
        from interlock.app.tools import with_tools

        yield with_tools(wired)


@asynccontextmanager
async def wire_models(
    settings: Settings, runtime: Runtime | None = None, *, roles: Roles = ALL
) -> AsyncGenerator[WiredModels]:
    """Yield what a process of these roles works with, but for tools, opened in order and closed in reverse.

    Raises `StoreInUse` when another process owns the data directory, `StoreUnavailable` when the database
    cannot be used, `UsageError` for a part of the roles on a database that only one process may open, and for
    a collector of spans that cannot be used.
    """
    require_shared(roles, shared=bool(settings.database))
    world = runtime or Runtime.real()
    store, tokenizer, spans = Store.open(settings, world), Tokenizer(), None
    try:
        require_shared(roles, shared=not store.alone)
        spans = _spans(settings, world)
        yield await _wired(settings, world, store, tokenizer, roles, spans)
    finally:
        tokenizer.close()
        if spans is not None:
            await spans.close()
        await store.close()


async def _wired(
    settings: Settings,
    runtime: Runtime,
    store: Store,
    tokenizer: Tokenizer,
    roles: Roles,
    spans: Spans | None,
) -> WiredModels:
    follow = Follow(store=store, runtime=runtime, environment=settings.environment)
    await follow.begin()
    memory = await _load(store, settings, runtime)
    keyring = await Keyring.open(store, settings)
    process = _this_process(settings, roles)
    switch = KillSwitch(store=store, memory=memory, runtime=runtime, settings=settings, process=process)
    await switch.load()
    breakers, tracked = await _followers(store, memory)
    switch.followers.append(breakers.pressed)
    takes = bool(roles & {Role.CONTROL, Role.WORKER})
    prices = Prices(store=store, memory=memory, runtime=runtime, takes=takes)
    budgets = Budgets(store=store, memory=memory, runtime=runtime)
    spend = Spend(
        memory=memory,
        budgets=budgets,
        book=lambda: prices.book,
        ready=prices.ready,
        runtime=runtime,
        tokenizer=tokenizer,
    )
    authenticator = Authenticator(
        store=store,
        keyring=keyring,
        memory=memory,
        runtime=runtime,
        issuer=settings.issuer_url,
        catch_up=None if store.alone else follow.catch_up,
    )
    wired = WiredModels(
        settings=settings,
        runtime=runtime,
        store=store,
        memory=memory,
        follow=follow,
        keyring=keyring,
        authenticator=authenticator,
        budgets=budgets,
        prices=prices,
        kill=switch,
        breakers=breakers,
        tracked=tracked,
        models=_models(store, memory, spend, runtime, spans),
    )
    follow_all(wired)
    return wired


async def _followers(store: Store, memory: Memory) -> tuple[Breakers, TrackRecords]:
    """Have all that learns from actions do so in the commits of their moves."""
    breakers, recoveries = Breakers(store=store, memory=memory), Recoveries(memory)
    store.land(recoveries.land)
    store.follow(recoveries.follow)
    store.follow(Proposals(memory).follow)
    store.follow(breakers.follow)
    store.follow(Outcomes(memory).follow)
    await breakers.load()
    tracked = TrackRecords(store=store, memory=memory)
    store.follow(tracked.follow)
    await tracked.load()
    return breakers, tracked


def _spans(settings: Settings, runtime: Runtime) -> SpanExport | None:
    """Return where spans go, None where nobody wants them."""
    wanted = collector()
    if wanted is None:
        return None
    from interlock.upstream.spans import SpanExport

    return SpanExport(
        wanted, environment=settings.environment, version=__version__, scheduler=runtime.scheduler
    )


def _models(store: Store, memory: Memory, spend: Spend, runtime: Runtime, spans: Spans | None) -> ModelCalls:
    return ModelCalls(
        store=store,
        memory=memory,
        providers=Providers(_http, secret=secret, clock=runtime.clock),
        spend=spend,
        degrade=Degrade(memory=memory, price=spend.quotes.price, habits=spend.quotes.habits),
        runtime=runtime,
        spans=spans,
    )


async def _load(store: Store, settings: Settings, runtime: Runtime) -> Memory:
    """Fill memory with what decisions read: revocations, runs and the bundle in force."""
    memory = Memory(environment=settings.environment)
    now = runtime.clock.now()
    memory.revoked = await store.read(lambda connection: revocations.load(connection, now))
    for facts in await store.read(lambda connection: list(run_facts.load_facts(connection))):
        memory.open_run(facts)
    await load_bundle(store, memory, settings)
    await load_exercises(store, memory)
    return memory


def _this_process(settings: Settings, roles: Roles) -> str:
    """Return how people know the process that serves this environment here, whenever it was started."""
    place = f"{settings.environment} on {platform.node()}"
    if roles == ALL:
        return place
    return f"{place}: {', '.join(sorted(roles))} ({settings.data.absolute()})"


def _http() -> Transport:
    from interlock.upstream.llm.client import HttpClient

    return HttpClient()
