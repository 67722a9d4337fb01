"""Whether a call that was sent can still land, by what has passed and not by what a clock says (E3).

The moment up to which it may is on record. A wall clock that is set forward would end that time early, so it
is measured here from when this process first saw the undo, and is a whole lease at the least: what another
clock has put on record says nothing of how much is left.
"""

from __future__ import annotations

from interlock.core import lease
from interlock.core.action import ActionState
from interlock.core.model import SECOND
from interlock.runtime import Clock
from interlock.store.memory import LiveAction

_MOST = 10_000


class Quiet:
    """The undos that wait until what they undo can land no more. `timeout` of a call is in seconds."""

    def __init__(self, clock: Clock, *, timeout: int) -> None:
        self._clock = clock
        self._lease = lease.length(timeout * SECOND)
        self._until: dict[str, float] = {}

    def over(self, undo: LiveAction, now: int) -> bool:
        """Say whether an undo may begin; ask from the moment it is known, and again."""
        if undo.state is not ActionState.APPROVED or not undo.due_at:
            return True
        measured, until = self._clock.monotonic(), self._until.get(undo.id)
        if until is None:
            until = measured + max(undo.due_at - now, self._lease) / SECOND
            if len(self._until) >= _MOST:
                self._until.clear()  # who is asked about again waits anew
            self._until[undo.id] = until
        return measured >= until
