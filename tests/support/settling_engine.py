"""An engine that dies while it makes a call final, or takes it back: `python -m support.settling_engine ...`.

Its arguments: DATA DATABASE ACTION APPROVAL POINT. With an approval it lets the confirmation pass, with ""
the deadline; at `before` or `after` the effect it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from interlock.store import actions
from interlock.store.schema import timers
from interlock.upstream.executor import Bridge, Dispatch, Outcome, Succeeded
from support.engine import World
from support.engine_child import append, die


class Bank:
    """The world outside: a file of what happened. `point` says where the process dies, "" nowhere."""

    def __init__(self, effects: Path, point: str = "") -> None:
        self.effects, self.point = effects, point

    async def execute(self, dispatch: Dispatch, bridge: Bridge | None) -> Outcome:
        """Let the effect happen."""
        if self.point == "before":
            die()
        append(
            self.effects, {"tool": dispatch.tool, "key": dispatch.idempotency_key, **dict(dispatch.arguments)}
        )
        if self.point == "after":
            die()
        held = {"hold": dispatch.arguments.get("order", 0)}
        return Succeeded(payload={"structuredContent": held, "content": [], "isError": False})


async def ripe(world: World, action: str) -> None:
    """Let the deadline of a provisional action be over, whatever the clock of the database says."""
    due = sa.update(timers).where(timers.c.ref == action, timers.c.kind == "settlement").values(due_at=1)
    late = sa.update(actions.actions).where(actions.actions.c.id == action, actions.actions.c.due_at > 1)

    def work(transaction: Any) -> None:
        transaction.execute(due)
        transaction.execute(late.values(due_at=1))

    await world.store.transact(work)


async def main(data: Path, database: str, action: str, approval: str, point: str) -> None:
    """Take one step, and die in it."""
    world = World(data, database, call_timeout=1)
    world.script = Bank(data.parent / "effects", point)  # type: ignore[assignment]
    await world.open()
    if approval:
        await world.approve(approval)
    else:
        await ripe(world, action)
    await asyncio.sleep(20)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
