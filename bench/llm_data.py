"""A data directory for the LLM benchmark: a provider, a workflow with budgets everywhere, an open run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Organisation, Person, Team
from interlock.core.document.kind import AnyDocument, key
from interlock.core.document.provider import DeclaredPrice, DeclaredRates, Provider, ProviderModel
from interlock.core.document.spending import Budget, Models
from interlock.core.document.workflow import Workflow
from interlock.core.model import WireFamily
from interlock.runtime import Runtime
from interlock.services.open_run import open_run
from interlock.settings import Settings
from interlock.store import bundles
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory

MODEL = "bench-model"
_PLENTY = 10**15


def prepare(data: Path, upstream: str) -> str:
    """Apply the manifest into `data` and return the token of an open run."""
    return asyncio.run(_prepare(data, upstream))


def _documents(upstream: str) -> list[AnyDocument]:
    budget = Budget(run=_PLENTY, hour=_PLENTY, day=_PLENTY, month=_PLENTY)
    price = DeclaredPrice(rates=DeclaredRates(input=2_000_000, output=8_000_000))
    model = ProviderModel(name=MODEL, price=price, window=200_000, max_output=4_096)
    return [
        Person(name="maria", email="maria@example.com", roles=("agent_owner",)),
        Team(name="support", members=("maria",), budget=budget),
        Organisation(name="acme", budget=budget),
        Agent(name="writer", owner="maria"),
        Provider(
            name="mock", base_url=f"{upstream}/v1", wire_formats=(WireFamily.OPENAI,), models=(model,),
            concurrency=1_024,
        ),
        Workflow(
            name="write", agent="writer", owner="maria", models=Models(allow=(MODEL,)), budget=budget
        ),
    ]  # fmt: skip


async def _prepare(data: Path, upstream: str) -> str:
    settings, runtime = Settings(data=data), Runtime.real()
    store = Store.open(settings, runtime)
    try:
        memory = Memory(environment=settings.environment)
        bundle = compile_bundle(_documents(upstream), environment=settings.environment)
        versions = {key(each)[:2]: 1 for each in bundle.documents}
        await store.transact(
            lambda each: bundles.put_in_force(each, memory, bundle, versions, base=0, by="maria")
        )
        keyring = await Keyring.open(store, settings)
        opened = await open_run(
            store=store, memory=memory, keyring=keyring, settings=settings, workflow="write",
            started_by="bench",
        )  # fmt: skip
        return opened.token.token
    finally:
        await store.close()
