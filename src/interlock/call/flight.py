"""Writes under way, each in a task of its own: a caller who goes away does not stop what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from interlock.core.action import Action
from interlock.core.answer import Answer
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.services.attend import Attend
from interlock.store.memory import LiveAction, Memory
from interlock.upstream.executor import Bridge


class Flights:
    """The flights of one process, by action. One action has one flight at a time."""

    def __init__(self, *, memory: Memory, runtime: Runtime, attend: Attend) -> None:
        self._memory = memory
        self._scheduler = runtime.scheduler
        self._attend = attend
        self._tasks: dict[str, asyncio.Task[Action | StoreError]] = {}

    def __len__(self) -> int:
        """Return how many actions are under way."""
        return len(self._tasks)

    @property
    def tasks(self) -> list[asyncio.Task[Action | StoreError]]:
        """What is under way."""
        return list(self._tasks.values())

    @property
    def aloft_now(self) -> list[str]:
        """Which actions are under way."""
        return [action for action, flight in self._tasks.items() if not flight.done()]

    def aloft(self, action_id: str) -> bool:
        """Whether the action is under way."""
        flight = self._tasks.get(action_id)
        return flight is not None and not flight.done()

    def launch(self, action_id: str, work: Coroutine[Any, Any, Action]) -> None:
        """Begin `work` on an action. It ends by itself; nobody has to wait for it."""
        flight = self._scheduler.spawn(_guarded(work), name=f"action {action_id}")
        self._tasks[action_id] = flight

        def landed(done: asyncio.Task[Action | StoreError]) -> None:
            work.close()  # one that is cut off before its first step is not left behind
            self._landed(action_id, done)

        flight.add_done_callback(landed)

    async def land(self, action_id: str, bridge: Bridge | None, wait: float) -> Answer:
        """Wait for a flight, then for whatever the action waits for: a person `wait` seconds at most.

        Raises `StoreError` when the flight ended in one.
        """
        relay = self._attend.relay(action_id)
        if bridge is not None:
            relay.attach(bridge)
        try:
            ended = await asyncio.shield(self._tasks[action_id])
        finally:
            if bridge is not None:
                relay.detach(bridge)
        if isinstance(ended, StoreError):
            raise ended
        if ended.state.final:
            return self._attend.tell(ended)
        return await self._attend.follow(action_id, bridge=bridge, wait=wait)

    def moved(self, live: LiveAction) -> None:
        """Let go of the callers of an action that somebody else has ended."""
        if live.state.final and not self.aloft(live.id):
            self._attend.leave(live.id)

    def _landed(self, action_id: str, flight: asyncio.Task[Action | StoreError]) -> None:
        if self._tasks.get(action_id) is flight:
            del self._tasks[action_id]
        live = self._memory.actions.get(action_id)
        if live is None or live.state.final:
            self._attend.leave(action_id)


async def _guarded(work: Coroutine[Any, Any, Action]) -> Action | StoreError:
    """Return the store's error as a value: whoever waits raises it, and the clock tries again."""
    try:
        return await work
    except StoreError as error:
        return error
