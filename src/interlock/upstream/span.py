"""A span: one piece of work as traces tell it, in the terms and the JSON form of OpenTelemetry (C3)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from interlock.core.model import Json, value

LONGEST = 256
"""Letters of a text that are kept: a provider chooses some of them."""

Attribute = str | int | float | bool | tuple[str, ...]

_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_CLIENT, _ERROR = 3, 2


@value
class Span:
    """One piece of work that is done. Times are microseconds since the Unix epoch.

    `parent` is the `traceparent` that came with the work (W3C Trace Context); where it is none, the span is
    in the trace of its `run`. `error` is why it failed, "" where it did not.
    """

    name: str
    run: str
    started_at: int
    ended_at: int
    attributes: Mapping[str, Attribute]
    parent: str = ""
    error: str = ""


Spans = Callable[[Span], None]
"""Who is told of spans; it neither waits nor raises."""


def otlp(span: Span, identity: str) -> dict[str, Json]:
    """Return a span as OTLP's JSON has it. `identity` is 16 hexadecimal digits that no other span has."""
    known = _PARENT.fullmatch(span.parent)
    trace, parent = known.groups() if known else (trace_of(span.run), "")
    told: dict[str, Json] = {
        "traceId": trace,
        "spanId": identity,
        "name": span.name[:LONGEST],
        "kind": _CLIENT,
        "startTimeUnixNano": f"{span.started_at}000",
        "endTimeUnixNano": f"{span.ended_at}000",
        "attributes": attributes(span.attributes),
    }
    if parent:
        told["parentSpanId"] = parent
    if span.error:
        told["status"] = {"code": _ERROR, "message": span.error}
    return told


def trace_of(run: str) -> str:
    """Return the trace of a run whose program has none of its own: each process finds the same."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def attributes(named: Mapping[str, Attribute]) -> list[Json]:
    """Return attributes as OTLP's JSON has them."""
    return [{"key": key, "value": _value(said)} for key, said in named.items()]


def _value(said: Attribute) -> Json:
    if isinstance(said, str):
        return {"stringValue": said[:LONGEST]}
    if isinstance(said, bool):
        return {"boolValue": said}
    if isinstance(said, int):
        return {"intValue": str(said)}
    if isinstance(said, float):
        return {"doubleValue": said}
    return {"arrayValue": {"values": [{"stringValue": each[:LONGEST]} for each in said]}}
