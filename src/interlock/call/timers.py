"""The timers of calls, and who does what is due: probes, second steps, requests and questions."""

from __future__ import annotations

from interlock.runtime import Runtime
from interlock.services.escalate import Escalate
from interlock.services.inquire import EXPIRY, Inquire
from interlock.services.measure import Measure
from interlock.services.probe import PROBE, Probe
from interlock.services.propose import Propose
from interlock.services.ring import Ring
from interlock.services.void import Void
from interlock.store import requests, settlements
from interlock.store.database import Store
from interlock.store.memory import Memory


def ring_of(store: Store, memory: Memory, runtime: Runtime, measure: Measure) -> Ring:
    """Return the timer loop, which knows every kind of timer that the engine fires."""
    ring = Ring(store=store)
    probe = Probe(store=store, memory=memory, runtime=runtime, ask=measure.ask)
    store.follow(probe.follow)
    ring.on(PROBE, probe.due)
    ring.on(settlements.FOLLOW_UP, Propose(store=store, memory=memory).due)
    ring.on(settlements.DEADLINE, Void(store=store, memory=memory).due)
    escalate = Escalate(memory=memory)
    ring.on(requests.REMINDER, escalate.remind)
    ring.on(requests.BREACH, escalate.breach)
    inquire = Inquire(memory=memory)
    store.follow(inquire.follow)
    ring.on(EXPIRY, inquire.expire)
    return ring
