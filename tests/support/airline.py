"""Recorded traffic of an airline service agent, replayed through the engine under a manifest of its tools.

`python -m support.airline FILE` replays a whole file of recorded runs (tau-bench's own form or the
excerpt's) and prints what came of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.core.answer import Completed, Refused, TurnedDown, Waiting
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import AnyDocument
from interlock.core.document.rule import Rule
from interlock.core.document.tool import Companion, Tool, ToolServer
from interlock.core.document.workflow import Approvals, Grant, Workflow
from interlock.core.model import EffectClass, RiskTier, Source, Verdict
from interlock.services.verify_audit import verify_database
from interlock.store.schema import audit
from interlock.upstream.executor import Bridge, Dispatch, Outcome
from support.engine import MAP, MARIA, World, done

READS = (
    "get_user_details", "get_reservation_details", "search_direct_flight", "search_onestop_flight",
    "list_all_airports", "calculate",
)  # fmt: skip
WRITES = ("book_reservation", "update_reservation_flights", "update_reservation_baggages")
HIGH = ("cancel_reservation", "send_certificate", "update_reservation_passengers")
UNGRANTED = ("think", "transfer_to_human_agents")
MOST = 100


@dataclass
class Tally:
    """What was expected of the calls, by looking at them alone, and what came."""

    expected: Counter[str] = field(default_factory=Counter[str])
    seen: Counter[str] = field(default_factory=Counter[str])
    audited: Counter[str] = field(default_factory=Counter[str])
    effects: Counter[str] = field(default_factory=Counter[str])
    verified: bool = False


class Airline:
    """A tool server that answers at once and counts."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Answer."""
        self.tally.effects["write" if dispatch.action else "read"] += 1
        return done()


def manifest() -> list[AnyDocument]:
    """Return the airline's tools by tier, a limit on certificates, and who approves."""
    undo = Companion(tool="air.get_reservation_details", arguments={})

    def tool(name: str, tier: RiskTier, effect: EffectClass, **more: Any) -> Tool:
        return Tool(name=f"air.{name}", tier=tier, effect=effect, blast_radius=MAP, **more)

    return [
        Person(name="maria", email="maria@example.com"),
        Agent(name="air-bot", owner="maria"),
        ToolServer(name="air", transport="stdio", command=("air",), source=Source.INTERNAL),
        *(tool(name, RiskTier.READ_ONLY, EffectClass.READ) for name in READS),
        *(tool(name, RiskTier.LIMITED_WRITE, EffectClass.ONCE, undo=undo) for name in WRITES),
        *(tool(name, RiskTier.HIGH_BLAST_RADIUS, EffectClass.ONCE, undo=undo) for name in HIGH),
        *(tool(name, RiskTier.READ_ONLY, EffectClass.READ) for name in UNGRANTED),
        Workflow(
            name="service",
            agent="air-bot",
            owner="maria",
            tools=tuple(Grant(tool=f"air.{name}") for name in READS + WRITES + HIGH),
            rules=(
                Rule(
                    id="certificates",
                    tool="air.send_certificate",
                    when={"args.amount": {"gt": MOST}},
                    then=Verdict.DENY,
                ),
            ),
            approvals=Approvals(approvers=("maria",)),
        ),
    ]


def read(path: Path, most: int) -> list[list[dict[str, Any]]]:
    """Return the calls of up to `most` runs."""
    runs: list[list[dict[str, Any]]] = []
    for line in path.read_text().splitlines():
        found = json.loads(line)
        if "calls" in found:
            runs.append(found["calls"])
        elif "messages" in found:
            runs.append([call for each in found["messages"] for call in each.get("tool_calls") or []])
    return runs[:most]


def expected(call: dict[str, Any]) -> str:
    """Say what must come of a call, from the manifest as a person reads it."""
    name = call["tool"]
    if name in UNGRANTED or (name == "send_certificate" and call["args"]["amount"] > MOST):
        return "denied"
    return "read" if name in READS else "written" if name in WRITES else "asked"


async def replay(data: Path, runs: list[list[dict[str, Any]]]) -> Tally:
    """Replay `runs` side by side; every third call that waits is rejected."""
    tally = Tally()
    world = World(data)
    world.script = Airline(tally)  # type: ignore[assignment]
    await world.open()
    await world.apply(manifest())
    world.trust()

    async def one(calls: list[dict[str, Any]]) -> None:
        run = await world.open_run("service", "air-bot")
        caller = world.principal(run, agent="air-bot")
        for call in calls:
            tally.expected[expected(call)] += 1
            tally.seen[await outcome(f"air.{call['tool']}", call["args"], caller)] += 1

    async def outcome(tool: str, arguments: dict[str, Any], caller: Any) -> str:
        answer = await world.propose(tool, arguments, principal=caller)
        if isinstance(answer, Refused):
            return "denied"
        if isinstance(answer, Waiting):
            tally.seen["waited"] += 1
            if tally.seen["waited"] % 3 == 0:
                await world.people.reject(answer.approval, MARIA, reason="not this one")
            else:
                await world.approve(answer.approval)
            final = await world.calls.resume(caller, answer.approval, wait=20)
            tally.seen[type(final).__name__] += 1
            assert isinstance(final, Completed | TurnedDown), final
            return "asked"
        assert isinstance(answer, Completed), answer
        return "written" if answer.action else "read"

    await asyncio.gather(*(one(calls) for calls in runs))
    await world.close()
    world.store = type(world.store).open(world.settings, world.runtime)
    kinds = await world.store.read(lambda found: found.execute(audit.select()).fetchall())
    tally.audited.update(row.kind for row in kinds)
    await world.store.close()
    tally.verified = verify_database(world.settings).ok
    return tally


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        every = read(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100)
        found = asyncio.run(replay(Path(place), every))
        sys.stdout.write(f"{len(every)} runs\n{found}\n")
