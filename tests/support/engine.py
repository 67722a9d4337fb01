"""A governed world in one process: a real store, the engine, and a scripted executor that counts effects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from interlock.call.engine import Calls
from interlock.core.action import Action
from interlock.core.answer import Answer, Continuation, Proposal
from interlock.core.approval import Decider
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.identity import Agent, Person, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.tool import BlastRadius, Companion, Tool, ToolServer
from interlock.core.document.workflow import Approvals, Grant, Workflow
from interlock.core.model import SECOND, EffectClass, Pin, Principal, RiskTier, Source
from interlock.runtime import EventLoopScheduler, Runtime, SystemClock, TimeOrderedIds
from interlock.services.approve import Approve
from interlock.services.cancel import Cancel
from interlock.services.load_bundle import load_bundle
from interlock.services.resolve import Resolve
from interlock.services.trip import Breakers
from interlock.store import actions, bundles, documents, run_facts, run_starts
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.outcomes import Outcomes
from interlock.store.proposals import Proposals
from interlock.store.recoveries import Recoveries
from interlock.store.schema import actions as rows
from interlock.upstream.executor import (
    Bridge,
    Dispatch,
    Failed,
    InputNeeded,
    NotSent,
    Outcome,
    Succeeded,
    Unknown,
)
from support.stores import a_settings

MAP = BlastRadius(widest_scope="one order", impact="a wrong order", reversible="yes")
UNDO = Companion(tool="shop.read", arguments={})
MARIA, DENG, KIM = Decider(name="maria"), Decider(name="deng"), Decider(name="kim")


class ShiftedClock(SystemClock):
    """Real time plus what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> int:
        return super().now() + round(self.ahead * SECOND)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class HastyScheduler(EventLoopScheduler):
    """Sleeps at most a moment, so that what the clock does need not be waited for."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class Script:
    """An executor that does what a test says and keeps an own record of every effect."""

    def __init__(self) -> None:
        self.effects: list[Dispatch] = []
        self.answers: list[Outcome | Callable[[Dispatch, Bridge | None], Coroutine[Any, Any, Outcome]]] = []
        self.gate: asyncio.Event | None = None

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        answer = self.answers.pop(0) if self.answers else done(len(self.effects) + 1)
        if isinstance(answer, NotSent):
            return answer
        self.effects.append(dispatch)
        if self.gate is not None:
            await self.gate.wait()
        if callable(answer):
            return await answer(dispatch, bridge)
        return answer


async def eventually(true: Callable[[], object]) -> None:
    """Wait until something becomes true."""
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never became true")


def done(number: int = 1) -> Succeeded:
    """Return an ordinary tool result."""
    return Succeeded(payload={"content": [{"type": "text", "text": f"done {number}"}], "isError": False})


def failed() -> Failed:
    """Return a tool's own error."""
    payload = {"content": [{"type": "text", "text": "no such order"}], "isError": True}
    return Failed(message="no such order", payload=payload)


def asks() -> InputNeeded:
    """Return a tool's request for input."""
    return InputNeeded(payload={"resultType": "inputRequired", "inputRequests": {}, "requestState": "theirs"})


UNSENT = NotSent(message="The tool server cannot be reached.")
UNKNOWN = Unknown(message="No answer came in time.")


def a_tool(name: str, tier: RiskTier, effect: EffectClass, **changes: Any) -> Tool:
    """Return a complete entry of the blast-radius map that can be undone."""
    values: dict[str, Any] = {"name": name, "tier": tier, "effect": effect, "blast_radius": MAP, "undo": UNDO}
    return Tool(**values | changes)


TOOLS = (
    a_tool("shop.read", RiskTier.READ_ONLY, EffectClass.READ, undo=None),
    a_tool("shop.peek", RiskTier.HIGH_BLAST_RADIUS, EffectClass.READ, undo=None),
    a_tool("shop.write", RiskTier.LIMITED_WRITE, EffectClass.ONCE),
    a_tool("shop.refund", RiskTier.HIGH_BLAST_RADIUS, EffectClass.ONCE),
    a_tool("shop.later", RiskTier.LIMITED_WRITE, EffectClass.IDEMPOTENT, delay=600),
)


