"""What the engine finds at its start: calls that a dead process left behind (invariant 5).

A call that was cut off while it executed is in doubt, because it may have happened; a read has failed.
What was approved and not begun is handed back to be executed. What waits, waits on.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.action import Action, ActionState, after_crash
from interlock.core.model import EffectClass
from interlock.errors import NotFound, StoreError
from interlock.runtime import Runtime
from interlock.store import actions, approvals
from interlock.store.database import Store, Transaction
from interlock.store.memory import LiveAction, Memory

_RETRY = 1.0

CUT_OFF = (
    "The process was stopped between sending this call and recording its outcome; it may or may not have "
    "happened. A person resolves it: interlock actions resolve."
)
NEVER_SENT = "The commit of this call's intent was lost on its way; it was not sent."
CUT_OFF_READ = "The process was stopped while this was read; nothing was changed. Ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """The first thing the engine does; `process` names this one, whose own calls are not touched."""

    store: Store
    memory: Memory
    runtime: Runtime
    process: str

    async def start(self) -> list[Action]:
        """Settle what dead processes left, load the live actions, return those that are to be executed."""
        await self.store.transact(self._settle)
        for live in await self.store.read(actions.load_live):
            self.memory.put_action(live)
        return await self.store.read(lambda found: actions.in_state(found, ActionState.APPROVED))

    async def disown(self, action: str) -> None:
        """Learn what became of an intent whose commit was lost, once the store answers again.

        If it stands, an action that was to be sent at once was not sent, and has failed; one that waits is
        live like any other.
        """
        while True:
            await self.runtime.scheduler.sleep(_RETRY)
            try:
                await self.store.transact(lambda transaction: self._disown(transaction, action))
            except NotFound:
                return
            except StoreError:
                continue
            return

    def _disown(self, transaction: Transaction, name: str) -> None:
        action = actions.get(transaction.connection, name)
        if action.state is ActionState.EXECUTING:
            actions.move(
                transaction, action, ActionState.FAILED, by="interlock", error=NEVER_SENT, lease_until=0
            )
            actions.uncount_call(transaction, action.run, action.tool)
            body = {"digest": action.digest, "sent": False, "cause": "commit_unknown"}
            actions.record(transaction, "action.failed", action, body=body)
            return
        asked = approvals.find(transaction.connection, action.approval)
        live = actions.live_of(action, expires_at=asked.expires_at if asked else 0)
        transaction.on_commit(lambda: self._alive(live))

    def _alive(self, live: LiveAction) -> None:
        self.memory.count_call(live.run, live.tool)
        self.memory.put_action(live)

    def _settle(self, transaction: Transaction) -> None:
        for action in actions.left_behind(transaction.connection, self.process):
            state = after_crash(action.effect)
            read = action.effect is EffectClass.READ
            actions.move(
                transaction, action, state, by="interlock", reason="the process died",
                error=CUT_OFF_READ if read else CUT_OFF,
            )  # fmt: skip
            body = {"digest": action.digest, "cause": "process_died"}
            actions.record(transaction, f"action.{state.value}", action, body=body)
