"""What one durable write action costs on SQLite (synchronous=FULL): `python -m bench.writes [--quick]`.

A write action is all of it: decision, intent on disk, a tool that does nothing, outcome on disk, each with
its move and its audit entry. Beside it, in the same run and on the same disk, a bare loop of two commits of
one row. A floor that is missed fails the run; a machine whose bare loop misses it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvloop

from interlock.call.engine import Calls
from interlock.core.answer import Completed, Proposal
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.identity import Agent, Person
from interlock.core.document.tool import BlastRadius, Companion, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import DAY, EffectClass, Pin, Principal, RiskTier
from interlock.runtime import Runtime, settle_collector
from interlock.settings import Settings
from interlock.store import bundles, run_starts
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.schema import timers
from interlock.upstream.executor import Bridge, Dispatch, Outcome, Succeeded

P50_FLOOR, RATE_FLOOR, STATEMENTS_FLOOR, CALLERS = 1.0, 3_000, 14, 64
MAP = BlastRadius(widest_scope="one order", impact="a wrong order", reversible="yes")
WARM = 200


class Nothing:
    """A tool that answers at once."""

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Answer."""
        del dispatch, bridge
        return Succeeded(payload={"content": [{"type": "text", "text": "done"}]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Milliseconds alone, and per second with 64 callers."""

    p50: float
    p95: float
    rate: float


def bundle() -> Bundle:
    """Return a policy with one tool that writes and can be undone."""
    return compile_bundle(
        [
            Person(name="maria", email="maria@example.com"),
            Agent(name="bot", owner="maria"),
            ToolServer(name="shop", transport="stdio", command=("shop",)),
            Tool(
                name="shop.write",
                tier=RiskTier.LIMITED_WRITE,
                effect=EffectClass.ONCE,
                blast_radius=MAP,
                undo=Companion(tool="shop.unwrite", arguments={}),
            ),
            Tool(
                name="shop.unwrite",
                tier=RiskTier.LIMITED_WRITE,
                effect=EffectClass.IDEMPOTENT,
                blast_radius=MAP,
                delay=600,
            ),
            Workflow(name="orders", agent="bot", owner="maria", tools=(Grant(tool="shop.write"),)),
        ],
        environment="dev",
        versions={"orders": 1},
    )


async def engine(store: Store, settings: Settings, runtime: Runtime) -> tuple[Calls, Principal]:
    """Return a started engine and a caller."""
    memory, policy = Memory(environment="dev"), bundle()
    memory.set_pin(Pin(tool="shop.write", digest="pin", seen="pin"), lambda _: None)
    versions = {(type(each).__name__, each.name): 1 for each in policy.documents}

    def prepare(transaction: Transaction) -> None:
        bundles.put_in_force(transaction, memory, policy, versions, base=0, by="maria")

    await store.transact(prepare)
    until = runtime.clock.now() + DAY
    start = run_starts.RunStart(workflow="orders", agent="bot", started_by="maria", lease_until=until)
    run, _ = await store.transact(lambda transaction: run_starts.start(transaction, memory, start))
    calls = Calls(store=store, memory=memory, executor=Nothing(), runtime=runtime, settings=settings)
    await calls.start()
    principal = Principal(
        agent="bot",
        owner="maria",
        workflow="orders",
        workflow_version=1,
        run=run.id,
        environment="dev",
        token_id="tok",
        key_id="key",
        epoch=1,
        expires_at=until,
    )
    return calls, principal


async def measure(once: Callable[[int], Awaitable[None]], *, alone: int, together: int) -> Measured:
    """Time `once` alone, then from 64 callers at a time."""
    for number in range(WARM):
        await once(number)
    took: list[float] = []
    for number in range(WARM, WARM + alone):
        began = time.perf_counter()
        await once(number)
        took.append((time.perf_counter() - began) * 1e3)
    numbers = iter(range(WARM + alone, WARM + alone + together))

    async def caller() -> None:
        for number in numbers:
            await once(number)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    rate = together / (time.perf_counter() - began)
    return Measured(p50=statistics.median(took), p95=statistics.quantiles(took, n=20)[18], rate=rate)


async def run(data: Path, *, alone: int, together: int) -> int:
    """Measure both, print, and return the exit code."""
    settings, runtime = Settings(data=data), Runtime.real()
    store = Store.open(settings, runtime)
    calls, principal = await engine(store, settings, runtime)
    settle_collector()  # as `interlock serve` does once everything is loaded
    statements: Counter[str] = Counter()

    async def action(number: int) -> None:
        arguments = {"order": number}
        proposal = Proposal(
            principal=principal, tool="shop.write", arguments=arguments, digest=digest(arguments)
        )
        answer = await calls.propose(proposal, wait=0)
        assert isinstance(answer, Completed), answer

    async def bare(number: int) -> None:
        for half in ("intent", "outcome"):
            row = {"kind": half, "ref": str(number), "due_at": number}
            await store.transact(lambda transaction, row=row: transaction.execute(_ROW, row))

    plain = await measure(bare, alone=alone, together=together)
    whole = await measure(action, alone=alone, together=together)
    await asyncio.sleep(0.2)
    await count_statements(store, statements)
    for number in range(-100, 0):
        await action(number)
    await asyncio.sleep(0.2)
    each = statements["statement"] / 100
    await calls.close()
    await store.close()
    return report(plain, whole, each)


_ROW = sa.insert(timers)
_BRACKETS = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


async def count_statements(store: Store, found: Counter[str]) -> None:
    """Count every statement the writer runs from now on, apart from the brackets of a transaction."""

    def count(statement: str) -> None:
        found["bracket" if statement.startswith(_BRACKETS) else "statement"] += 1

    def trace(transaction: Transaction) -> None:
        driver: Any = transaction.connection.connection.dbapi_connection
        driver.set_trace_callback(count)

    await store.transact(trace)


def report(plain: Measured, whole: Measured, each: float) -> int:
    """Print the figures; return 1 when a floor is missed."""
    print(f"{'':24}{'p50 ms':>9}{'p95 ms':>9}{'per s, 64 callers':>20}")
    for name, seen in (("bare two-commit loop", plain), ("governed write action", whole)):
        print(f"{name:24}{seen.p50:>9.2f}{seen.p95:>9.2f}{seen.rate:>20,.0f}")
    print(f"{'ratio':24}{whole.p50 / plain.p50:>9.2f}{'':9}{whole.rate / plain.rate:>20.2f}")
    print(f"statements an action: {each:.1f}")
    if plain.p50 > P50_FLOOR:
        print(f"Two bare commits alone take {plain.p50:.2f} ms here: the disk misses the floor.")
    missed = [
        said
        for said, wrong in (
            (f"p50 {whole.p50:.2f} ms is above {P50_FLOOR} ms", whole.p50 > P50_FLOOR),
            (f"{whole.rate:,.0f}/s is below {RATE_FLOOR:,}/s", whole.rate < RATE_FLOOR),
            (f"{each:.1f} statements are more than {STATEMENTS_FLOOR}", each > STATEMENTS_FLOOR),
        )
        if wrong
    ]
    for said in missed:
        print(f"FLOOR MISSED: {said}")
    return 1 if missed else 0


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls")
    parser.add_argument("--data", type=Path, help="a directory on the disk to measure")
    asked = parser.parse_args()
    share = 10 if asked.quick else 1
    with tempfile.TemporaryDirectory(dir=asked.data) as data:
        return uvloop.run(run(Path(data) / "data", alone=2_000 // share, together=20_000 // share))


if __name__ == "__main__":
    sys.exit(main())
