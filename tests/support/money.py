"""Budgets on a real store: a manifest that declares them, runs that spend, the sum that must come out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.document.identity import Agent, Organisation, Person, Team
from interlock.core.document.kind import AnyDocument
from interlock.core.document.spending import Budget
from interlock.core.document.workflow import Workflow
from interlock.core.model import SECOND, Principal
from interlock.core.snapshot import RunFacts
from interlock.runtime import EventLoopScheduler, Runtime, TimeOrderedIds
from interlock.store import accounts, holds, model_calls
from interlock.store.accounts import AccountRow
from interlock.store.budgets import LEASE, Budgets
from interlock.store.database import Store
from interlock.store.live_accounts import Held
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow
from interlock.store.schema import epochs
from support.engine import ShiftedClock
from support.stores import a_settings

_numbers = count()


def a_bundle(
    *more: AnyDocument,
    workflow: Budget | None = None,
    agent: Budget | None = None,
    team: Budget | None = None,
    organisation: Budget | None = None,
) -> Bundle:
    """Return a policy whose workflow `orders` of `bot` is charged to whatever declares a budget."""
    documents: list[AnyDocument] = [
        Person(name="maria", email="maria@example.com"),
        Team(name="desk", members=("maria",), budget=team),
        Agent(name="bot", owner="maria", budget=agent),
        Organisation(name="acme", budget=organisation),
        Workflow(name="orders", agent="bot", owner="maria", budget=workflow),
        *more,
    ]
    return compile_bundle(documents, environment="dev")


def a_principal(run: str = "run_1", workflow: str = "orders", agent: str = "bot") -> Principal:
    """Return whoever calls in a run."""
    return Principal(
        agent=agent,
        owner="maria",
        workflow=workflow,
        workflow_version=1,
        run=run,
        environment="dev",
        token_id="tok",
        key_id="key",
        epoch=1,
        expires_at=1 << 60,
    )


def a_row(principal: Principal, **values: Any) -> LedgerRow:
    """Return what a caller knows of a call."""
    given: dict[str, Any] = {
        "attempt": "",
        "environment": "dev",
        "run": principal.run,
        "root_run": principal.run,
        "workflow": principal.workflow,
        "version": principal.workflow_version,
        "agent": principal.agent,
        "provider": "scripted",
        "requested_model": "large",
        "served_model": "large",
        "ending": "completed",
        "started_at": 1,
        "ended_at": 2,
    }
    return LedgerRow(**given | values)


class Purse:
    """One process's budgets on one store."""

    def __init__(self, store: Store, bundle: Bundle, clock: ShiftedClock, *, lease: int = LEASE) -> None:
        self.store = store
        self.clock = clock
        self.runtime = Runtime(clock=clock, ids=TimeOrderedIds(clock), scheduler=EventLoopScheduler())
        self.memory = Memory(environment="dev", bundle=bundle)
        self.budgets = Budgets(store=store, memory=self.memory, runtime=self.runtime, lease=lease)
        self.attempts = count()

    @classmethod
    async def open(
        cls,
        data: Path,
        database: str,
        bundle: Bundle,
        *,
        start: bool = True,
        **more: Any,
    ) -> Purse:
        """Open a store and start the budgets on it."""
        clock = ShiftedClock()
        runtime = Runtime(clock=clock, ids=TimeOrderedIds(clock), scheduler=EventLoopScheduler())
        store = Store.open(a_settings(data, database=database), runtime)
        purse = cls(store, bundle, clock, **more)
        if start:
            await purse.budgets.start()
        return purse

    async def close(self) -> None:
        """Stop in order."""
        await self.budgets.close()
        await self.store.close()

    def open_run(self, run: str, workflow: str = "orders", above: tuple[tuple[str, str], ...] = ()) -> None:
        """Let memory know a run."""
        self.memory.open_run(RunFacts(run=run, workflow=workflow, version=1, above=above))

    def hold(self, exp: int, most: int, *, by: Principal | None = None, **more: Any) -> Any:
        """Hold for a new attempt, now."""
        now = more.pop("now", self.clock.now())
        attempt = more.pop("attempt", f"att_{next(_numbers)}")
        return self.budgets.hold(by or a_principal(), attempt, exp=exp, most=most, now=now, **more)

    def settle(self, held: Held, cost: int, **row: Any) -> bool:
        """Settle a hold."""
        return self.budgets.settle(held, cost, a_row(a_principal(held.run), **row))

    async def spend(self, cost: int, **more: Any) -> Held:
        """Hold, wait until it may be sent, settle at what was held."""
        held = self.hold(cost, cost, **more)
        assert isinstance(held, Held), held
        assert await self.budgets.durable(held) is None
        self.settle(held, cost)
        return held

    async def books(self) -> dict[str, AccountRow]:
        """Return the accounts on disk by kind and window, once everything is written."""
        await self.budgets.flush()
        rows = await self.store.read(lambda found: accounts.listed(found, "dev", limit=500))
        return {f"{row.key.kind}:{row.key.window}": row for row in rows}


async def die(purse: Purse) -> None:
    """Stop without a word, as `kill -9` does."""
    mine = asyncio.current_task()
    for task in asyncio.all_tasks() - {mine}:
        task.cancel()
    await asyncio.sleep(0)
    purse.store.close_now()


async def expire(purse: Purse) -> None:
    """Let the lease of every process on this database have passed."""
    await asyncio.sleep(0.1)  # what was on its way would renew it
    await purse.store.transact(lambda each: each.execute(sa.update(epochs).values(lease_until=1)))


def balanced(store: Store) -> Callable[[Any], dict[str, tuple[int, int]]]:
    """Return a reading of what each account says was spent, and what its rows and charges sum up to."""

    def read(connection: Any) -> dict[str, tuple[int, int]]:
        rows = accounts.listed(connection, "dev", limit=500)
        sums = model_calls.sums(connection)
        expired = holds.uncertain(connection, [row.id for row in rows])
        return {
            row.id: (row.spent, sums.get(row.id, 0) + row.charged + expired.get(row.id, 0)) for row in rows
        }

    return read


def dollars(amount: float) -> int:
    """Return an amount of dollars in nano-dollars."""
    return round(amount * 1_000_000_000)


MINUTE = 60 * SECOND
