"""A span: one piece of work as traces tell it, in the terms of OpenTelemetry (C3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from interlock.core.model import value

Attribute = str | int | float | bool | tuple[str, ...]


@value
class Span:
    """One piece of work that is done. Times are microseconds since the Unix epoch.

    `parent` is the `traceparent` that came with the work (W3C Trace Context), "" where none did; `error` is
    why it failed, "" where it did not.
    """

    name: str
    started_at: int
    ended_at: int
    attributes: Mapping[str, Attribute]
    parent: str = ""
    error: str = ""


Spans = Callable[[Span], None]
"""Who is told of spans; it neither waits nor raises."""
