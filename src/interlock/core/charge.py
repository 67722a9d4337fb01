"""How a model call ended, and what is charged for it: the table of endings (B8).

What the provider reports of a whole answer is believed. What it had reported of a part is a lower bound, as
is what was seen to pass. What was refused before any output costs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from interlock.core.usage import Usage, UsageSource, at_least


class Ending(StrEnum):
    """How one attempt ended."""

    ANSWERED = "answered"
    REJECTED = "rejected"
    """The provider refused it before any output: a 4xx."""
    NOT_SENT = "not_sent"
    FAILED = "failed"
    """It was sent, and no answer came: a 5xx, a timeout, a connection that was lost."""
    BROKEN = "broken"
    """The provider broke the answer off."""
    LEFT = "left"
    """The caller went away before the end."""
    CUT = "cut"
    """A kill ended it."""


FREE = frozenset({Ending.REJECTED, Ending.NOT_SENT})


def charged(ending: Ending, reported: Usage | None, seen: Usage, *, complete: bool) -> Usage | None:
    """Return the usage that is charged, None where nothing is.

    `reported` is what the provider said, None where it said nothing, `complete` whether that is of the whole
    answer; `seen` is the estimate of what passed.
    """
    if ending in FREE:
        return None
    if ending is Ending.FAILED:
        return replace(seen, output=0, source=UsageSource.UNCERTAIN)
    if reported is None:
        return seen
    if complete:
        return at_least(reported, seen)
    return at_least(replace(reported, source=UsageSource.UNCERTAIN), seen)
