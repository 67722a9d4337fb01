"""What one in-process decision costs with audit on: `python -m bench.decision [--quick]`.

A decision here is all that the engine does for a read: digest of the arguments, snapshot, verdict, and the
audit entry into the bounded queue that the writer flushes to SQLite on disk. A million of them, in turns
under a policy of 10 rules and one of 100; one call in ten is refused. A floor that is missed fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from interlock.core.admission import RunFacts, any_arguments
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.canonical import digest
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.rule import Rule
from interlock.core.document.tool import BlastRadius, Tool, ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import DAY, EffectClass, Pin, Principal, Request, RiskTier, Verdict
from interlock.runtime import Runtime, settle_collector
from interlock.services.admit import Admit
from interlock.settings import Settings
from interlock.store.database import Store
from interlock.store.memory import Memory

P50_FLOOR, RATE_FLOOR, RATIO_FLOOR, GROWTH_FLOOR = 20.0, 40_000, 1.20, 8 * 1024 * 1024
TOOLS, CALLED, BLOCK = 50, 10, 2_500
MAP = BlastRadius(widest_scope="one record", impact="a wrong answer", reversible="yes")


def rules(count: int, tools: int) -> tuple[Rule, ...]:
    """Return `count` rules spread evenly over the first `tools` tools."""
    return tuple(
        Rule(
            id=f"rule-{number}",
            tool=f"crm.tool{number % tools}",
            then=Verdict.DENY,
            when={"args.account": {"prefix": f"blocked-{number}"}, "run.taints": {"contains": "web"}},
        )
        for number in range(count)
    )


def bundle(declared: tuple[Rule, ...]) -> Bundle:
    """Return a policy of one workflow with fifty tools, each within limits, and these rules."""
    names = [f"crm.tool{number}" for number in range(TOOLS)]
    where = {"args.currency": "EUR", "args.amount_cents": {"le": 50_000}}
    documents: list[AnyDocument] = [
        Person(name="maria", email="maria@example.com"),
        Agent(name="refund-bot", owner="maria"),
        ToolServer(name="crm", transport="stdio", command=("crm",)),
        *(
            Tool(name=name, tier=RiskTier.READ_ONLY, effect=EffectClass.READ, blast_radius=MAP)
            for name in names
        ),
        Workflow(
            name="refunds",
            agent="refund-bot",
            owner="maria",
            tools=tuple(Grant(tool=name, where=where) for name in names),
            rules=declared,
        ),
    ]
    return compile_bundle(documents, environment="dev")


@dataclass
class Policy:
    """One policy under measurement, with every latency in nanoseconds."""

    name: str
    admit: Admit
    room: array[int] = field(default_factory=lambda: array("Q", bytes(8 * BLOCK)))
    measured: int = 0

    def make_room(self, decisions: int) -> None:
        """Forget what was measured and take all memory for what will be, so that it is not seen as growth."""
        self.room, self.measured = array("Q", bytes(8 * decisions)), 0

    def note(self, nanoseconds: int) -> None:
        """Keep one latency."""
        self.room[self.measured] = nanoseconds
        self.measured += 1

    @property
    def p50(self) -> float:
        return statistics.median(self.room[: self.measured]) / 1000

    @property
    def p99(self) -> float:
        return sorted(self.room[: self.measured])[self.measured * 99 // 100] / 1000


def policy(name: str, declared: tuple[Rule, ...], store: Store, runtime: Runtime) -> Policy:
    """Return a policy ready to decide, its run open and its tools registered."""
    memory = Memory(environment="dev", bundle=bundle(declared))
    memory.open_run(RunFacts(run="run_1", workflow="refunds", version=1, started_at=runtime.clock.now()))
    for tool in range(TOOLS):
        memory.set_pin(Pin(tool=f"crm.tool{tool}", digest="pin"), any_arguments)
    return Policy(name, Admit(store=store, memory=memory, runtime=runtime, process="bench", call_timeout=60))


def proposals() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return calls without end: nine within the limits, then one that is not."""
    calls = [
        (
            f"crm.tool{number % CALLED}",
            {
                "account": f"acc-{number}",
                "currency": "EUR",
                "amount_cents": 90_000 if number % 10 == 9 else 100 * number,
                "note": "asked for by the customer",
            },
        )
        for number in range(100)
    ]
    return cycle(calls)


