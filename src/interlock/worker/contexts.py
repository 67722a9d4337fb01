"""The clock's part of contexts: sum up sizes, tell of those that grew, forget old originals (B6, B7)."""

from __future__ import annotations

from interlock.core.model import SECOND
from interlock.services.watch_contexts import EVERY, known_windows, watch_contexts
from interlock.store import originals
from interlock.wiring import WiredModels
from interlock.worker.jobs import Job


def context_job(wired: WiredModels) -> Job:
    """Return the job of one process; several may do it side by side."""

    async def look() -> None:
        await wired.store.transact(originals.forget)
        windows = known_windows(await wired.prices.ready(), wired.runtime.clock.now())
        await watch_contexts(store=wired.store, memory=wired.memory, windows=windows)

    return Job(name="watch contexts", every=EVERY / SECOND, run=look)
