"""A person has an outcome told again: to a receiver that lost it, or was away for longer than a day."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.errors import StateConflict, UsageError
from interlock.store import actions, deliveries, outcomes
from interlock.store.database import Store, Transaction
from interlock.store.deliveries import Delivery, DeliveryState
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeliver:
    """Tell one outcome again, where the manifest in force says now, under the same event."""

    store: Store
    memory: Memory

    async def __call__(self, delivery: str, *, person: str, reason: str) -> Delivery:
        """Return the new delivery. Raises `UsageError`, `StateConflict`, `NotFound`."""
        if not reason.strip():
            raise UsageError("To tell it again needs a reason.", hint="Add --reason.")
        return await self.store.transact(
            lambda transaction: self._again(transaction, delivery, person, reason.strip())
        )

    def _again(self, transaction: Transaction, name: str, person: str, reason: str) -> Delivery:
        old = deliveries.get(transaction.connection, name)
        outcome = outcomes.of(transaction.connection, old, url="")
        if old.state is DeliveryState.QUEUED:
            raise StateConflict(f"{name} is still on its way.", hint="Wait: it is tried again by itself.")
        to = outcomes.receiver(self.memory, outcome.action.workflow)
        if to is None:
            raise StateConflict(
                f"The workflow {outcome.action.workflow} declares no webhook.",
                hint="Declare one in its manifest, and apply it.",
            )
        again = deliveries.enqueue_outcome(transaction, old.environment, outcome.action.id, outcome.seq, to)
        body = {"delivery": again, "event": outcome.event, "again": name, "reason": reason}
        actions.record(transaction, "delivery.repeated", outcome.action, body=body, person=person)
        return deliveries.get(transaction.connection, again)
