"""Void what is provisional: at its deadline, or because a person says so (E4).

The void runs as every undo does: no breaker, kill, budget, expiry or retirement is asked (invariant 8). Of a
confirmation and a deadline that race, exactly one wins: whoever holds the action's row first.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import second_step
from interlock.core.action import Action, ActionState
from interlock.core.second_step import LAPSED
from interlock.errors import InterlockError, StateConflict, UsageError
from interlock.store import actions, second_steps, settlements, timers
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Void:
    """Takes back what nobody settled."""

    store: Store
    memory: Memory

    def due(self, transaction: Transaction, name: str) -> None:
        """Void an action whose deadline has passed: what its timer does.

        While a confirmation of it may have happened nothing is voided; how that ends sets the timer anew.
        """
        action = actions.held(transaction, name)
        if action.state is not ActionState.PENDING_SETTLEMENT:
            return
        if action.due_at > transaction.now:
            timers.put(transaction, settlements.DEADLINE, name, action.due_at)
        elif not second_step.not_to_void(action, self._second(transaction, name)):
            settlements.void(transaction, self.memory, action, by="interlock", reason=LAPSED)

    async def action(self, name: str, *, person: str, reason: str) -> Action:
        """Void what is provisional before its deadline.

        Raises `UsageError` without a reason, `StateConflict` where there is nothing to void, `NotFound`.
        """
        try:
            return await self.store.transact(
                lambda transaction: self._action(transaction, name, person, reason.strip()[:500])
            )
        except (StateConflict, UsageError) as error:
            await self.refuse(name, person, error)
            raise

    async def refuse(self, name: str, person: str, error: InterlockError) -> None:
        """Put on record that a person wanted to void and was refused; the state stays as it is."""
        body = {"asked": "void", "code": error.code, "why": error.message[:300]}
        await self.store.transact(
            lambda each: each.audit("second_step.refused", action=name[:64], person=person, body=body)
        )
        error.on_record = True

    def _action(self, transaction: Transaction, name: str, person: str, reason: str) -> Action:
        action = actions.held(transaction, name)
        if not reason:
            raise UsageError("To void needs a reason.", hint="Add --reason.")
        why = second_step.not_to_void(action, self._second(transaction, name))
        if why:
            raise StateConflict(f"The action {name} {why}", hint=f"interlock actions show {name}")
        return settlements.void(transaction, self.memory, action, by=person, reason=reason, person=person)

    def _second(self, transaction: Transaction, name: str) -> Action | None:
        connection = transaction.connection
        return second_steps.proposed(connection, second_steps.of(connection, name))
