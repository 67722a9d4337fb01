"""A chat completion as OpenAI's API says it, whole or as a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.testing.model_reply import CREATED, Body, Said, ToolCall, UsageAt, arguments_of, event


def chat(said: Said) -> Body:
    """Return a chat completion."""
    message: Body = {"role": "assistant", "content": said.reply.text or None, "refusal": None}
    if said.reply.tool_calls:
        message["tool_calls"] = [_function(call) for call in said.reply.tool_calls]
    choices = [
        {"index": index, "message": message, "finish_reason": _finish(said), "logprobs": None}
        for index in range(said.request.get("n") or 1)
    ]
    body: Body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": said.model,
        "choices": choices,
    }
    return {**body, "usage": _usage(said)} if said.tells else body


def chat_stream(said: Said) -> Iterator[bytes]:
    """Yield the events of a chat completion; usage comes only where the request asks for it."""
    at = said.reply.usage
    options: Body = said.request.get("stream_options") or {}
    asked = options.get("include_usage")

    def chunk(delta: Body, finish: str | None = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        body: Body = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": said.model,
            "choices": [choice],
        }
        if at is UsageAt.EVERYWHERE or (at is UsageAt.WITH_TEXT and finish):
            body["usage"] = _usage(said)
        return body

    yield event(chunk({"role": "assistant", "content": ""}))
    for piece in said.pieces if said.reply.text else ():
        yield event(chunk({"content": piece}))
    for index, call in enumerate(said.reply.tool_calls):
        whole = {"index": index, **_function(call)}
        opening = {**whole, "function": {"name": call.name, "arguments": ""}}
        yield event(chunk({"tool_calls": [opening]}))
        yield event(chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments_of(call)}}]}))
    yield event(chunk({}, _finish(said)))
    if asked and at is UsageAt.LAST:
        yield event({**chunk({}), "choices": [], "usage": _usage(said)})
    yield b"data: [DONE]\n\n"


def _finish(said: Said) -> str:
    if said.capped:
        return "length"
    return "tool_calls" if said.reply.tool_calls else "stop"


def _function(call: ToolCall) -> Body:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments_of(call)},
    }


def _usage(said: Said) -> Body:
    """Return the usage of a chat completion: cached tokens are part of the prompt's."""
    reply = said.reply
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": said.output,
        "total_tokens": reply.input_tokens + said.output,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }
