"""Let what a breaker stopped go on: a person signs, with a reason, for this very opening (E1, invariant 7).

Operators and admins sign, and never who started the run that tripped it: who has a stake in the answer does
not give it. A refused signature changes nothing and is on record.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.breaker import BreakerKind, may_move
from interlock.core.model import BreakerState
from interlock.errors import InterlockError, NotPermitted, StateConflict, StoreError, UsageError
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.store import breakers, claims
from interlock.store.breakers import Record
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.memory import Memory
from interlock.store.people import Person

_SIGNERS = ("operator", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """The use case with its handles."""

    store: Store
    memory: Memory
    runtime: Runtime
    settings: Settings

    async def __call__(
        self, kind: BreakerKind, name: str, to: BreakerState, *, by: Person, reason: str
    ) -> Record:
        """Sign, and return the breaker as it is then.

        Raises `NotFound`, `NotPermitted` for the wrong role or who started the run, `StateConflict` where
        there is nothing to sign, `UsageError` without a reason.
        """
        try:
            if not by.may(*_SIGNERS):
                raise NotPermitted(
                    f"{by.name} may not sign off a breaker.", hint="It needs the role operator or admin."
                )
            if not reason.strip():
                raise UsageError("Signing off a breaker needs a reason.", hint="--reason TEXT")
            return await self.store.transact(
                lambda transaction: self._sign(transaction, kind, name, to, by.name, reason.strip()[:2000])
            )
        except StoreError:
            raise
        except InterlockError as error:
            await self._refused(kind, name, to, by, error)
            raise

    def _sign(
        self, transaction: Transaction, kind: BreakerKind, name: str, to: BreakerState, by: str, reason: str
    ) -> Record:
        environment = self.memory.environment
        breakers.get(transaction.connection, environment, kind, name)
        record = breakers.hold(transaction, environment, kind, name)
        now = record.breaker
        if to is BreakerState.OPEN or not may_move(now.state, to, signed=True):
            raise StateConflict(
                f"The breaker {now.label} is {_word(now.state)}; it cannot be signed off to {_word(to)}.",
                hint=f"interlock breaker show {now.label}",
            )
        alone = self.settings.self_approve and self.settings.environment == "dev"
        if record.starter == by and not alone:
            raise NotPermitted(
                f"{by} started the run that tripped it; another person has to sign.",
                hint=f"interlock breaker sign-off {now.label}, by somebody else",
            )
        breakers.sign(transaction, self.memory, record, to, person=by, reason=reason)
        claims.release_parked(transaction, self.memory)  # what another breaker stops is parked anew
        return breakers.get(transaction.connection, environment, kind, name)

    async def _refused(
        self, kind: BreakerKind, name: str, to: BreakerState, by: Person, error: InterlockError
    ) -> None:
        body = {"breaker": f"{kind.value}:{name[:200]}", "to": to.value, "error": error.code}
        entry = JournalEntry(
            at=self.runtime.clock.now(), kind="breaker.sign_off_refused", person=by.name, body=body
        )
        await self.store.journal(entry)
        error.on_record = True


def _word(state: BreakerState) -> str:
    return state.value.replace("_", "-")
