"""What runs by the clock in a process of given roles."""

from __future__ import annotations

from interlock.app.roles import Role, Roles
from interlock.services.expire_runs import EVERY, expire_runs, forget_closed
from interlock.wiring import Wired, WiredModels
from interlock.worker.jobs import Job
from interlock.worker.notices import notice_jobs

_SWEEP = 30.0
_FORGET = 60.0


def jobs_of(wired: WiredModels, roles: Roles) -> list[Job]:
    """Return the jobs of a process: what each one does for itself, and what a worker does for all."""
    jobs = notice_jobs(wired)
    if Role.WORKER in roles:
        return [*jobs, *_worker_jobs(wired)]
    return [*jobs, Job(name="forget ended runs", every=_FORGET, run=lambda: _forget(wired))]


async def _forget(wired: WiredModels) -> None:
    forget_closed(wired.memory, wired.runtime.clock.now())


def _worker_jobs(wired: WiredModels) -> list[Job]:
    from interlock.services.checkpoint import checkpoint
    from interlock.worker.contexts import context_job
    from interlock.worker.delivery import delivery_jobs
    from interlock.worker.news import news_job

    store, memory, settings, clock = wired.store, wired.memory, wired.settings, wired.runtime.clock
    jobs = [
        Job(
            name="end lapsed runs",
            every=EVERY / 1_000_000,
            run=lambda: expire_runs(store=store, memory=memory, now=clock.now()),
        ),
        Job(
            name="audit checkpoint", every=settings.checkpoint_every, run=lambda: checkpoint(store, settings)
        ),
        *delivery_jobs(wired),
        context_job(wired),
    ]
    return jobs if store.alone else [*jobs, news_job(wired)]


def sweep_job(wired: Wired) -> Job:
    """Return the job that ends what of the tool servers nobody uses any more."""
    memory = wired.memory

    def is_open(run: str) -> bool:
        facts = memory.runs.get(run)
        return facts is not None and facts.open

    return Job(name="sweep tool servers", every=_SWEEP, run=lambda: wired.servers.sweep(is_open))
