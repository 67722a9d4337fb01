"""Carry out one undo: its intent on disk under a lease, then its outcome, in two commits (E3, invariant 8).

Nothing is decided anew: it was reviewed when it was declared, and no breaker, kill, budget, expiry or
retirement is asked. What got no answer is sent again later, under the same key.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import compensation, lease
from interlock.core.action import Action, ActionState
from interlock.core.compensation import RECOVERY
from interlock.core.model import SECOND
from interlock.store import actions, doubts, model_calls, undos
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory
from interlock.store.model_calls import LedgerRow
from interlock.upstream.executor import Failed, InputNeeded, NotSent, Outcome, Succeeded, Unknown

_READY = frozenset({ActionState.APPROVED, ActionState.RETRY})
_ASKED = "The undo asked for input, and nobody is there to give it."
_DRIFTED = (
    "The tool that undoes it is not what was registered; a person must review it: interlock tools pins."
)
_ENDINGS: dict[type[Outcome], str] = {
    Succeeded: "completed",
    Failed: "failed",
    InputNeeded: "input_needed",
    Unknown: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """The two halves of an undo. `call_timeout` is in seconds; `process` names this process."""

    store: Store
    memory: Memory
    process: str
    call_timeout: int

    async def claim(self, undo: str) -> Action | None:
        """Take an undo whose turn it is, and write down that it is being sent; None where it is not.

        Raises `StateConflict` when another process was faster, `StoreError`.
        """
        return await self.store.transact(lambda transaction: self._claim(transaction, undo))

    def barred(self, undo: Action) -> NotSent | None:
        """Say why an undo must not be sent as it is: its tool is not what was registered any more."""
        pin = self.memory.pins.get(undo.tool)
        return NotSent(message=_DRIFTED) if pin is not None and pin.drifted else None

    async def outcome(self, undo: Action, outcome: Outcome) -> Action:
        """Record how an undo ended, what it cost, and with it what became of the action it undoes.

        Raises `StateConflict` when somebody else moved it, `StoreError` when it cannot be written now.
        """
        return await self.store.transact(lambda transaction: self._outcome(transaction, undo, outcome))

    def _claim(self, transaction: Transaction, name: str) -> Action | None:
        undo = actions.get(transaction.connection, name)
        if undo.state not in _READY or undo.due_at > transaction.now:
            return None
        turn = undos.next_of(transaction.connection, undo.run)
        if turn is None or turn.id != undo.id:
            transaction.on_commit(lambda: self.memory.forget_action(undo.id))  # the one before it wakes it
            return None
        until = transaction.now + lease.length(self.call_timeout * SECOND)
        taken = actions.move(
            transaction, undo, ActionState.EXECUTING, by=RECOVERY, process=self.process, due_at=0,
            lease_until=until, error="",
        )  # fmt: skip
        body = {"digest": taken.digest, "undoes": taken.comp_of, "attempt": taken.attempt}
        actions.record(transaction, "action.executing", taken, body=body)
        self._put(transaction, taken)
        return taken

    def _outcome(self, transaction: Transaction, undo: Action, outcome: Outcome) -> Action:
        if isinstance(outcome, NotSent | Unknown):
            ended = self._unanswered(transaction, undo, outcome)
        else:
            ended = self._answered(transaction, undo, outcome)
        if not isinstance(outcome, NotSent):
            self._book(transaction, undo, outcome)
        self._put(transaction, ended)
        return ended

    def _answered(
        self, transaction: Transaction, undo: Action, outcome: Succeeded | Failed | InputNeeded
    ) -> Action:
        match outcome:
            case Succeeded(payload=payload):
                state, error = ActionState.SUCCEEDED, ""
            case Failed(message=error, payload=payload):
                state = ActionState.FAILED
            case InputNeeded(payload=payload):
                state, error = ActionState.FAILED, _ASKED
        ended = actions.move(transaction, undo, state, by=RECOVERY, result=payload, error=error)
        body = {"digest": undo.digest, "undoes": undo.comp_of, "sent": True}
        actions.record(transaction, f"action.{state.value}", ended, body=body)
        return ended

    def _unanswered(self, transaction: Transaction, undo: Action, outcome: NotSent | Unknown) -> Action:
        if isinstance(outcome, Unknown):
            return doubts.unanswered(
                transaction, self.memory, undo, outcome.message, timeout=self.call_timeout * SECOND
            )
        due_at = compensation.after_unsent(undo, now=transaction.now)
        state = ActionState.RETRY if due_at else ActionState.FAILED
        moved = actions.move(transaction, undo, state, by=RECOVERY, error=outcome.message, due_at=due_at)
        body = {"digest": undo.digest, "undoes": undo.comp_of, "sent": False, "attempt": undo.attempt}
        actions.record(transaction, f"action.{state.value}", moved, body=body)
        return moved

    def _book(self, transaction: Transaction, undo: Action, outcome: Outcome) -> None:
        """Write what the undo cost into the ledger, under the recovery identity and on nobody's account."""
        tool = None if self.memory.bundle is None else self.memory.bundle.tools.get(undo.tool)
        if tool is None or not tool.cost_per_call:
            return
        row = LedgerRow(
            attempt=transaction.ids.new("att"),
            kind="tool",
            environment=self.memory.environment,
            run=undo.run,
            root_run=undo.run,
            workflow=undo.workflow,
            version=undo.workflow_version,
            agent=RECOVERY,
            provider=undo.tool.partition(".")[0],
            requested_model=undo.tool,
            served_model=undo.tool,
            usage_source="uncertain" if isinstance(outcome, Unknown) else "provider",
            ending=_ENDINGS[type(outcome)],
            started_at=undo.updated_at,
            ended_at=transaction.now,
            cost=tool.cost_per_call,
            step=undo.id,
        )
        model_calls.insert(transaction.connection, [row])

    def _put(self, transaction: Transaction, undo: Action) -> None:
        if undo.state.final:  # it was let go of with its end
            return
        live = actions.live_of(undo)
        transaction.on_commit(lambda: self.memory.put_action(live))
