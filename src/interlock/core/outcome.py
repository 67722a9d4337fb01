"""What became of an action, as its caller's own program is told (E1): names and states, never contents.

Arguments, results and errors may hold secrets and personal data: they do not leave this way. The link leads
whoever may see them to them.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.action import Action, ActionState
from interlock.core.model import Json

KIND = "action.outcome"
_UNDER_WAY = ActionState.COMPENSATING


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One move of an action into a state that its caller is told of; `was` is the state before ("": none).

    `seq` is the number of the move: of two outcomes of one action, the one with the higher number counts.
    """

    action: Action
    environment: str
    seq: int
    state: ActionState
    was: str
    at: int
    link: str

    @property
    def event(self) -> str:
        """The id by which a receiver knows it, however often and by whatever delivery it is told."""
        return f"{self.action.id}.{self.seq}"

    def payload(self, delivery: str) -> dict[str, Json]:
        """Return the message; each attempt of one `delivery` says exactly the same."""
        action = self.action
        replaced = self.state is ActionState.SUPERSEDED
        return {
            "delivery": delivery,
            "event": self.event,
            "kind": KIND,
            "environment": self.environment,
            "action": action.id,
            "seq": self.seq,
            "state": self.state.value,
            "was": self.was or None,
            "at": self.at,
            "run": action.run,
            "agent": action.agent,
            "workflow": action.workflow,
            "version": action.workflow_version,
            "tool": action.tool,
            "idempotency_key": action.idempotency_key or None,
            "follows": action.follows or None,
            "successor": action.successor or None if replaced else None,
            "link": self.link,
        }


def is_told(action: Action) -> bool:
    """Whether where `action` has come to is told: an end, a doubt, or what later became of either.

    What an undo came to is told as what became of the action that it undoes.
    """
    return action.state.final and action.state is not _UNDER_WAY and not action.comp_of
