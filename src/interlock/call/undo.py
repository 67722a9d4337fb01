"""An undo: its intent on disk, then sent, then settled, past everything that stops agents (E3)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from interlock.call.late import Late
from interlock.call.send import Send
from interlock.core.action import Action, ActionState
from interlock.errors import StateConflict, StoreError
from interlock.runtime import Runtime
from interlock.services.attend import Attend
from interlock.services.settle import UNWRITTEN
from interlock.services.undo import Undoing
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.upstream.executor import Executor, Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undos:
    """Carries out undos. `send` leads to the tool servers themselves: no kill and no budget is between."""

    runtime: Runtime
    undoing: Undoing
    attend: Attend
    send: Send
    late: Late

    async def go(self, undo_id: str) -> Action:
        """Send one undo whose turn it is, and settle it. Raises `StoreError`."""
        leased = self.runtime.clock.monotonic()
        try:
            undo = await self.undoing.claim(undo_id)
        except StateConflict:
            undo = None
        if undo is None:
            return (await self.attend.load(undo_id))[0]
        outcome: Outcome | None = self.undoing.barred(undo)
        if outcome is None:
            outcome = await self.send.action(undo, None, leased=leased, responses=None, upstream_state=None)
        return await self._settled(undo, outcome)

    async def _settled(self, undo: Action, outcome: Outcome) -> Action:
        try:
            return await self.undoing.outcome(undo, outcome)
        except StateConflict:
            return (await self.attend.load(undo.id))[0]
        except StoreError as error:
            log.error("the outcome of the undo %s cannot be written yet: %s", undo.id, error.message)
            self.late.write(lambda: self.undoing.outcome(undo, outcome), about=undo.id)
            return replace(undo, state=ActionState.IN_DOUBT, error=UNWRITTEN)


def undos_of(
    store: Store,
    memory: Memory,
    runtime: Runtime,
    executor: Executor,
    *,
    process: str,
    timeout: int,
    attend: Attend,
    late: Late,
) -> Undos:
    """Return what carries out undos through `executor`; `timeout` is in seconds."""
    return Undos(
        runtime=runtime,
        undoing=Undoing(store=store, memory=memory, process=process, call_timeout=timeout),
        attend=attend,
        send=Send(executor=executor, timeout=float(timeout), clock=runtime.clock),
        late=late,
    )
