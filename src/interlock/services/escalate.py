"""What the clock does to a request that nobody decides: remind its stage, begin the next, open an incident.

Silence decides nothing (F2). What is overdue after an outage happens once, at the stage that is due by then;
that stage has its full time from the moment at which it is told. The end of a request is `expire`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core import routing
from interlock.core.alert import AlertKind
from interlock.core.approval import Approval, ApprovalState, climb, expired
from interlock.core.model import SECOND
from interlock.store import actions, approvals, requests, timers
from interlock.store.database import Transaction
from interlock.store.memory import Memory

_AGAIN = SECOND
"""Microseconds after which a timer looks again at a request on which somebody was deciding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate:
    """The handlers of a request's timers: give `remind` and `breach` to the ring."""

    memory: Memory

    def remind(self, transaction: Transaction, approval: str) -> None:
        """Remind the stage that has begun, unless its time is over: the breach is due then."""
        asked = self._waiting(transaction, requests.REMINDER, approval)
        if asked is None or transaction.now >= asked.level_at + asked.sla:
            return
        action = actions.get(transaction.connection, asked.action)
        requests.tell(
            transaction, self.memory, asked, action, AlertKind.APPROVAL_REMINDER, range(asked.level + 1)
        )
        self._record(transaction, "approval.reminded", asked)

    def breach(self, transaction: Transaction, approval: str) -> None:
        """Begin the stage that is due, or open an incident when the last one missed its time too."""
        asked = self._waiting(transaction, requests.BREACH, approval)
        if asked is None:
            return
        now = transaction.now
        level = routing.climbed(asked.stages, asked.level, began_at=asked.level_at, sla=asked.sla, now=now)
        action = actions.get(transaction.connection, asked.action)
        if level > max(0, len(asked.stages) - 1):
            requests.tell(transaction, self.memory, asked, action, AlertKind.APPROVAL_UNANSWERED, ())
            self._record(transaction, "approval.unanswered", asked)
        elif level > asked.level:
            climbed = climb(asked, level, now=now)
            approvals.climb(transaction, climbed)
            began = range(asked.level + 1, level + 1)
            requests.tell(transaction, self.memory, climbed, action, AlertKind.APPROVAL_ESCALATED, began)
            requests.begin(transaction, climbed)
            self._record(transaction, "approval.escalated", climbed)
        else:
            timers.put(transaction, requests.BREACH, asked.id, asked.level_at + asked.sla)

    def _waiting(self, transaction: Transaction, kind: str, approval: str) -> Approval | None:
        """Return the request if it still waits; None if not, or while somebody is deciding on it."""
        asked = approvals.held(transaction, approval, wait=False)
        if asked is None:
            timers.put(transaction, kind, approval, transaction.now + _AGAIN)
            return None
        over = asked.state is not ApprovalState.PENDING or expired(asked, transaction.now)
        return None if over else asked

    def _record(self, transaction: Transaction, kind: str, asked: Approval) -> None:
        action = actions.get(transaction.connection, asked.action)
        body = {"approval": asked.id, "stage": asked.stage, "level": asked.level}
        actions.record(transaction, kind, action, body=body)
