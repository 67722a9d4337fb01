"""The people of the torture test: two who decide what waits, in a race, and one who signs breakers off."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from tests.torture.engine import Engine

from interlock.core.approval import Decider
from interlock.core.model import BreakerState
from interlock.errors import InterlockError
from interlock.services.compensate import Compensate
from interlock.services.sign_off import SignOff
from interlock.store import approvals, breakers
from interlock.store.people import Person

_SIGNER = Person(name="maria", roles=frozenset({"operator"}))
_AT_ONCE = 30


async def decide(engine: Engine, person: Decider) -> None:
    """Decide what waits, in a race with another person and with the people at the other engine."""
    while True:
        with suppress(InterlockError):
            for asked in await engine.store.read(lambda found: approvals.listed(found, limit=_AT_ONCE)):
                with suppress(InterlockError):
                    await _act(engine, asked.id, person)
        await asyncio.sleep(random.random() * 0.05)


async def _act(engine: Engine, approval: str, person: Decider) -> None:
    drawn = random.random()
    if drawn < 0.82:
        done = await engine.people.approve(approval, person)
    elif drawn < 0.93:
        done = await engine.people.reject(approval, person, reason="no")
    else:
        fresh = {"order": random.randrange(10**6, 10**9)}
        done = await engine.people.modify(approval, person, arguments=fresh, reason="rather so")
    with engine.life.file("decided").open("a") as file:
        file.write(f"{approval} {person.name}\n")
    engine.calls.decided(done.action)


async def sign(engine: Engine) -> None:
    """Sign off what is open, now and then to half-open first."""
    signed = SignOff(
        store=engine.store, memory=engine.memory, runtime=engine.runtime, settings=engine.settings
    )
    while True:
        await asyncio.sleep(random.random() * 0.4)
        with suppress(InterlockError):
            for each in await engine.store.read(lambda found: breakers.listed(found, "dev")):
                to = BreakerState.CLOSED if random.random() < 0.7 else BreakerState.HALF_OPEN
                with suppress(InterlockError):
                    await signed(each.breaker.kind, each.breaker.name, to, by=_SIGNER, reason="mended")


async def undo(engine: Engine, run: str) -> None:
    """Have a whole run undone, as a person does who has seen what it did."""
    await Compensate(store=engine.store, memory=engine.memory).run(run, person="deng", reason="a mistake")
