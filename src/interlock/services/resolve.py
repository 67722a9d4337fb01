"""A person says what became of a call whose outcome is not known. Nothing is ever sent again for it.

Until its lease has ended a call that was sent may still land, so it cannot be resolved before. What counts is
when the person says so: what they saw earlier proves nothing of what has landed since.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.action import Action, ActionState
from interlock.core.model import SECOND
from interlock.errors import StateConflict, UsageError
from interlock.store import actions
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """Settle one action that is in doubt."""

    store: Store
    memory: Memory

    async def action(self, action: str, *, happened: bool, person: str, reason: str) -> Action:
        """Record that it did or did not happen. Raises `UsageError`, `StateConflict`, `NotFound`."""
        if not reason.strip():
            raise UsageError("To resolve needs a reason: how do you know?", hint="Add --reason.")
        said_at = self.store.now()
        return await self.store.transact(
            lambda transaction: self._resolve(transaction, action, happened, person, reason.strip(), said_at)
        )

    def _resolve(
        self, transaction: Transaction, name: str, happened: bool, person: str, reason: str, said_at: int
    ) -> Action:
        action = actions.get(transaction.connection, name)
        if action.state is not ActionState.IN_DOUBT:
            raise StateConflict(
                f"The action {name} is {action.state.value}, not in doubt.",
                hint=f"interlock actions show {name}",
            )
        seen_at = min(said_at, transaction.now)
        if seen_at < action.lease_until:
            seconds = (action.lease_until - seen_at) // SECOND + 1
            raise StateConflict(
                f"The call may still land at the tool server for another {seconds} s.",
                hint="Look there afterwards, then resolve it.",
            )
        state = ActionState.SUCCEEDED if happened else ActionState.FAILED
        said = f"{person} found that this call {'happened' if happened else 'did not happen'}: {reason}"
        moved = actions.move(
            transaction, action, state, by=person, reason=reason, error=said,
            result={"content": [{"type": "text", "text": said}]} if happened else None,
        )  # fmt: skip
        if not happened and not action.comp_of:
            actions.uncount_call(transaction, action.run, action.tool)
            transaction.on_commit(lambda: self.memory.uncount_call(action.run, action.tool))
        body = {"happened": happened, "reason": reason}
        actions.record(transaction, "action.resolved", action, person=person, body=body)
        live = actions.live_of(moved)
        transaction.on_commit(lambda: self.memory.put_action(live))
        return moved
