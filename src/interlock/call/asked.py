"""Calls whose tool server asked people: each goes on by itself once they answered, or nobody did in time.

A call that a legacy server keeps open belongs to the process that keeps it. Another one leaves it alone for a
moment; afterwards that process is taken to be gone, and the call is lost with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from interlock.core import question
from interlock.core.action import ActionState
from interlock.core.answer import Continuation
from interlock.core.approval import ApprovalState
from interlock.core.model import SECOND
from interlock.core.question import Question
from interlock.services.attend import Attend
from interlock.store import approvals
from interlock.store.database import Store
from interlock.store.memory import LiveAction, Memory

PATIENCE = 10 * SECOND
"""How long an answer waits for the process that keeps the call open, in microseconds."""

Keeps = Callable[[str], bool]


def anybody(_state: str) -> bool:
    """Stand for an executor that keeps no call open."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of the questions. `keeps(state)`: whether a call with that state can go on here."""

    store: Store
    memory: Memory
    attend: Attend
    keeps: Keeps = anybody

    def waits(self, live: LiveAction) -> bool:
        """Whether a call may be waiting for people."""
        return live.state is ActionState.AWAITING_INPUT and self.memory.asks_people(live.run)

    async def over(self) -> list[str]:
        """Return the actions whose question has been answered, or has ended. Raises `StoreError`."""
        if not any(self.waits(live) for live in self.memory.actions.values()):
            return []
        environment = self.memory.environment
        return await self.store.read(lambda found: approvals.questions_over(found, environment))

    async def given(self, action_id: str) -> Continuation | None:
        """Return what a call goes on with; None while it waits, or where another process keeps it open."""
        action, _ = await self.attend.load(action_id)
        asked = await self.store.read(lambda found: approvals.question_of(found, action_id))
        if action.state is not ActionState.AWAITING_INPUT or asked is None:
            return None
        put = question.read((action.result or {}).get("inputRequests") or {})
        if asked.state is ApprovalState.PENDING or not isinstance(put, Question):
            return None
        if put.put_by(action.tool.partition(".")[0]) != asked.arguments:
            return None  # an answer to something else, from before its workflow was changed
        theirs = not self.keeps(str(msgspec.json.decode(action.input_state)["upstream"]))
        if theirs and not self.store.alone and self.store.now() < asked.decided_at + PATIENCE:
            return None
        return Continuation(request_state="", input_responses={put.key: question.reply(asked)})
