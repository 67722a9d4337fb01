"""What is due by the clock: actions expire, are released, and begin if they were approved and could not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from interlock.core.action import ActionState
from interlock.errors import StoreError
from interlock.runtime import Runtime
from interlock.services.expire import Expire
from interlock.store.memory import Memory

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Looks at every live action; `begin` executes one that is approved."""

    memory: Memory
    runtime: Runtime
    expire: Expire
    begin: Callable[[str], None]

    async def run(self) -> None:
        """Do what is due until cancelled. What fails is tried again at the next look."""
        while True:
            await self.runtime.scheduler.sleep(TICK)
            now = self.runtime.clock.now()
            for live in list(self.memory.actions.values()):
                if live.state is ActionState.APPROVED:
                    self.begin(live.id)
                try:
                    await self.expire.look(live, now)
                except StoreError as error:
                    log.warning("clock work on %s must wait: %s", live.id, error.message)
                except Exception:
                    log.exception("clock work on %s failed; the clock goes on", live.id)
