"""A message as Anthropic's API says it, whole or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from interlock.testing.model_reply import Body, Said, event


def message(said: Said) -> Body:
    """Return a message of the Messages API."""
    whole = {**_message(said), "content": _blocks(said), "stop_reason": _stop_reason(said)}
    if said.tells:
        return {**whole, "usage": _usage(said)}
    del whole["usage"]
    return whole


def _message(said: Said) -> Body:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(said, output=1),
    }


def _blocks(said: Said) -> list[Body]:
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in said.reply.tool_calls
    ]
    return [*([{"type": "text", "text": said.reply.text}] if said.reply.text else []), *calls]


def _stop_reason(said: Said) -> str:
    if said.capped:
        return "max_tokens"
    return "tool_use" if said.reply.tool_calls else "end_turn"


def message_stream(said: Said) -> Iterator[bytes]:
    """Yield the events of a message: input and cache counts first, output counts last."""

    def named(kind: str, **more: Any) -> bytes:
        return event({"type": kind, **more}, kind)

    opening = _message(said)
    if not said.tells:
        del opening["usage"]
    yield named("message_start", message=opening)
    for index, block in enumerate(_blocks(said)):
        if block["type"] == "text":
            yield named("content_block_start", index=index, content_block={"type": "text", "text": ""})
            yield named("ping")
            deltas = [{"type": "text_delta", "text": piece} for piece in said.pieces]
        else:
            yield named("content_block_start", index=index, content_block={**block, "input": {}})
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        for delta in deltas:
            yield named("content_block_delta", index=index, delta=delta)
        yield named("content_block_stop", index=index)
    ending = {"stop_reason": _stop_reason(said), "stop_sequence": None}
    usage = {"usage": {"output_tokens": said.output}} if said.tells else {}
    yield named("message_delta", delta=ending, **usage)
    yield named("message_stop")


def _usage(said: Said, *, output: int | None = None) -> Body:
    """Return the usage of a message: cached tokens are counted beside the input's."""
    reply = said.reply
    return {
        "input_tokens": reply.input_tokens - reply.cached_tokens - reply.cache_write_tokens,
        "cache_read_input_tokens": reply.cached_tokens,
        "cache_creation_input_tokens": reply.cache_write_tokens,
        "output_tokens": said.output if output is None else output,
    }
