"""A data directory for the MCP benchmark: one workflow that may call the tool, ten rules, an open run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import key
from interlock.core.document.rule import Rule
from interlock.core.document.tool import BlastRadius, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import EffectClass, RiskTier, Verdict
from interlock.runtime import Runtime
from interlock.services.open_run import open_run
from interlock.settings import Settings
from interlock.store import bundles
from interlock.store.database import Store
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory


def prepare(data: Path, upstream: str) -> tuple[str, str]:
    """Apply the manifest into `data` and return the tokens of two open runs."""
    return asyncio.run(_prepare(data, upstream))


def _documents(upstream: str) -> list[Person | Agent | ToolServer | Tool | Workflow]:
    rules = tuple(
        Rule(id=f"never-{number}", tool="records.lookup", when={"args.key": f"x{number}"}, then=Verdict.DENY)
        for number in range(10)
    )
    radius = BlastRadius(widest_scope="one record", impact="none", reversible="always")
    return [
        Person(name="maria", email="maria@example.com", roles=("agent_owner",)),
        Agent(name="reader", owner="maria"),
        ToolServer(name="records", transport="http", url=upstream, stateless=True),
        Tool(name="records.lookup", tier=RiskTier.READ_ONLY, effect=EffectClass.READ, blast_radius=radius),
        Workflow(
            name="read", agent="reader", owner="maria", tools=(Grant(tool="records.lookup"),), rules=rules
        ),
    ]


async def _prepare(data: Path, upstream: str) -> tuple[str, str]:
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
        tokens = [
            (
                await open_run(
                    store=store,
                    memory=memory,
                    keyring=keyring,
                    settings=settings,
                    workflow="read",
                    started_by="bench",
                )
            ).token.token
            for _ in range(2)
        ]
        return tokens[0], tokens[1]
    finally:
        await store.close()
