"""What has passed of one stream, event by event: enough to estimate it, and to end it well-formed.

A stream that Interlock must cut ends as the provider's own would at the output cap, so that every client
understands it: a chunk with `length`, a `message_delta` with `max_tokens`, a `response.incomplete`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import msgspec

from interlock.core.conversation import WireFormat
from interlock.core.usage import Usage

Event = Mapping[str, Any]
_encode = msgspec.json.Encoder().encode
_NOT_TEXT = frozenset({"type", "role", "id", "call_id", "index", "stop_reason", "signature"})


class Story(Protocol):
    """One stream, told so far. `size` is the bytes of text in it."""

    size: int

    def tell(self, event: Event) -> None:
        """Take note of one event."""
        ...

    def end(self, usage: Usage, *, tell_usage: bool) -> bytes:
        """Return the events that end the stream here; nothing where it has ended or not begun."""
        ...


class ChatStory:
    """A stream of chat completion chunks."""

    def __init__(self) -> None:
        self.size = 0
        self._head: dict[str, Any] = {}
        self._open: dict[int, None] = {}

    def tell(self, event: Event) -> None:
        """Take note of one chunk."""
        if not self._head:
            self._head = {name: event[name] for name in ("id", "object", "created", "model") if name in event}
        for choice in event.get("choices") or ():
            self.size += text_size(choice.get("delta"))
            self._open[choice.get("index", 0)] = None
            if choice.get("finish_reason"):
                del self._open[choice.get("index", 0)]

    def end(self, usage: Usage, *, tell_usage: bool) -> bytes:
        """End every choice that is open with `length`, then the stream."""
        if not self._head:
            return b""
        choices: list[Any] = [{"index": each, "delta": {}, "finish_reason": "length"} for each in self._open]
        events = [_event({**self._head, "choices": choices})] if choices else []
        if tell_usage:
            events.append(_event({**self._head, "choices": [], "usage": _openai(usage)}))
        return b"".join([*events, b"data: [DONE]\n\n"])


class MessageStory:
    """A stream of the Messages API."""

    def __init__(self) -> None:
        self.size = 0
        self._begun = self._ended = False
        self._open: dict[int, None] = {}

    def tell(self, event: Event) -> None:
        """Take note of one event."""
        match event.get("type"):
            case "message_start":
                self._begun = True
            case "content_block_start":
                self._open[event["index"]] = None
            case "content_block_delta":
                self.size += text_size(event.get("delta"))
            case "content_block_stop":
                self._open.pop(event["index"], None)
            case "message_stop":
                self._ended = True
            case _:
                return

    def end(self, usage: Usage, *, tell_usage: bool) -> bytes:
        """Close the block that is open, say `max_tokens`, end the message. Usage always belongs to it."""
        if not self._begun or self._ended:
            return b""
        stops = [_named({"type": "content_block_stop", "index": each}) for each in self._open]
        ending = {"stop_reason": "max_tokens", "stop_sequence": None}
        counts = {"output_tokens": usage.output} if tell_usage or usage.output else {"output_tokens": 0}
        delta = _named({"type": "message_delta", "delta": ending, "usage": counts})
        return b"".join([*stops, delta, _named({"type": "message_stop"})])


class ResponseStory:
    """A stream of the Responses API."""

    def __init__(self) -> None:
        self.size = 0
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._text: dict[int, list[str]] = {}
        self._number = -1
        self._ended = False

    def tell(self, event: Event) -> None:
        """Take note of one event."""
        kind = str(event.get("type", ""))
        self._number = event.get("sequence_number", self._number)
        if kind in ("response.created", "response.in_progress"):
            self._response = event["response"]
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._ended = True
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[event["output_index"]] = event["item"]
        elif kind.endswith(".delta"):
            self.size += text_size(event.get("delta"))
            if kind == "response.output_text.delta":
                self._text.setdefault(event["output_index"], []).append(event["delta"])

    def end(self, usage: Usage, *, tell_usage: bool) -> bytes:
        """Say that the response is incomplete, with what there is of it."""
        if not self._response or self._ended:
            return b""
        response = {
            **self._response,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [self._item(index) for index in sorted(self._items)],
            "usage": _responses(usage) if tell_usage or usage.output else None,
        }
        number = self._number + 1
        return _named({"type": "response.incomplete", "sequence_number": number, "response": response})

    def _item(self, index: int) -> dict[str, Any]:
        item = self._items[index]
        if item.get("status") == "completed" or item.get("type") != "message":
            return item
        text: Event = {"type": "output_text", "text": "".join(self._text.get(index, ())), "annotations": []}
        return {**item, "status": "incomplete", "content": [text]}


STORIES: Mapping[WireFormat, type[Story]] = {
    WireFormat.CHAT: ChatStory,
    WireFormat.RESPONSES: ResponseStory,
    WireFormat.MESSAGES: MessageStory,
}


def text_size(said: Any) -> int:
    """Return the bytes of text in what a model said, whatever holds it."""
    if isinstance(said, str):
        return len(said.encode("utf-8", "replace"))
    if isinstance(said, dict):
        held = cast("dict[str, Any]", said)
        return sum(text_size(each) for name, each in held.items() if name not in _NOT_TEXT)
    return sum(text_size(each) for each in cast("list[Any]", said)) if isinstance(said, list) else 0


def _event(data: Event) -> bytes:
    return b"data: %b\n\n" % _encode(data)


def _named(data: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(data["type"]).encode(), _encode(data))


def _openai(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.context,
    }


def _responses(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.context,
    }
