"""What the clock does to calls that wait: approvals expire, and delayed actions come due.

Running out of time is never an approval and is not a refusal either: it has its own state and words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from interlock.core.action import Action, ActionState
from interlock.core.approval import ApprovalState, end
from interlock.errors import StateConflict
from interlock.store import actions, approvals, runs
from interlock.store.database import Store, Transaction
from interlock.store.memory import LiveAction, Memory
from interlock.store.run_rows import RunState

LATE = "Nobody decided before the approval expired. This is not a refusal; it can be asked again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """Clock work on actions."""

    store: Store
    memory: Memory

    async def look(self, live: LiveAction, now: int) -> None:
        """Do what is due for one live action at `now` (microseconds). Raises `StoreError`.

        An undo belongs to nobody's run, nor does a second step: the end of the run does not stop them.
        """
        if self._over(live) and live.state.final:  # nobody can collect it by an identical call any more
            self.memory.forget_action(live.id)
        elif live.comp_of:
            return
        elif self._over(live) and live.state.cancellable and not live.follows:
            await self._try(self._orphan, live.id)
        elif live.state is ActionState.WAITING_APPROVAL and live.expires_at <= now:
            await self._try(self._expire, live.id)
        elif live.state is ActionState.SCHEDULED and live.due_at <= now:
            await self._try(self._release, live.id)

    def _over(self, live: LiveAction) -> bool:
        """Whether nobody is there who waits for it: its run has ended, or it was never a run's own call."""
        run = self.memory.runs.get(live.run)
        return bool(live.comp_of or live.follows) or run is None or not run.open

    async def _try(self, work: Callable[[Transaction, str], None], action: str) -> None:
        try:
            await self.store.transact(lambda transaction: work(transaction, action))
        except StateConflict:  # somebody moved it at the last moment; what they did stands
            return

    def _orphan(self, transaction: Transaction, name: str) -> None:
        action = actions.get(transaction.connection, name)
        run = runs.find(transaction.connection, action.run)
        if action.cancellable and (run is None or run.state is not RunState.OPEN):
            approvals.cancel(transaction, self.memory, action, by="interlock", reason="the run ended")

    def _expire(self, transaction: Transaction, name: str) -> None:
        action = actions.get(transaction.connection, name)
        asked = approvals.find(transaction.connection, action.approval)
        if asked is None or action.state is not ActionState.WAITING_APPROVAL:
            return
        if asked.expires_at > transaction.now:
            return
        ended = end(asked, ApprovalState.EXPIRED, reason=LATE, now=transaction.now)
        approvals.settle(transaction, ended)
        moved = actions.move(transaction, action, ActionState.EXPIRED, by="interlock", error=LATE)
        actions.uncount_call(transaction, action.run, action.tool)
        transaction.on_commit(lambda: self.memory.uncount_call(action.run, action.tool))
        self._record(transaction, "approval.expired", moved)

    def _release(self, transaction: Transaction, name: str) -> None:
        action = actions.get(transaction.connection, name)
        if action.state is not ActionState.SCHEDULED or action.due_at > transaction.now:
            return
        moved = actions.move(transaction, action, ActionState.APPROVED, by="interlock", reason="due")
        self._record(transaction, "action.due", moved)

    def _record(self, transaction: Transaction, kind: str, action: Action) -> None:
        body = {"approval": action.approval, "digest": action.digest}
        actions.record(transaction, kind, action, body=body)
        live = actions.live_of(action)
        transaction.on_commit(lambda: self.memory.put_action(live))
