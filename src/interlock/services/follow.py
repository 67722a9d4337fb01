"""Follow what other processes on this database change that this one decides on (invariants 2 and 3).

A commit elsewhere wakes this process; a look every second at the number of the last such commit makes up for
a wake-up that got lost. What was told is read anew where it stands, so hearing of it twice does no harm. A
process that could not look for `BOUND` seconds does not know any more what was revoked: it says so, and the
gateways refuse new calls until it has caught up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from interlock.errors import StoreError, StoreUnavailable
from interlock.runtime import Runtime
from interlock.store import news
from interlock.store.database import Store
from interlock.store.news import Item, Topic

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds after which a process looks for news that nobody woke it for."""

BOUND = 5.0
"""Seconds without a successful look after which new calls are refused."""

Handler = Callable[[Collection[str] | None], Awaitable[object]]
"""Reads the subjects anew that changed, or everything where it is given None. Twice does no harm."""


class Follow:
    """What one process knows of the others. `begin` it before anything is loaded, `start` it afterwards."""

    def __init__(self, *, store: Store, runtime: Runtime, environment: str, bound: float = BOUND) -> None:
        self._store = store
        self._clock = runtime.clock
        self._scheduler = runtime.scheduler
        self._environment = environment
        self._bound = bound
        self._handlers: dict[Topic, Handler] = {}
        self._number = 0
        self._looked = self._clock.monotonic()
        self._looking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._looks = 0
        self._failing = False
        self.listening = False

    @property
    def problem(self) -> str:
        """Why nothing may be decided here now, empty where all is well."""
        if not self._tasks or self._clock.monotonic() - self._looked <= self._bound:
            return ""
        return "What others changed could not be read for some seconds, so nothing is decided here now."

    def on(self, topic: Topic, handler: Handler) -> None:
        """Follow a topic; what is not followed is passed over."""
        self._handlers[topic] = handler

    async def begin(self) -> None:
        """Note where the news stand, before what they are about is loaded. Raises `StoreError`."""
        if not self._store.alone:
            self._number = await self._store.read(news.number)

    def start(self) -> None:
        """Follow from now on, where there can be others."""
        if not self._store.alone:
            self._looked = self._clock.monotonic()
            self._tasks = [
                self._scheduler.spawn(self._listen(), name="listen for news"),
                self._scheduler.spawn(self._keep_looking(), name="look for news"),
            ]

    def close(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()

    async def catch_up(self) -> None:
        """Return once everything that was committed before this call is known here, or cannot be."""
        if not self._tasks:
            return
        seen = self._looks
        try:
            async with self._looking:
                if self._looks <= seen + 1:  # a look that began after this call has not ended yet
                    await self._look()
        except StoreError as error:
            self._failed(error)

    async def _keep_looking(self) -> None:
        while True:
            self._woken.clear()
            try:
                async with self._looking:
                    await self._look()
            except StoreError as error:
                self._failed(error)
            except Exception:
                log.exception("following the news failed; it is tried again")
                await self._scheduler.sleep(LOOK)
            await self._wake_up()

    async def _wake_up(self) -> None:
        try:
            async with asyncio.timeout(LOOK):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _listen(self) -> None:
        while True:
            try:
                await self._store.listen(self._heard)
            except StoreUnavailable as error:
                if self.listening:
                    log.warning("%s %s", error.message, error.hint)
                self.listening = False
            await self._scheduler.sleep(LOOK)

    def _heard(self) -> None:
        self.listening = True
        self._woken.set()

    async def _look(self) -> None:
        """Read what is new and take it in; what fails is tried again by the next look."""
        number, environment, began = self._number, self._environment, self._clock.monotonic()
        heard = await self._store.read(lambda found: news.since(found, number, environment))
        for topic, handler in list(self._handlers.items()):
            if heard.items is None:
                await handler(None)
            elif subjects := _of(heard.items, topic):
                await handler(subjects)
        self._number, self._looked = heard.number, began
        self._looks += 1
        self._failing = False

    def _failed(self, error: StoreError) -> None:
        """Say once that the news cannot be read, until they can be again."""
        if not self._failing:
            log.warning("what other processes change cannot be followed now: %s", error.message)
        self._failing = True


def _of(items: Collection[Item], topic: Topic) -> list[str]:
    return list(dict.fromkeys(each.subject for each in items if each.topic is topic))
