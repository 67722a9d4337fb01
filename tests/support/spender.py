"""A process that spends from shared budgets until it is told to stop: `spender.py DATA DATABASE NAME WAY`.

`WAY` is `strict` or `relaxed`. Says `ready` when it begins, `sent ATTEMPT COST` for each call at the moment
its provider has it, with what that will charge for it, and `done` when nothing more fits.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from interlock.core.budget import Refused
from interlock.core.bundle import Bundle
from interlock.core.document.spending import Budget
from interlock.core.model import SECOND
from interlock.store.live_accounts import Held
from support.money import Purse, a_bundle


def shared(*, strict: bool) -> Bundle:
    """Return the policy that the processes share."""
    return a_bundle(
        workflow=Budget(day=10_000, strict=strict), organisation=Budget(month=15_000, strict=strict)
    )


def say(text: str) -> None:
    """Tell the parent, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def spend(purse: Purse, chance: random.Random, name: str) -> None:
    """Spend a call at a time until nothing more fits."""
    for number in range(1_000):
        most = chance.randrange(50, 200)
        attempt = f"{name}-{number}"
        held = purse.hold(most // 2, most, attempt=attempt, least=1)
        if isinstance(held, Refused) and held.transient:
            await purse.budgets.freed(0.05)
            continue
        if not isinstance(held, Held):
            return
        if await purse.budgets.durable(held) is None:
            cost = chance.randrange(most + 1)
            say(f"sent {attempt} {cost}")
            await asyncio.sleep(0.02)  # most of the time something is in flight
            purse.settle(held, cost)


async def main(data: str, database: str, name: str, way: str) -> None:
    """Spend from eight callers at once."""
    policy = shared(strict=way == "strict")
    purse = await Purse.open(Path(data), database, policy, lease=1 * SECOND)
    say("ready")
    chance = random.Random(name)
    callers = asyncio.gather(*(spend(purse, chance, f"{name}-{each}") for each in range(8)))
    await callers
    await purse.close()
    say("done")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
