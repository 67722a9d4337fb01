"""Let what was stopped go on: one person proposes, another confirms (B5). What was ended stays ended."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.errors import NotPermitted, StateConflict, UsageError
from interlock.settings import Settings
from interlock.store import kills
from interlock.store.database import Store, Transaction
from interlock.store.kills import Kill, KillState
from interlock.store.memory import Memory

_ALONE = "self_approve in the environment dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeKilled:
    """The use case with its handles."""

    store: Store
    memory: Memory
    settings: Settings

    async def __call__(self, kill: str, *, by: str, reason: str) -> Kill:
        """Propose to resume, or confirm what another person proposed. Return the kill as it is then.

        Raises `NotFound`, `NotPermitted` for the same person twice, `StateConflict` when it was resumed,
        `UsageError` without a reason.
        """
        if not reason.strip():
            raise UsageError("Resuming needs a reason.", hint="--reason TEXT")
        alone = self.settings.self_approve and self.settings.environment == "dev"

        def work(transaction: Transaction) -> Kill:
            found = kills.get(transaction.connection, kill)
            match found.state:
                case KillState.RESUMED:
                    raise StateConflict(f"It was resumed by {found.proposed_by} and {found.resumed_by}.")
                case KillState.IN_FORCE if not alone:
                    kills.propose(transaction, found, by=by, reason=reason)
                case KillState.PROPOSED if found.proposed_by == by and not alone:
                    raise NotPermitted(
                        f"{by} has proposed this; another person has to confirm it.",
                        hint=f"interlock kill resume {kill} --reason TEXT, by somebody else",
                    )
                case _:
                    one = found.proposed_by in (None, by)
                    kills.resume(
                        transaction, self.memory, found, by=by, reason=reason, alone=_ALONE if one else ""
                    )
            return kills.get(transaction.connection, kill)

        return await self.store.transact(work)
