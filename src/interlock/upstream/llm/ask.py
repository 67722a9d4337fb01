"""One model call as far as money goes: who asks, what, and what it is booked under."""

from __future__ import annotations

from interlock.core.document.spending import Models
from interlock.core.model import Principal, value
from interlock.upstream.llm.body import ModelBody
from interlock.upstream.llm.surface import Surface


@value
class Ask:
    """One attempt at a model call, `attempt` its id.

    `requested` is the model that the caller named, whatever `body` asks for by now. `pinned` are the items of
    the history that stay whole, by their indices; None: all of them.
    `ratio` is how many tokens a MiB of its text comes to where that was counted. `traceparent` is the span
    of the caller, as its header says it, "" where it says none.
    """

    attempt: str
    principal: Principal
    surface: Surface
    body: ModelBody
    requested: str
    models: Models
    customer: str = ""
    step: str = ""
    pinned: frozenset[int] | None = frozenset()
    ratio: int | None = None
    traceparent: str = ""

    @property
    def call(self) -> str:
        """The call that this is an attempt at."""
        return self.attempt.partition(".")[0]
