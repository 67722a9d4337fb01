"""The queue of audit entries that need not be on disk before the call goes on: read-only decisions.

It is bounded. The writer takes it along with every commit, at the latest `WINDOW` seconds after an entry
was put. While the store cannot be written it keeps what it has, then refuses: a decision that cannot be
recorded is a denial.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from interlock.errors import StoreUnavailable

WINDOW = 0.05
BOUND = 20_000


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One audit entry to be: `at` in microseconds; `body` a JSON object, as text or as msgspec encodes one.

    The latter happens later, on the writer's thread, so it must not change after it was put.
    """

    at: int
    kind: str
    run: str = ""
    agent: str = ""
    workflow: str = ""
    tool: str = ""
    action: str = ""
    person: str = ""
    body: object = "{}"


class Journal:
    """A bounded queue between the callers' threads and the writer's."""

    def __init__(
        self, *, wake: Callable[[], None], refuse: Callable[[JournalEntry], None], bound: int = BOUND
    ) -> None:
        self._wake = wake
        self._refuse = refuse
        self._bound = bound
        self._entries: deque[JournalEntry] = deque()
        self._flagged = False
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self.failure: StoreUnavailable | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def offer(self, entry: JournalEntry) -> bool:
        """Queue an entry if there is room; say whether there was."""
        if len(self._entries) >= self._bound:
            return False
        self._entries.append(entry)
        if not self._flagged:
            self._flagged = True
            self._wake()
        return True

    def put_nowait(self, entry: JournalEntry) -> None:
        """Queue an entry. Raises `StoreUnavailable` when the queue is full."""
        if self.offer(entry):
            return
        if self.failure is not None:
            self._refuse(entry)
            raise StoreUnavailable(self.failure.message, hint=self.failure.hint)
        raise StoreUnavailable(
            "The audit journal is full: entries come faster than the disk takes them.",
            hint="Wait for room with journal(), or give the data directory a faster disk.",
        )

    async def put(self, entry: JournalEntry) -> None:
        """Queue an entry, waiting for room. Raises `StoreUnavailable` when full and not being emptied."""
        while len(self._entries) >= self._bound and self.failure is None:
            loop = asyncio.get_running_loop()
            room: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, room))
            self._wake()
            await room
        self.put_nowait(entry)

    def take(self, limit: int) -> list[JournalEntry]:
        """Take up to `limit` entries out, oldest first. For the writer."""
        self._flagged = False
        entries = self._entries
        return [entries.popleft() for _ in range(min(limit, len(entries)))]

    def put_back(self, entries: Iterable[JournalEntry]) -> None:
        """Return entries that could not be written to the front. For the writer."""
        self._entries.extendleft(reversed(list(entries)))

    def release(self) -> None:
        """Let everyone who waits for room look again. For the writer."""
        while self._waiting:
            loop, room = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(_done, room)
            except RuntimeError:  # that loop is closed; nobody waits any more
                continue


def _done(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
