"""Decide an action anew that was approved, or is to be sent again, and move it on in the same commit.

What a person has said yes to is decided once more as things stand now; where that is not what they saw, a
person is asked again. What was sent before and may not be sent again is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.core import admission, effect, lease
from interlock.core.action import Action, ActionState
from interlock.core.admission import Approved
from interlock.core.approval import Approval
from interlock.core.model import SECOND, Decision, Gate, Request, Verdict
from interlock.core.reach import Measured
from interlock.core.refusal import FORGOTTEN
from interlock.errors import SnapshotMoved
from interlock.runtime import Runtime
from interlock.store import actions, decisions, doubts, grounds, requests
from interlock.store.database import Store, Transaction
from interlock.store.memory import Memory

ATTEMPTS = 5
_NO_REPEAT = "This call was sent and no answer came; it may not be sent again now, because: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Readmit:
    """Lets actions go on. `call_timeout` is in seconds; `process` names this process."""

    store: Store
    memory: Memory
    runtime: Runtime
    process: str
    call_timeout: int

    async def again(
        self, action: Action, approval: Approval | None, measured: Measured | None = None
    ) -> Action:
        """Decide an action that was approved, or is to be sent again, anew, and move it on in one commit.

        To executing, to a person (nobody approved what would happen now), or denied; parked where a breaker
        is open; in doubt where it was sent before and may not be sent again.
        Raises `StateConflict` when somebody else moved it, `SnapshotMoved` when nothing would stand still.
        """
        request, approved = actions.request_of(action), decisions.approved_by(approval, action)
        for _ in range(ATTEMPTS):
            decision = await self._decide(action, request, measured, approved)
            try:
                moved = await self.store.transact(
                    lambda transaction, decision=decision: self._move_on(transaction, action, decision)
                )
            except SnapshotMoved:
                if measured is not None:  # under another policy it is measured anew: the clock tries again
                    raise
                continue
            return moved
        raise SnapshotMoved("What this call was decided on kept changing.", hint="Try again.")

    async def _decide(
        self, action: Action, request: Request, measured: Measured | None, approved: Approved | None
    ) -> Decision:
        """Decide a call that is reserved already: it does not count against itself."""
        follows = ""
        if action.follows:
            followed = action.follows
            follows = (await self.store.read(lambda found: actions.get(found, followed))).tool
        snapshot = self.memory.snapshot(
            request.principal, request.tool, approved=approved, measured=measured, own=1
        )
        now = self.runtime.clock.now()
        if follows:
            return admission.decide_second(request, snapshot, now, follows=follows)
        return admission.decide(request, snapshot, now)

    def _move_on(self, transaction: Transaction, action: Action, decision: Decision) -> Action:
        grounds.require(transaction, self.memory, action, decision)
        said: dict[str, Any] = {
            "decision": actions.plain(decision),
            "verdict": decision.verdict,
            "tier": decision.tier,
            "bundle": decision.bundle,
            "pin": decision.pin,
            "result": None,
        }
        if not action.attempt and decision.verdict is Verdict.REQUIRE_APPROVAL:
            moved = self._ask_again(transaction, action, decision, said)
        else:
            moved = self._go_or_stop(transaction, action, decision, said)
            self._put(transaction, moved, 0)
        actions.record(transaction, f"action.{moved.state.value}", moved, body=decisions.said(decision))
        return moved

    def _go_or_stop(
        self, transaction: Transaction, action: Action, decision: Decision, said: Mapping[str, Any]
    ) -> Action:
        reason = FORGOTTEN if self._forgotten(action, transaction.now) else decision.reason
        if reason.verdict not in (Verdict.REQUIRE_APPROVAL, Verdict.DENY):
            return actions.move(
                transaction, action, ActionState.EXECUTING, by="interlock", process=self.process,
                lease_until=transaction.now + lease.length(self.call_timeout * SECOND), due_at=0, **said,
            )  # fmt: skip
        if action.attempt:
            return actions.move(
                transaction, action, ActionState.IN_DOUBT, by="interlock", reason=reason.code,
                error=_NO_REPEAT + reason.message, due_at=0,
            )  # fmt: skip
        if reason.gate is Gate.BREAKER and action.state is ActionState.APPROVED:
            return actions.move(
                transaction, action, ActionState.PARKED, by="interlock", reason=reason.code,
                error=reason.message,
            )  # fmt: skip
        actions.uncount_call(transaction, action.run, action.tool)
        transaction.on_commit(lambda: self.memory.uncount_call(action.run, action.tool))
        return actions.move(
            transaction, action, ActionState.DENIED, by="interlock", reason=reason.code,
            error=reason.message, **said,
        )  # fmt: skip

    def _forgotten(self, action: Action, now: int) -> bool:
        """Whether what is to be sent again may not be known to its tool any more by its key."""
        window = doubts.window_of(self.memory, action.tool)
        again = action.state is ActionState.RETRY and not action.comp_of
        return again and not effect.repeatable(action, now=now, window=window)

    def _ask_again(
        self, transaction: Transaction, action: Action, decision: Decision, said: Mapping[str, Any]
    ) -> Action:
        asked = requests.draft(transaction, self.memory, action, decision)
        requests.put(transaction, self.memory, asked, replace(action, tier=decision.tier))
        moved = actions.move(
            transaction, action, ActionState.WAITING_APPROVAL, by="interlock", reason=decision.reason.code,
            approval=asked.id, due_at=0, **said,
        )  # fmt: skip
        self._put(transaction, moved, asked.expires_at)
        return moved

    def _put(self, transaction: Transaction, action: Action, expires_at: int) -> None:
        live = actions.live_of(action, expires_at=expires_at)
        transaction.on_commit(lambda: self.memory.put_action(live))
