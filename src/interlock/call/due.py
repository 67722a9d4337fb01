"""What is due by the clock: timers fire; actions expire, are released, and begin if they could not before."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interlock.core.action import ActionState
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.services.expire import Expire
from interlock.services.ring import Ring
from interlock.store.memory import Memory

log = logging.getLogger(__name__)

_READY = frozenset({ActionState.APPROVED, ActionState.RETRY})
TICK = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Fires timers and looks at every live action.

    `begin` executes one that is approved or due again, and knows of undos before they are due; `sweep` takes
    up what nobody carries out any more.
    """

    memory: Memory
    runtime: Runtime
    ring: Ring
    expire: Expire
    begin: Callable[[str], None]
    sweep: Callable[[], Awaitable[object]]

    async def run(self) -> None:
        """Do what is due until cancelled. What fails is tried again at the next look."""
        while True:
            await self.runtime.scheduler.sleep(TICK)
            await self._try(self.ring.fire(), "timers")
            await self._try(self.sweep(), "what was left behind")
            now = self.expire.store.now()
            for live in list(self.memory.actions.values()):
                if live.state in _READY and (live.comp_of or live.due_at <= now):
                    self.begin(live.id)
                await self._try(self.expire.look(live, now), live.id)

    async def _try(self, work: Awaitable[object], what: str) -> None:
        try:
            await work
        except StoreError as error:
            log.warning("clock work on %s must wait: %s", what, error.message)
        except Exception:
            log.exception("clock work on %s failed; the clock goes on", what)
