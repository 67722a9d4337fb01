"""How a model call ended, and what is charged for it: the table of endings (B8).

What the provider reports of a whole answer is believed. What it had reported of a part is a lower bound, as
is what was seen to pass. What was refused before any output costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from interlock.core.conversation import WireFormat
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


_TOLD: Mapping[WireFormat, frozenset[str]] = {
    WireFormat.CHAT: frozenset(),
    WireFormat.MESSAGES: frozenset({"compaction", "web_search", "web_fetch"}),
}
"""The provider's tools whose calls the answers of a format tell of; those of the others tell of all."""


def with_tools(usage: Usage, declared: Mapping[str, int], form: WireFormat | None) -> Usage:
    """Count once each tool that the provider may have run, and that it did not tell of or could not.

    `declared` are the most calls of each that the request allowed.
    """
    told = _TOLD.get(form) if form is not None and usage.source is UsageSource.PROVIDER else frozenset[str]()
    if told is None:
        return usage
    silent = [name for name, calls in declared.items() if calls and name not in told | usage.tools.keys()]
    return replace(usage, tools={**usage.tools, **dict.fromkeys(silent, 1)}) if silent else usage