def a_manifest(
    *more: AnyDocument, grants: tuple[Grant, ...] = (), keyed: bool = False, **workflow: Any
) -> list[AnyDocument]:
    """Return a shop: two workflows of one agent, one of another, five tools.

    `keyed`: the tool that refunds knows its calls by their keys.
    """
    granted = grants or tuple(Grant(tool=each.name) for each in TOOLS)
    shared: dict[str, Any] = {
        "owner": "maria",
        "tools": granted,
        "approvals": Approvals(approvers=("desk",), expire_after=3600),
    }
    return [
        *(Person(name=name, email=f"{name}@example.com") for name in ("maria", "deng", "kim")),
        Team(name="desk", members=("maria", "deng")),
        Agent(name="bot", owner="maria"),
        Agent(name="other-bot", owner="maria"),
        ToolServer(name="shop", transport="stdio", command=("shop",), source=Source.TICKET),
        *(
            replace(each, effect=EffectClass.IDEMPOTENT) if keyed and each.name == "shop.refund" else each
            for each in TOOLS
        ),
        Workflow(name="orders", agent="bot", **shared | workflow),
        Workflow(name="returns", agent="bot", **shared),
        Workflow(name="audits", agent="other-bot", **shared),
        *more,
    ]


class World:
    """One process's engine on one data directory; `crash` and `reopen` make it several."""

    scheduler: type[EventLoopScheduler] = HastyScheduler

    def __init__(self, data: Path, database: str = "", **settings: Any) -> None:
        self.settings = a_settings(data, database=database, **settings)
        self.clock = ShiftedClock()
        self.script = Script()
        self.run = ""

    async def open(self, manifest: list[AnyDocument] | None = None, *, trusting: bool = True) -> World:
        """Start the engine; with a manifest, on an empty store; `trusting`: tools are registered."""
        self.runtime = Runtime(clock=self.clock, ids=TimeOrderedIds(self.clock), scheduler=self.scheduler())
        self.store = Store.open(self.settings, self.runtime)
        self.memory = Memory(environment=self.settings.environment)
        await load_bundle(self.store, self.memory, self.settings)
        for facts in await self.store.read(lambda found: list(run_facts.load_facts(found))):
            self.memory.open_run(facts)
        recoveries = Recoveries(self.memory)
        self.store.land(recoveries.land)
        self.store.follow(recoveries.follow)
        self.store.follow(Proposals(self.memory).follow)
        self.breakers = Breakers(store=self.store, memory=self.memory)
        self.store.follow(self.breakers.follow)
        self.store.follow(Outcomes(self.memory).follow)
        await self.breakers.load()
        if manifest is not None:
            await self.apply(manifest)
        if trusting:
            self.trust()
        self.calls = Calls(
            store=self.store,
            memory=self.memory,
            executor=self.script,
            runtime=self.runtime,
            settings=self.settings,
            counts=self.breakers.of_read,
        )
        await self.calls.start()
        if manifest is not None:
            self.run = await self.open_run()
        return self

    def trust(self, **pins: str) -> None:
        """Register the shop's tools, with other digests where given."""
        for tool in self.memory.bundle.tools if self.memory.bundle else ():
            seen = pins.get(tool.partition(".")[2], f"pin of {tool}")
            self.memory.set_pin(Pin(tool=tool, digest=f"pin of {tool}", seen=seen), lambda _: None)

    async def apply(self, manifest: list[AnyDocument]) -> Bundle:
        """Put a manifest in force."""
        versions = {("Workflow", each.name): 1 for each in manifest if isinstance(each, Workflow)}
        bundle = compile_bundle(
            manifest,
            environment=self.settings.environment,
            versions={name: 1 for _, name in versions},
        )
        every = {(type(each).__name__, each.name): 1 for each in manifest}

        def put(transaction: Transaction) -> None:
            base = documents.head_version(transaction.connection, self.settings.environment)
            bundles.put_in_force(transaction, self.memory, bundle, every, base=base, by="maria")

        await self.store.transact(put)
        return bundle

    async def open_run(self, workflow: str = "orders", agent: str = "bot", by: str = "kim") -> str:
        """Open a run and return its id."""
        start = run_starts.RunStart(
            workflow=workflow, agent=agent, started_by=by, lease_until=self.clock.now() + 10**13
        )
        return (await self.store.transact(lambda tx: run_starts.start(tx, self.memory, start)))[0].id

    def principal(self, run: str = "", **changes: Any) -> Principal:
        """Return the caller that a run token of `run` names."""
        known = self.memory.runs[run or self.run]
        values: dict[str, Any] = {
            "agent": "bot" if known.workflow != "audits" else "other-bot",
            "owner": "maria",
            "workflow": known.workflow,
            "workflow_version": 1,
            "run": known.run,
            "environment": self.settings.environment,
            "token_id": "tok_1",
            "key_id": "key_1",
            "epoch": 1,
            "expires_at": self.clock.now() + 600 * SECOND,
        }
        return Principal(**values | changes)

    def proposal(
        self,
        tool: str = "shop.refund",
        arguments: Mapping[str, Any] | None = None,
        *,
        continuation: Continuation | None = None,
        principal: Principal | None = None,
    ) -> Proposal:
        """Return one proposed call."""
        given = {"order": 1} if arguments is None else dict(arguments)
        return Proposal(
            principal=principal or self.principal(),
            tool=tool,
            arguments=given,
            digest=digest(given),
            continuation=continuation,
        )

    async def propose(self, *of: Any, wait: float = 0, bridge: Bridge | None = None, **more: Any) -> Answer:
        """Propose one call and return the engine's answer."""
        return await self.calls.propose(self.proposal(*of, **more), bridge=bridge, wait=wait)

    @property
    def people(self) -> Approve:
        """What people can decide."""
        return Approve(store=self.store, memory=self.memory, runtime=self.runtime)

    @property
    def cancel(self) -> Cancel:
        """What people can stop."""
        return Cancel(store=self.store, memory=self.memory)

    @property
    def resolve(self) -> Resolve:
        """What people can clear up."""
        return Resolve(store=self.store, memory=self.memory)

    async def action(self, action: str) -> Action:
        """Return an action as it is on disk."""
        return await self.store.read(lambda found: actions.get(found, action))

    async def every(self) -> list[Action]:
        """Return all actions on disk, oldest first."""
        return list(reversed(await self.store.read(lambda found: actions.listed(found, limit=10_000))))

    async def until(self, action: str, *states: str) -> Action:
        """Wait until an action is in one of `states` on disk; a final one is known in memory by then, too."""
        known = await self.action(action)
        for _ in range(1000):
            if known.state.value in states and not (known.state.final and self._behind(known)):
                return known
            await asyncio.sleep(0.01)
            known = await self.action(action)
        raise AssertionError(f"{action} is {known.state}, not {states}")

    def _behind(self, known: Action) -> bool:
        """Whether memory does not know yet how an action ended: what a commit brings about comes after it.

        How one ended that another process carried out is not known before the next look at the database.
        """
        live = self.memory.actions.get(known.id)
        unknown = self.store.alone and live is not None and live.state is not known.state
        return unknown or self.calls.flights.aloft(known.id)

    async def approve(self, approval: str, person: Decider = MARIA) -> None:
        """Let a person approve, and the engine know."""
        decided = await self.people.approve(approval, person)
        self.calls.decided(decided.action)

    async def lease_over(self) -> None:
        """Let the lease of what a dead process was executing have ended; on SQLite it needs none to end."""
        if not self.store.alone:
            cut = sa.update(rows).where(rows.c.state == "executing").values(lease_until=1)
            await self.store.transact(lambda transaction: transaction.execute(cut) and None)

    async def crash(self) -> None:
        """Stop without settling anything, as `kill -9` does: what was not committed is gone."""
        mine = asyncio.current_task()
        lost = [task for task in asyncio.all_tasks() if task is not mine and task.get_name() != "Task-1"]
        for task in lost:
            task.cancel()
        for task in lost:
            with suppress(asyncio.CancelledError):
                await task
        self.store.close_now()

    async def reopen(self) -> World:
        """Start anew on the same data directory."""
        self.script.gate = None
        return await self.open()

    async def close(self) -> None:
        """Stop in order."""
        await self.calls.close()
        await self.store.close()

    def ahead(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.ahead += seconds

    def narrowed(self, *tools: str) -> Principal:
        """Return the caller with a token for `tools` alone."""
        return replace(self.principal(), scope=frozenset(tools))
