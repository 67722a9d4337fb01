"""What a scripted model says to one request, and in what numbers; its shape is the wire format's matter.

Usage is told where the script says: in the last event, on an event that carries text too, on every event, or
not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Body = dict[str, Any]
CREATED = 1_750_000_000
"""When a reply says that it was made, in seconds since the epoch."""
_CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class UsageAt(StrEnum):
    """Where a reply tells how many tokens it took."""

    LAST = "last"
    WITH_TEXT = "with_text"
    EVERYWHERE = "everywhere"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asks for."""

    name: str
    arguments: Mapping[str, Any]
    id: str = "call_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says, how much it took, and how it goes wrong.

    Token counts are as the provider bills them: `input_tokens` holds what was read from the cache. An output
    cap in the request is kept. `wait` and `pace` are seconds before the reply and between events. `split`
    writes so many bytes at a time; `cut_after` closes the connection after so many bytes of the body. With a
    `status` of 400 and above the body is an error that says `text`. `raw` takes the place of the body.
    """

    text: str = "Hello from the scripted model."
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    input_tokens: int = 12
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 7
    reasoning_tokens: int = 0
    usage: UsageAt = UsageAt.LAST
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: bytes | None = None
    wait: float = 0
    pace: float = 0
    split: int = 0
    cut_after: int | None = None
    gzip: bool = False


class Said:
    """A reply to one request, in numbers: what was capped, and which model answers."""

    def __init__(self, reply: Reply, request: Body) -> None:
        caps = [request[name] for name in _CAPS if isinstance(request.get(name), int)]
        self.reply = reply
        self.request = request
        self.model = reply.model or str(request.get("model", ""))
        self.output = min([reply.output_tokens, *caps])
        self.capped = self.output < reply.output_tokens
        self.pieces = _pieces(reply.text)

    @property
    def tells(self) -> bool:
        """Whether usage is told at all."""
        return self.reply.usage is not UsageAt.MISSING


def event(data: Body, name: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def arguments_of(call: ToolCall) -> str:
    """Return the arguments of a call as the text that models write them in."""
    return json.dumps(dict(call.arguments), separators=(",", ":"))


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
