"""Propose second steps: follow-ups when their time has come, and whatever a person asks for again (E4).

A timer and what it proposes share a commit. Whatever is proposed waits for a person.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import second_step
from interlock.core.action import Action, ActionState
from interlock.core.second_step import OVER, StepKind
from interlock.errors import InterlockError, StateConflict, UsageError
from interlock.store import actions, proposals, second_steps
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """The use cases of second steps that are yet to be confirmed."""

    store: Store
    memory: Memory

    def due(self, transaction: Transaction, name: str) -> None:
        """Propose the follow-up of an action that still stands: what its timer does."""
        action, step = (
            actions.get(transaction.connection, name),
            second_steps.of(transaction.connection, name),
        )
        if action.state is not ActionState.SUCCEEDED or step is None or step.problem:
            return
        second = second_steps.proposed(transaction.connection, step)
        if second is None or second.state in OVER:
            proposals.propose(transaction, self.memory, action, step)

    async def asked(self, name: str, kind: StepKind, *, person: str, reason: str) -> Action:
        """Return the second step of an action that waits for a person, proposed anew where none does.

        Raises `StateConflict` where nothing can make the action final now, `UsageError` for a follow-up
        without a reason, `NotFound`.
        """
        try:
            return await self.store.transact(
                lambda transaction: self._asked(transaction, name, kind, person, reason.strip())
            )
        except (StateConflict, UsageError) as error:
            what = "settle" if kind is StepKind.CONFIRM else "follow-up"
            await self.refuse(what, name, person, error)
            raise

    async def refuse(self, what: str, name: str, person: str, error: InterlockError) -> None:
        """Put on record what a person asked for and was refused; the state stays as it is."""
        body = {"asked": what, "code": error.code, "why": error.message[:300]}
        await self.store.transact(
            lambda each: each.audit("second_step.refused", action=name[:64], person=person, body=body)
        )
        error.on_record = True

    def _asked(self, transaction: Transaction, name: str, kind: StepKind, person: str, reason: str) -> Action:
        action = actions.get(transaction.connection, name)
        if kind is StepKind.FOLLOW_UP and not reason:
            raise UsageError("To ask again needs a reason.", hint="Add --reason.")
        step = second_steps.of(transaction.connection, name)
        second = second_steps.proposed(transaction.connection, step)
        why = second_step.not_to_confirm(action, step, second, kind)
        if why or step is None:
            raise StateConflict(f"The action {name} {why}", hint=f"interlock actions show {name}")
        if second is not None and second.state is ActionState.WAITING_APPROVAL:
            return second
        proposed = proposals.propose(transaction, self.memory, action, step)
        body = {"follows": name, "reason": reason[:500]}
        actions.record(transaction, "second_step.asked", proposed, body=body, person=person)
        return proposed
