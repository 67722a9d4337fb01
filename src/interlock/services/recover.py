"""The one reaper: calls that a process left behind that is dead, or overtook its lease (invariant 5).

A read has failed. What its tool knows by its key is sent again; anything else is in doubt, because it may
have happened. It runs at the start and by the clock, on every process: whoever claims an action moves it.
What was approved and not begun is handed back to be executed. What waits, waits on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from interlock.core.action import Action, ActionState
from interlock.core.model import SECOND, EffectClass, Request
from interlock.errors import NotFound, StoreError
from interlock.runtime import Runtime
from interlock.store import actions, approvals, claims, doubts, matches
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

_RETRY = 1.0
_CLAIMED = frozenset({ActionState.EXECUTING, ActionState.IN_DOUBT})

CUT_OFF = (
    "The process was stopped between sending this call and recording its outcome; it may or may not have "
    "happened. A person resolves it: interlock actions resolve."
)
NEVER_SENT = "The commit of this call's intent was lost on its way; it was not sent."
CUT_OFF_READ = "The process was stopped while this was read; nothing was changed. Ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """What the engine does first, and by the clock. `process` names this one; `call_timeout`: seconds."""

    store: Store
    memory: Memory
    runtime: Runtime
    process: str
    call_timeout: int

    async def start(self) -> list[Action]:
        """Settle what dead processes left, load the live actions, return those that are to be executed.

        Where no other process can be writing, what they left is settled at once, else when its lease ends.
        """
        while await self.store.transact(lambda transaction: self._reap(transaction, alone=self.store.alone)):
            pass
        for live in await self.store.read(matches.load_live):
            self.memory.put_action(live)
        return await self.store.read(lambda found: actions.in_state(found, ActionState.APPROVED))

    async def sweep(self, busy: Collection[str]) -> int:
        """Settle what nobody carries out any more; this process is `busy` with some. Raises `StoreError`."""
        environment, now = self.memory.environment, self.store.now()
        if not await self.store.read(lambda found: claims.any_overdue(found, environment, now, busy)):
            return 0
        return await self.store.transact(lambda transaction: self._reap(transaction, alone=False, busy=busy))

    async def disown(self, action: str, request: Request) -> bool:
        """Learn, a moment later, what became of the intent of `request` whose commit was lost.

        If it stands, an action that was to be sent at once was not sent, and has failed; one that waits is
        live like any other. The call that was reserved for it counts until then. False while the store does
        not answer: try again.
        """
        await self.runtime.scheduler.sleep(_RETRY)
        try:
            await self.store.transact(lambda transaction: self._disown(transaction, action))
        except NotFound:
            self.memory.uncount_call(request.principal.run, request.tool)
        except StoreError:
            return False
        return True

    def _disown(self, transaction: Transaction, name: str) -> None:
        action = actions.get(transaction.connection, name)
        if action.state in _CLAIMED and action.began_at == action.created_at:  # not sent since
            action = actions.move(
                transaction, action, ActionState.FAILED, by="interlock", error=NEVER_SENT, lease_until=0
            )
            transaction.on_commit(lambda: self.memory.uncount_call(action.run, action.tool))
            actions.uncount_call(transaction, action.run, action.tool)
            actions.free_key(transaction, action)
            body = {"digest": action.digest, "sent": False, "cause": "commit_unknown"}
            actions.record(transaction, "action.failed", action, body=body)
        asked = approvals.find(transaction.connection, action.approval)
        live = actions.live_of(action, expires_at=asked.expires_at if asked else 0)
        transaction.on_commit(lambda: self.memory.put_action(live))

    def _reap(self, transaction: Transaction, *, alone: bool, busy: Collection[str] = ()) -> int:
        left = claims.overdue(
            transaction, self.memory.environment, process=self.process, alone=alone, busy=busy
        )
        for action in left:
            read = action.effect is EffectClass.READ
            moved = doubts.unanswered(
                transaction, self.memory, action, CUT_OFF_READ if read else CUT_OFF,
                timeout=self.call_timeout * SECOND, cause="process_died",
            )  # fmt: skip
            live = actions.live_of(moved)
            transaction.on_commit(lambda live=live: self.memory.put_action(live))
        return len(left)
