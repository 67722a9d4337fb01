"""Wait until a live action moves. Nothing is polled: memory tells who watches, in commit order."""

from __future__ import annotations

import asyncio

from interlock.runtime import Runtime
from interlock.store.memory import LiveAction, Memory


class Watch:
    """The waiters of one process."""

    def __init__(self, memory: Memory, runtime: Runtime) -> None:
        self._memory = memory
        self._runtime = runtime
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        memory.watchers.append(self._moved)

    async def change(self, action: str, *, seconds: float) -> None:
        """Return when `action` moves, or after `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(action, set())
        waiters.add(future)
        alarm = self._runtime.scheduler.spawn(self._ring(future, seconds), name="end of a wait")
        try:
            await future
        finally:
            alarm.cancel()
            waiters.discard(future)
            if not waiters:
                self._waiters.pop(action, None)

    def close(self) -> None:
        """Watch no more, and wake whoever still waits."""
        if self._moved in self._memory.watchers:
            self._memory.watchers.remove(self._moved)
        for waiters in list(self._waiters.values()):
            _wake(waiters)

    def _moved(self, live: LiveAction) -> None:
        _wake(self._waiters.get(live.id, ()))

    async def _ring(self, future: asyncio.Future[None], seconds: float) -> None:
        await self._runtime.scheduler.sleep(seconds)
        _wake((future,))


def _wake(waiters: set[asyncio.Future[None]] | tuple[asyncio.Future[None], ...]) -> None:
    for future in tuple(waiters):
        if not future.done():
            future.set_result(None)
