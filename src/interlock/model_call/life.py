"""One model call as its parts see it: what was asked, how far it got, and who ended it.

A call has one ending, whoever causes it: the provider, the caller who leaves, or a kill. Who came first is
kept here, and the task that carries the call out is stopped once.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum

from interlock.core.model import Principal, value
from interlock.upstream.llm.body import ModelBody
from interlock.upstream.llm.surface import Surface
from interlock.upstream.llm.transport import RawHeaders

_LONGEST_LABEL = 200


@value
class ModelRequest:
    """One request of an agent, as it came in."""

    principal: Principal
    surface: Surface
    body: ModelBody
    headers: RawHeaders = ()
    query: str = ""

    def header(self, name: str) -> str:
        """Return what a header says, as much as a label holds; empty where there is none."""
        wanted = name.encode("latin-1")
        for held, said in self.headers:
            if held == wanted:
                return said[:_LONGEST_LABEL].decode("latin-1")
        return ""


class Ended(StrEnum):
    """Who ended a call before its provider did."""

    CALLER = "caller"
    KILL = "kill"


class Life:
    """One call under way. `begun` says that the caller has the head of an answer: no refusal from there on.

    `task` carries the call out, from the moment it may be stopped until it has its end.
    """

    __slots__ = ("begun", "ended", "id", "request", "task")

    def __init__(self, call: str, request: ModelRequest) -> None:
        self.id = call
        self.request = request
        self.begun = False
        self.ended: Ended | None = None
        self.task: asyncio.Task[object] | None = None

    @property
    def cut(self) -> bool:
        """Whether a kill ends this call."""
        return self.ended is Ended.KILL

    def stop(self, who: Ended) -> None:
        """Stop the call, unless it has an end already."""
        if self.task is not None and self.ended is None:
            self.ended = who
            self.task.cancel()
