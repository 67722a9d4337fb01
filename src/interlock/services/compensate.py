"""A person has an action or a whole run undone, tried again, stopped, or says that it was undone by hand.

Each needs a reason. What cannot be undone is said one by one; a refusal is on record, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from interlock.core import compensation
from interlock.core.action import Action, ActionState
from interlock.errors import InterlockError, SnapshotMoved, StateConflict, UsageError
from interlock.store import actions, compensations, runs, second_steps, undos
from interlock.store.compensations import RunUndone, Undone
from interlock.store.database import Store, Transaction
from interlock.store.memory import LiveAction, Memory

ATTEMPTS = 5
T = TypeVar("T")
_S = ActionState
_UNSENT = frozenset({_S.APPROVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensate:
    """The use cases of people about undos."""

    store: Store
    memory: Memory

    async def action(self, name: str, *, person: str, reason: str) -> Undone:
        """Undo an action, or have a failed undo of it tried again.

        Raises `UsageError` without a reason, `StateConflict` where it cannot be undone, `NotFound`.
        """
        return await self._or_refuse(
            "undo", name, person, lambda transaction: self._action(transaction, name, person, _said(reason))
        )

    async def run(self, name: str, *, person: str, reason: str) -> RunUndone:
        """End a run, and undo everything in it that can be, the last first. Raises as `action` does.

        Where another engine moves an action of it meanwhile, all is looked at anew.
        """

        def work(transaction: Transaction) -> RunUndone:
            found, said = runs.get(transaction.connection, name), _said(reason)
            return compensations.abort(transaction, self.memory, found, by=person, reason=said, person=person)

        for _ in range(ATTEMPTS - 1):
            with suppress(StateConflict, SnapshotMoved):
                return await self.store.transact(work)
        return await self._or_refuse("undo run", name, person, work)

    async def stop(self, name: str, *, person: str, reason: str) -> Undone:
        """Stop the undo of an action before it is sent: the action stands. Raises as `action` does."""
        return await self._or_refuse(
            "stop", name, person, lambda transaction: self._stop(transaction, name, person, _said(reason))
        )

    async def by_hand(self, name: str, *, person: str, reason: str) -> Action:
        """Record that a person undid by hand what an undo failed to take back. Raises as `action` does."""
        return await self._or_refuse(
            "done", name, person, lambda transaction: self._by_hand(transaction, name, person, _said(reason))
        )

    async def refuse(self, what: str, name: str, person: str, error: InterlockError) -> None:
        """Put on record what a person asked for and was refused; the state stays as it is."""
        body = {"asked": what, "code": error.code, "why": error.message[:300]}
        await self.store.transact(
            lambda transaction: transaction.audit("undo.refused", action=name[:64], person=person, body=body)
        )
        error.on_record = True

    async def _or_refuse(self, what: str, name: str, person: str, work: Callable[[Transaction], T]) -> T:
        try:
            return await self.store.transact(work)
        except (StateConflict, UsageError) as error:
            await self.refuse(what, name, person, error)
            raise

    def _action(self, transaction: Transaction, name: str, person: str, reason: str) -> Undone:
        action = actions.held(transaction, name)
        undo = undos.of(transaction.connection, self.memory, action)
        why = compensation.kept(action, undo, transaction.now)
        if why is not None:
            raise StateConflict(f"The action {why.message}", hint=f"interlock actions show {name}")
        return compensations.begin(transaction, self.memory, action, by=person, reason=reason, person=person)

    def _stop(self, transaction: Transaction, name: str, person: str, reason: str) -> Undone:
        action = actions.get(transaction.connection, name)
        undo = undos.undoing(transaction.connection, name)
        if undo is None or action.state is not _S.COMPENSATING:
            raise StateConflict(
                f"The action {name} is not being undone.", hint=f"interlock actions show {name}"
            )
        if second_steps.is_settlement(transaction.connection, name):
            raise StateConflict(
                f"{name} is being voided, which is not stopped: it can only be done anew.",
                hint=f"interlock undo show {name}",
            )
        if undo.state not in _UNSENT:
            raise StateConflict(
                f"The undo of {name} was sent already: it cannot be stopped any more.",
                hint=f"interlock undo show {name}",
            )
        said = f"{person} stopped the undo: {reason}"
        stopped = actions.move(
            transaction, undo, _S.CANCELLED, by=person, reason=reason, error=said, due_at=0
        )
        body = {"undoes": name, "reason": reason}
        actions.record(transaction, "undo.stopped", stopped, body=body, person=person)
        return Undone(action=actions.get(transaction.connection, name), undo=stopped)

    def _by_hand(self, transaction: Transaction, name: str, person: str, reason: str) -> Action:
        action = actions.get(transaction.connection, name)
        if action.state is not _S.COMPENSATION_FAILED:
            raise StateConflict(
                f"The action {name} is {action.state.value}: no undo of it has failed, and only such "
                "a failure is made good by hand.",
                hint=f"interlock undo show {name}",
            )
        said = f"{person} undid it by hand: {reason}"
        voided = second_steps.is_settlement(transaction.connection, name)
        state = _S.VOIDED if voided else _S.COMPENSATED
        done = actions.move(transaction, action, state, by=person, reason=reason, error=said)
        actions.record(transaction, "undo.by_hand", done, body={"reason": reason}, person=person)
        live = actions.live_of(done)
        transaction.on_commit(lambda: self._known(live))
        return done

    def _known(self, live: LiveAction) -> None:
        """Tell who waits for an action; what was let go of already is not known again."""
        if live.id in self.memory.actions:
            self.memory.put_action(live)


def _said(reason: str) -> str:
    if not reason.strip():
        raise UsageError("To undo needs a reason.", hint="Add --reason.")
    return reason.strip()[:500]
