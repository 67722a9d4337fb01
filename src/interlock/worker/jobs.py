"""Clock jobs of one process. A job that fails is reported and due again at its next time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from interlock.errors import InterlockError
from interlock.runtime import Runtime

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A use case that is due every so many seconds."""

    name: str
    every: float
    run: Callable[[], Awaitable[object]]


def start(jobs: Sequence[Job], runtime: Runtime) -> Callable[[], None]:
    """Start every job beside the caller; return what stops them."""
    tasks = [runtime.scheduler.spawn(_repeat(job, runtime), name=f"job {job.name}") for job in jobs]

    def stop() -> None:
        for task in tasks:
            task.cancel()

    return stop


async def _repeat(job: Job, runtime: Runtime) -> None:
    while True:
        await runtime.scheduler.sleep(job.every)
        try:
            await job.run()
        except InterlockError as error:
            log.warning("job %s: %s (%s); due again in %s s", job.name, error.message, error.code, job.every)
        except Exception:
            log.exception("job %s failed; due again in %s s", job.name, job.every)
