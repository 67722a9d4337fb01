"""What the store could not take when it happened, and takes as soon as it answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from interlock.errors import StateConflict, StoreError
from interlock.runtime import Runtime

_FIRST = 0.5
_LONGEST = 10.0


class Late:
    """Tasks of one process that outlive the calls they belong to; `about` names the actions among these."""

    def __init__(self, runtime: Runtime) -> None:
        self._scheduler = runtime.scheduler
        self.tasks: set[asyncio.Task[None]] = set()
        self.about: set[str] = set()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """See `work` through, whoever stops waiting for it."""
        task = self._scheduler.spawn(work, name="what the store could not take")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def write(self, settle: Callable[[], Awaitable[object]], *, about: str = "") -> None:
        """Try `settle` until the store takes it, or somebody else has moved the action it is `about`."""
        self.keep(self._until_written(settle, about))

    async def _until_written(self, settle: Callable[[], Awaitable[object]], about: str) -> None:
        delay = _FIRST
        self.about.add(about)
        try:
            while True:
                await self._scheduler.sleep(delay)
                try:
                    await settle()
                    return
                except StateConflict:
                    return
                except StoreError:
                    delay = min(delay * 2, _LONGEST)
        finally:
            self.about.discard(about)
