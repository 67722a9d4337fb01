"""What a scripted model says to one request, in each wire format, whole or as a stream of events.

A `Reply` is the script; the functions below give it the shape that the request asked for. Usage is told where
the script says: in the last event, on an event that carries text too, on every event, or not at all.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

Body = dict[str, Any]
_CREATED = 1_750_000_000
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

    def openai_usage(self) -> Body:
        """Return the usage of a chat completion: cached tokens are part of the prompt's."""
        reply = self.reply
        return {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": self.output,
            "total_tokens": reply.input_tokens + self.output,
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        }

    def responses_usage(self) -> Body:
        """Return the usage of a response."""
        reply = self.reply
        return {
            "input_tokens": reply.input_tokens,
            "input_tokens_details": {"cached_tokens": reply.cached_tokens},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
            "total_tokens": reply.input_tokens + self.output,
        }

    def anthropic_usage(self, *, output: int | None = None) -> Body:
        """Return the usage of a message: cached tokens are counted beside the input's."""
        reply = self.reply
        return {
            "input_tokens": reply.input_tokens - reply.cached_tokens - reply.cache_write_tokens,
            "cache_read_input_tokens": reply.cached_tokens,
            "cache_creation_input_tokens": reply.cache_write_tokens,
            "output_tokens": self.output if output is None else output,
        }

    @property
    def tells(self) -> bool:
        """Whether usage is told at all."""
        return self.reply.usage is not UsageAt.MISSING


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def event(data: Body, name: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


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
        "created": _CREATED,
        "model": said.model,
        "choices": choices,
    }
    return {**body, "usage": said.openai_usage()} if said.tells else body


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
            "created": _CREATED,
            "model": said.model,
            "choices": [choice],
        }
        if at is UsageAt.EVERYWHERE or (at is UsageAt.WITH_TEXT and finish):
            body["usage"] = said.openai_usage()
        return body

    yield event(chunk({"role": "assistant", "content": ""}))
    for piece in said.pieces if said.reply.text else ():
        yield event(chunk({"content": piece}))
    for index, call in enumerate(said.reply.tool_calls):
        whole = {"index": index, **_function(call)}
        opening = {**whole, "function": {"name": call.name, "arguments": ""}}
        yield event(chunk({"tool_calls": [opening]}))
        yield event(chunk({"tool_calls": [{"index": index, "function": {"arguments": _json(call)}}]}))
    yield event(chunk({}, _finish(said)))
    if asked and at is UsageAt.LAST:
        yield event({**chunk({}), "choices": [], "usage": said.openai_usage()})
    yield b"data: [DONE]\n\n"


def _finish(said: Said) -> str:
    if said.capped:
        return "length"
    return "tool_calls" if said.reply.tool_calls else "stop"


def _function(call: ToolCall) -> Body:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _json(call)}}


def _json(call: ToolCall) -> str:
    return json.dumps(dict(call.arguments), separators=(",", ":"))


def response(said: Said) -> Body:
    """Return a response of the Responses API."""
    ending: Body = {"status": "completed", "incomplete_details": None}
    if said.capped:
        ending = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    usage = said.responses_usage() if said.tells else None
    return {**_response(said), **ending, "output": _output(said), "usage": usage}


def _response(said: Said) -> Body:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": _CREATED,
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
            "arguments": _json(call),
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


def message(said: Said) -> Body:
    """Return a message of the Messages API."""
    whole = {**_message(said), "content": _blocks(said), "stop_reason": _stop_reason(said)}
    if said.tells:
        return {**whole, "usage": said.anthropic_usage()}
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
        "usage": said.anthropic_usage(output=1),
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


def embeddings(said: Said) -> Body:
    """Return one small vector for each input."""
    asked: Any = said.request.get("input", "")
    inputs = cast("list[Any]", asked) if isinstance(asked, list) else [asked]
    vector = [0.25, -0.5, 0.75]
    packed: Any = vector
    if said.request.get("encoding_format") == "base64":
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    data = [{"object": "embedding", "index": index, "embedding": packed} for index in range(len(inputs))]
    usage = {"prompt_tokens": said.reply.input_tokens, "total_tokens": said.reply.input_tokens}
    body: Body = {"object": "list", "model": said.model, "data": data}
    return {**body, "usage": usage} if said.tells else body


def count_tokens(said: Said) -> Body:
    """Return how many tokens the input has."""
    return {"input_tokens": said.reply.input_tokens}


def openai_error(status: int, text: str) -> Body:
    """Return an error as OpenAI's API says it."""
    kind = (
        "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    )
    return {"error": {"message": text, "type": kind, "param": None, "code": None}}


def anthropic_error(status: int, text: str) -> Body:
    """Return an error as Anthropic's API says it."""
    kind = {429: "rate_limit_error", 529: "overloaded_error"}.get(status, "invalid_request_error")
    return {"type": "error", "error": {"type": kind if status < 500 else "api_error", "message": text}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One path of a provider's API: its body, its stream where it has one, its errors."""

    whole: Callable[[Said], Body]
    stream: Callable[[Said], Iterator[bytes]] | None = None
    error: Callable[[int, str], Body] = openai_error


SURFACES = {
    "/v1/chat/completions": Surface(whole=chat, stream=chat_stream),
    "/v1/responses": Surface(whole=response, stream=response_stream),
    "/v1/embeddings": Surface(whole=embeddings),
    "/v1/messages": Surface(whole=message, stream=message_stream, error=anthropic_error),
    "/v1/messages/count_tokens": Surface(whole=count_tokens, error=anthropic_error),
}
