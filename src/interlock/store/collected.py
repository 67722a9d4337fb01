"""Note what needs no commit in the way: outcomes that were told to somebody, and counts of reads.

They are written together a moment later. After a crash an outcome may be told once more, which is safe,
and the last reads may not be counted.
"""

from __future__ import annotations

from collections import Counter

from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.store import actions
from interlock.store.database import Store, Transaction

WINDOW = 0.05
_RETRY = 1.0


class Collected:
    """Gathers notes on the event loop and writes them in one unit of work."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._told: list[str] = []
        self._reads: Counter[tuple[str, str]] = Counter()
        self._busy = False

    def told(self, action: str) -> None:
        """Note that a caller was given the outcome of `action`."""
        self._told.append(action)
        self._wake()

    def read(self, run: str, tool: str, *, times: int = 1) -> None:
        """Note one read of `tool` in `run`; -1 takes one back."""
        self._reads[run, tool] += times
        self._wake()

    async def flush(self) -> None:
        """Write what was noted. Raises `StoreError` and keeps the notes when it cannot."""
        told, reads = self._told, self._reads
        if not told and not reads:
            return
        self._told, self._reads = [], Counter()
        try:
            await self._store.transact(lambda transaction: _write(transaction, told, reads))
        except StoreError:
            self._told = told + self._told
            self._reads.update(reads)
            raise

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            self._runtime.scheduler.spawn(self._later(), name="collect")

    async def _later(self) -> None:
        delay = WINDOW
        try:
            while self._told or self._reads:
                await self._runtime.scheduler.sleep(delay)
                try:
                    await self.flush()
                    delay = WINDOW
                except StoreError:
                    delay = _RETRY
        finally:
            self._busy = False


def _write(transaction: Transaction, told: list[str], reads: Counter[tuple[str, str]]) -> None:
    if told:
        actions.collect(transaction, told)
    for (run, tool), times in sorted(reads.items()):
        if times:
            actions.count_call(transaction, run, tool, times)
