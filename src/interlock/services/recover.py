"""What the engine finds at its start: calls that a dead process left behind (invariant 5).

A call that was cut off while it executed is in doubt, because it may have happened; a read has failed.
What was approved and not begun is handed back to be executed. What waits, waits on.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.action import Action, ActionState, after_crash
from interlock.core.model import EffectClass
from interlock.store import actions
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

CUT_OFF = (
    "The process was stopped between sending this call and recording its outcome; it may or may not have "
    "happened. A person resolves it: interlock actions resolve."
)
CUT_OFF_READ = "The process was stopped while this was read; nothing was changed. Ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """The first thing the engine does; `process` names this one, whose own calls are not touched."""

    store: Store
    memory: Memory
    process: str

    async def start(self) -> list[Action]:
        """Settle what dead processes left, load the live actions, return those that are to be executed."""
        await self.store.transact(self._settle)
        for live in await self.store.read(actions.load_live):
            self.memory.put_action(live)
        return await self.store.read(lambda found: actions.in_state(found, ActionState.APPROVED))

    def _settle(self, transaction: Transaction) -> None:
        for action in actions.left_behind(transaction.connection, self.process):
            state = after_crash(action.effect)
            read = action.effect is EffectClass.READ
            actions.move(
                transaction, action, state, by="interlock", reason="the process died",
                error=CUT_OFF_READ if read else CUT_OFF,
            )  # fmt: skip
            transaction.audit(
                f"action.{state.value}",
                run=action.run,
                agent=action.agent,
                workflow=action.workflow,
                tool=action.tool,
                action=action.id,
                body={"digest": action.digest, "cause": "process_died"},
            )
