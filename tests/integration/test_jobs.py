"""Clock jobs: one that fails is due again, whatever it failed of."""

from __future__ import annotations

import asyncio

from interlock.errors import StoreUnavailable
from interlock.runtime import Runtime
from interlock.worker.jobs import Job, start


def test_a_job_that_fails_is_due_again() -> None:
    failures: list[Exception] = [StoreUnavailable("full", hint=""), ValueError("a fault of ours")]
    done = asyncio.Event()

    async def work() -> None:
        if failures:
            raise failures.pop()
        done.set()

    async def story() -> None:
        stop = start([Job(name="test", every=0.001, run=work)], Runtime.real())
        await asyncio.wait_for(done.wait(), 10)
        stop()

    asyncio.run(story())
    assert not failures
