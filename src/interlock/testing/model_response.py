"""A response as OpenAI's Responses API says it, whole or as a stream of events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interlock.testing.model_reply import CREATED, Body, Said, arguments_of, event


def response(said: Said) -> Body:
    """Return a response of the Responses API."""
    ending: Body = {"status": "completed", "incomplete_details": None}
    if said.capped:
        ending = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    usage = _usage(said) if said.tells else None
    return {**_response(said), **ending, "output": _output(said), "usage": usage}


def _response(said: Said) -> Body:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "model": said.model,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def _output(said: Said) -> list[Body]:
    text: Body = {"type": "output_text", "text": said.reply.text, "annotations": []}
    message: Body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    calls = [
        {
            "id": f"fc_{index}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": arguments_of(call),
        }
        for index, call in enumerate(said.reply.tool_calls)
    ]
    return [*([message] if said.reply.text else []), *calls]


def response_stream(said: Said) -> Iterator[bytes]:
    """Yield the events of a response; usage is in the last."""
    numbers = iter(range(1_000_000))

    def named(kind: str, **more: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(numbers), **more}, kind)

    yield named("response.created", response=_response(said))
    for index, item in enumerate(_output(said)):
        at = {"item_id": item["id"], "output_index": index}
        yield named("response.output_item.added", output_index=index, item=_empty(item))
        if item["type"] == "message":
            at["content_index"] = 0
            part: Body = {"type": "output_text", "text": "", "annotations": []}
            yield named("response.content_part.added", **at, part=part)
            for piece in said.pieces:
                yield named("response.output_text.delta", **at, delta=piece, logprobs=[])
            yield named("response.output_text.done", **at, text=said.reply.text, logprobs=[])
            yield named("response.content_part.done", **at, part=item["content"][0])
        else:
            yield named("response.function_call_arguments.delta", **at, delta=item["arguments"])
            yield named("response.function_call_arguments.done", **at, arguments=item["arguments"])
        yield named("response.output_item.done", output_index=index, item=item)
    whole = response(said)
    yield named(f"response.{whole['status']}", response=whole)


def _empty(item: Body) -> Body:
    nothing: Body = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**item, "status": "in_progress", **nothing}


def _usage(said: Said) -> Body:
    reply = said.reply
    return {
        "input_tokens": reply.input_tokens,
        "input_tokens_details": {"cached_tokens": reply.cached_tokens},
        "output_tokens": said.output,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        "total_tokens": reply.input_tokens + said.output,
    }
