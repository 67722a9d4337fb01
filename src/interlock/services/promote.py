"""Let a workflow go on with less supervision: a named person applies what the evidence allows (F3).

Without evidence nobody can, whatever their role; who answers for the workflow decides, not who runs the
platform. A refused promotion changes nothing and is on record.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.autonomy import higher
from interlock.core.bundle import Bundle
from interlock.core.track_record import Cause, TrackRecord, provable
from interlock.errors import InterlockError, NotPermitted, StateConflict, StoreError, UsageError
from interlock.runtime import Runtime
from interlock.store import tiers, track_records
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.memory import Memory
from interlock.store.people import Person
from interlock.store.requests import roster


def may_promote(bundle: Bundle | None, by: Person, workflow: str) -> bool:
    """Whether a person answers for a workflow: its owner, one of the team that owns it, or an admin."""
    if by.may("admin"):
        return True
    if bundle is None or workflow not in bundle.workflows:
        return False
    return by.name in roster(bundle).members(bundle.workflows[workflow].document.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """The use case with its handles."""

    store: Store
    memory: Memory
    runtime: Runtime

    async def propose(self, workflow: str, tool: str) -> TrackRecord:
        """Put the promotion to the workflow's owner, with the figures, if the evidence suffices.

        Raises `NotFound`, `StateConflict` where it does not suffice or can never.
        """
        return await self.store.transact(lambda transaction: self._propose(transaction, workflow, tool))

    async def __call__(self, workflow: str, tool: str, *, by: Person, reason: str) -> TrackRecord:
        """Promote by one tier, and return the record as it is then.

        Raises `NotFound`, `NotPermitted` for who does not answer for the workflow, `StateConflict` where the
        evidence does not suffice, `UsageError` without a reason.
        """
        try:
            if not may_promote(self.memory.bundle, by, workflow):
                raise NotPermitted(
                    f"{by.name[:60]} does not answer for {workflow[:60]}.",
                    hint="Its owner promotes it, or an admin.",
                )
            if not reason.strip():
                raise UsageError("A promotion needs a reason.", hint="--reason TEXT")
            return await self.store.transact(
                lambda transaction: self._promote(transaction, workflow, tool, by.name, reason.strip()[:2000])
            )
        except StoreError:
            raise
        except InterlockError as error:
            body = {"error": error.code}
            entry = JournalEntry(
                at=self.runtime.clock.now(), kind="autonomy.promotion_refused", person=by.name,
                workflow=workflow[:200], tool=tool[:200], body=body,
            )  # fmt: skip
            await self.store.journal(entry)
            error.on_record = True
            raise

    def _propose(self, transaction: Transaction, workflow: str, tool: str) -> TrackRecord:
        record = self._proven(transaction, workflow, tool)
        if record.proposed_at:
            return record
        return tiers.propose(transaction, self.memory, record)

    def _promote(
        self, transaction: Transaction, workflow: str, tool: str, by: str, reason: str
    ) -> TrackRecord:
        record = self._proven(transaction, workflow, tool)
        to = higher(record.tier)
        return track_records.change(
            transaction, self.memory, record, to, cause=Cause.EVIDENCE, person=by, reason=reason
        )

    def _proven(self, transaction: Transaction, workflow: str, tool: str) -> TrackRecord:
        record = track_records.held(transaction, self.memory, workflow, tool)
        bundle = self.memory.bundle
        if bundle is not None and (why := provable(bundle, workflow, tool)):
            raise StateConflict(
                f"{workflow} always asks a person before it uses {tool}: {why}.",
                hint="Give the tool an undo or a delay in its map entry.",
            )
        if not record.proven:
            raise StateConflict(
                f"{record.in_words.capitalize()}.", hint=f"interlock autonomy show {workflow} {tool}"
            )
        return record
