"""Take freedom back by hand: one tier, or all of it where something severe happened (F3).

The clock and the alarm demote without anybody. A person may always: an operator, or who answers for the
workflow. What a person says they saw needs no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.autonomy import lower
from interlock.core.model import AutonomyTier
from interlock.core.track_record import Cause, TrackRecord
from interlock.errors import StateConflict, UsageError
from interlock.store import tiers, track_records
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Demote:
    """The use case with its handles. Who may ask is the edge's to say."""

    store: Store
    memory: Memory

    async def __call__(
        self, workflow: str, tool: str, *, by: str, reason: str, severe: bool = False
    ) -> TrackRecord:
        """Demote by one tier, or to a person's approval of every call where it was `severe`.

        Raises `NotFound`, `StateConflict` where there is nothing below, `UsageError` without a reason.
        """
        if not reason.strip():
            raise UsageError("A demotion needs a reason.", hint="--reason TEXT")
        said = reason.strip()[:2000]
        return await self.store.transact(
            lambda transaction: self._demote(transaction, workflow, tool, by, said, severe=severe)
        )

    def _demote(
        self, transaction: Transaction, workflow: str, tool: str, by: str, reason: str, *, severe: bool
    ) -> TrackRecord:
        record = track_records.held(transaction, self.memory, workflow, tool)
        if record.tier is AutonomyTier.SYNC_APPROVAL:
            raise StateConflict(f"{workflow} waits for a person with every call of {tool} already.")
        to = AutonomyTier.SYNC_APPROVAL if severe else lower(record.tier)
        cause = Cause.SEVERE if severe else Cause.PERSON
        return tiers.lose(transaction, self.memory, record, to, cause=cause, person=by, reason=reason)
