"""What a reply used: usage is taken from any event, and the last one wins (B1, B8).

A stream is passed on in whole events. One is decoded only where it can hold usage, which a search for the
word tells; the rest is kept, a little at a time, for the case that no usage comes and it must be estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import msgspec

from interlock.core import usage as counted
from interlock.core.conversation import WireFormat
from interlock.core.usage import Usage
from interlock.upstream.llm.story import STORIES, Story, text_size
from interlock.upstream.llm.surface import Operation, Surface

_decode = msgspec.json.Decoder().decode
_USAGE = b'"usage"'
_NO_USAGE = (b'"usage":null', b'"usage": null')
_DONE = b"data: [DONE]"
_NO_DATA = (b":", b"event:", b"id:", b"retry:")
_WORDS = ("choices", "content", "output")
_KEPT = 128 * 1024
_LONGEST_NAME = 256
_LONGEST_EVENT = 4 * 1024 * 1024
_READERS: Mapping[Operation, Callable[[Mapping[str, Any]], Usage]] = {
    Operation.CHAT: counted.openai_chat,
    Operation.RESPONSE: counted.openai_responses,
    Operation.MESSAGE: counted.anthropic,
    Operation.EMBEDDINGS: counted.embeddings,
}


class Meter:
    """The usage of one reply. With `hide_usage`, an event that tells usage alone is not passed on.

    `complete` says that what was reported is of the whole reply; the first event of a message is not.
    """

    def __init__(self, surface: Surface, *, hide_usage: bool = False) -> None:
        self.model = ""
        self.service_tier = ""
        self.complete = False
        self._operation = surface.operation
        self._generates = surface.generates
        self._hide = hide_usage
        self._form = surface.form or WireFormat.CHAT
        self._told: Story | None = None
        self._usage: dict[str, Any] = {}
        self._output: list[Any] = []
        self._tail = b""
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._whole_size = 0
        self._reply: Mapping[str, Any] = {}
        self._done = self._streamed = False

    @property
    def _story(self) -> Story:
        """What has passed of a stream, which a whole reply needs nothing of."""
        self._told = self._told or STORIES[self._form]()
        return self._told

    @property
    def usage(self) -> Usage | None:
        """What the provider reported, None while it has reported nothing."""
        if not self._usage:
            return None
        if self._operation is Operation.RESPONSE:
            return counted.openai_responses(self._usage, self._output)
        reader = _READERS.get(self._operation)
        return None if reader is None else reader(self._usage)

    @property
    def output_size(self) -> int:
        """The bytes of text that passed."""
        self._tell()
        words = sum(text_size(self._reply.get(each)) for each in _WORDS) if self._reply else 0
        return self._whole_size + words + self._story.size

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece of a stream; return the events that are complete with it."""
        buffer = self._tail + chunk if self._tail else chunk
        end = _end_of_events(buffer)
        if end == 0 and len(buffer) > _LONGEST_EVENT:
            end = len(buffer)
        block, self._tail = (buffer, b"") if end == len(buffer) else (buffer[:end], buffer[end:])
        if _USAGE in block and block.count(_USAGE) > sum(block.count(each) for each in _NO_USAGE):
            block = self._look(block)
        self._streamed = self._streamed or bool(block)
        self._keep(block)
        return block

    def rest(self) -> bytes:
        """Return what was held back when the stream has ended."""
        rest, self._tail = self._tail, b""
        if self._streamed:
            self._keep(rest)
        else:
            self.whole(rest)  # what was asked for as a stream, and is none
        return rest

    def whole(self, body: bytes) -> None:
        """Take a reply that is no stream."""
        self._whole_size = len(body) if self._generates else 0
        try:
            reply = _decode(body)
        except (msgspec.DecodeError, RecursionError):
            return
        if isinstance(reply, dict):
            said = cast("dict[str, Any]", reply)
            self._note(said)
            if not said.keys().isdisjoint(_WORDS):
                self._whole_size, self._reply = 0, said

    def end(self, usage: Usage, *, tell_usage: bool) -> bytes:
        """Return the events that end the stream well-formed where it is now."""
        self._tail = b""
        self._tell()
        return b"" if self._done else self._story.end(usage, tell_usage=tell_usage)

    def _look(self, block: bytes) -> bytes:
        """Take the usage out of the events that have it; leave out an event that has nothing else."""
        kept: list[bytes] = []
        for event in _split(block):
            said = _data(event) if _USAGE in event else None
            if said is not None and self._note(said) and self._hide and said.get("choices") == []:
                continue
            kept.append(event)
        return b"".join(kept)

    def _note(self, said: Mapping[str, Any]) -> bool:
        """Take note of the usage in an event or a whole reply; say whether it has any."""
        holder = said.get("response") or said.get("message") or said
        if not isinstance(holder, dict):
            return False
        held = cast("dict[str, Any]", holder)
        reported = counted.reported(said)
        if reported is None:
            return False
        self._usage = counted.merge(self._usage, reported)
        self.complete = _is_last(said)
        self.model = _name(held.get("model")) or self.model
        self.service_tier = counted.tier_of(held, reported) or self.service_tier
        if isinstance(held.get("output"), list):
            self._output = held["output"]
        return True

    def _keep(self, block: bytes) -> None:
        self._kept.append(block)
        self._kept_size += len(block)
        if self._kept_size > _KEPT:
            self._tell()

    def _tell(self) -> None:
        """Tell the story what was kept, and let it go."""
        blocks, self._kept, self._kept_size = b"".join(self._kept), [], 0
        self._done = self._done or _DONE in blocks
        for event in _split(blocks):
            said = _data(event)
            if said is not None:
                _told(self._story, said)
            else:
                self._story.size += _unread(event)


def _is_last(said: Mapping[str, Any]) -> bool:
    """Whether usage in this event, or whole reply, is of everything: there is no text after it."""
    if "choices" in said:
        return all(each.get("finish_reason") for each in said["choices"] or ())
    return said.get("type") not in ("message_start", "response.in_progress")


def _told(story: Story, said: dict[str, Any]) -> None:
    """Tell one event; one of a form that no provider documents is only measured."""
    try:
        story.tell(said)
    except (KeyError, TypeError, AttributeError):
        story.size += text_size(said)


def _unread(event: bytes) -> int:
    """Return the size of an event that cannot be read, without what is no data: nobody knows what it cost."""
    lines = [line for line in event.splitlines() if not line.startswith(_NO_DATA)]
    return sum(len(line) for line in lines if line != _DONE)


def _end_of_events(buffer: bytes) -> int:
    """Return where the last complete event ends, 0 where none is complete."""
    if buffer.endswith(b"\n\n"):
        return len(buffer)
    ends = [(at, len(mark)) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (at := buffer.rfind(mark)) >= 0]
    at, length = max(ends, default=(0, 0))
    return at + length


def _split(block: bytes) -> Iterator[bytes]:
    """Yield the events of a block, each with the blank line that ends it."""
    mark = b"\r\n\r\n" if b"\r\n\r\n" in block else b"\n\n"
    parts = block.split(mark)
    last = parts.pop()
    for part in parts:
        yield part + mark
    if last:
        yield last


def _data(event: bytes) -> dict[str, Any] | None:
    """Return the JSON object that an event carries, None where it carries something else."""
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    try:
        said = _decode(b"\n".join(lines))
    except (msgspec.DecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else None


def _name(said: object) -> str:
    """Return a name that a provider says, as much as a label holds; "" where it is none that can be kept."""
    return said[:_LONGEST_NAME] if isinstance(said, str) and said[:_LONGEST_NAME].isprintable() else ""
