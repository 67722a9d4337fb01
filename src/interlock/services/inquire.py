"""What a tool server asks for during a call is put to people, where the workflow says so (F2).

The question is a request of kind `input` with the workflow's stages and times, written in the commit in which
the call begins to wait. It never counts as an approval of the call. When the call goes on without it, or is
stopped, the question ends with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import question
from interlock.core.action import Action, ActionState
from interlock.core.approval import NEVER, Approval, ApprovalState, end, expired
from interlock.core.question import Question
from interlock.store import actions, approvals, requests, timers
from interlock.store.database import Transaction
from interlock.store.memory import Memory

EXPIRY = "question.expiry"
"""The kind of timer that is due when nobody may answer any more; its reference is the request."""

LATE = "Nobody answered in time; the tool server is told that nobody did."
_OVER = "the call does not wait for it any more"
_WAITS = ActionState.AWAITING_INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquire:
    """Let the store `follow`, and give `expire` to the ring."""

    memory: Memory

    def follow(self, transaction: Transaction, was: Action | None, now: Action) -> None:
        """Put the question in the commit in which its call begins to wait, and end it in which it stops."""
        waited = was is not None and was.state is _WAITS
        if now.state is _WAITS and not waited and self.memory.asks_people(now.run):
            asked = question.read((now.result or {}).get("inputRequests") or {})
            if isinstance(asked, Question):  # what is not for people goes to the client
                self._put(transaction, now, asked)
        elif waited and now.state is not _WAITS:
            self._end(transaction, now)

    def expire(self, transaction: Transaction, name: str) -> None:
        """End a question that nobody answered in time."""
        asked = approvals.held(transaction, name)
        if asked is not None and expired(asked, transaction.now):
            self._settle(transaction, asked, ApprovalState.EXPIRED, LATE)

    def _put(self, transaction: Transaction, action: Action, asked: Question) -> None:
        server = action.tool.partition(".")[0]
        request = requests.question(transaction, self.memory, action, asked.put_by(server))
        requests.put(transaction, self.memory, request, action)
        if request.expires_at < NEVER:
            timers.put(transaction, EXPIRY, request.id, request.expires_at)
        body = {"approval": request.id, "server": server}
        actions.record(transaction, "question.asked", action, body=body)

    def _end(self, transaction: Transaction, action: Action) -> None:
        last = approvals.question_of(transaction.connection, action.id)
        asked = None if last is None else approvals.held(transaction, last.id)
        if asked is not None and asked.state is ApprovalState.PENDING:
            self._settle(transaction, asked, ApprovalState.CANCELLED, _OVER)

    def _settle(self, transaction: Transaction, asked: Approval, state: ApprovalState, why: str) -> None:
        approvals.settle(transaction, end(asked, state, reason=why, now=transaction.now))
        action = actions.get(transaction.connection, asked.action)
        actions.record(transaction, "question.ended", action, body={"approval": asked.id, "how": state.value})