async def decide(one: Policy, principal: Principal, calls: Iterator[tuple[str, dict[str, Any]]]) -> None:
    """Decide one block of calls, each with its audit entry."""
    admit, note, clock = one.admit, one.note, time.perf_counter_ns
    for tool, arguments in islice(calls, BLOCK):
        began = clock()
        request = Request(tool=tool, arguments=arguments, digest=digest(arguments), principal=principal)
        decision = admit.decide(request)
        if decision.denied:
            await admit.refuse(request, decision)
        else:
            await admit.allow_read(request, decision)
        note(clock() - began)


def resident() -> int:
    """Return the memory this process holds, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def measure(decisions: int, directory: Path) -> bool:
    """Run everything; return whether all floors hold."""
    runtime = Runtime.real()
    store = Store.open(Settings(data=directory), runtime)
    few = policy("10 rules across 10 tools", rules(10, CALLED), store, runtime)
    many = policy("100 rules across 50 tools", rules(100, TOOLS), store, runtime)
    worst = policy("100 rules, 10 on each called tool", rules(100, CALLED), store, runtime)
    principal = Principal(
        agent="refund-bot",
        owner="maria",
        workflow="refunds",
        workflow_version=1,
        run="run_1",
        environment="dev",
        token_id="tok_1",
        key_id="key_1",
        epoch=1,
        expires_at=runtime.clock.now() + DAY,
    )
    calls = proposals()
    for one in (few, many, worst):  # warm, and not counted
        await decide(one, principal, calls)
        one.make_room(decisions)
    settle_collector()
    busy = time.process_time()
    growth, rate = await timed(decisions, (few, many), store, principal, calls)
    busy = (time.process_time() - busy) / decisions * 1e6
    print(f"{busy:.1f} us of processor time a decision, all threads: journal, chain and flush included")
    for _ in range(20):
        await decide(worst, principal, calls)
    await store.close()
    return report((few, many, worst), growth, rate)


async def timed(
    decisions: int,
    turns: tuple[Policy, Policy],
    store: Store,
    principal: Principal,
    calls: Iterator[tuple[str, dict[str, Any]]],
) -> tuple[int, float]:
    """Decide in turns; return how much memory grew after the first tenth, and decisions a second."""
    blocks = decisions // BLOCK
    settled = 0
    began = time.perf_counter()
    for block in range(blocks):
        await decide(turns[block % 2], principal, calls)
        if block == blocks // 10:
            settled = resident()
    await store.transact(lambda _: None)  # behind everything queued: all of it is on disk
    elapsed = time.perf_counter() - began
    return max(0, resident() - settled), blocks * BLOCK / elapsed


def report(measured: tuple[Policy, Policy, Policy], growth: int, rate: float) -> bool:
    """Print the figures and return whether they reach the floors."""
    few, many, _ = measured
    for one in measured:
        print(f"{one.name:36} p50 {one.p50:6.1f} us   p99 {one.p99:7.1f} us   ({one.measured:,})")
    floors = [
        (f"p50 {max(few.p50, many.p50):.1f} us", max(few.p50, many.p50) <= P50_FLOOR, f"<= {P50_FLOOR} us"),
        (f"{rate:,.0f} decisions/s, all on disk", rate >= RATE_FLOOR, f">= {RATE_FLOOR:,}/s"),
        (
            f"100 rules : 10 rules {many.p50 / few.p50:.2f}",
            many.p50 / few.p50 <= RATIO_FLOOR,
            f"<= {RATIO_FLOOR}",
        ),
        (
            f"memory grew {growth / 2**20:.1f} MiB",
            growth <= GROWTH_FLOOR,
            f"<= {GROWTH_FLOOR / 2**20:.0f} MiB",
        ),
    ]
    for figure, held, floor in floors:
        print(f"{'ok  ' if held else 'MISS'}  {figure}  (floor {floor})")
    return all(held for _, held, _ in floors)


def main() -> int:
    """Run the benchmark; 1 when a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundred thousand decisions, not a million")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as directory:
        return 0 if asyncio.run(measure(100_000 if quick else 1_000_000, Path(directory))) else 1


if __name__ == "__main__":
    sys.exit(main())
