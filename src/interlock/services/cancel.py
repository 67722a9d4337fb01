"""A person stops an action that was not sent yet: one that waits, is scheduled, or asks for input."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.action import Action
from interlock.errors import StateConflict, UsageError
from interlock.store import actions, approvals
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop one action."""

    store: Store
    memory: Memory

    async def action(self, action: str, *, person: str, reason: str) -> Action:
        """Cancel `action`. Raises `UsageError` without a reason, `StateConflict` once it was sent."""
        if not reason.strip():
            raise UsageError("To cancel needs a reason.", hint="Add --reason.")
        return await self.store.transact(
            lambda transaction: self._cancel(transaction, action, person, reason.strip())
        )

    def _cancel(self, transaction: Transaction, name: str, person: str, reason: str) -> Action:
        action = actions.get(transaction.connection, name)
        if action.comp_of:
            raise StateConflict(
                f"{name} undoes {action.comp_of}: it is stopped as an undo.",
                hint=f"interlock undo stop {action.comp_of} --reason TEXT",
            )
        if not action.cancellable:
            raise StateConflict(
                f"The action {name} is {action.state.value}: it cannot be cancelled any more.",
                hint=f"interlock actions show {name}",
            )
        return approvals.cancel(transaction, self.memory, action, by=person, reason=reason, person=person)
