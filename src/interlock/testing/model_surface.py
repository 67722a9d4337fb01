"""The paths of a provider's API, and the shape that each gives to a scripted reply."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from interlock.testing.model_chat import chat, chat_stream
from interlock.testing.model_message import message, message_stream
from interlock.testing.model_reply import Body, Said
from interlock.testing.model_response import response, response_stream


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
