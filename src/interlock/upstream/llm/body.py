"""The body of a model request: what the gateway must know of it, and the few members it may change.

Only the top level is decoded, once; every member stays the bytes that the caller wrote, so what is not known
here survives. A body is written anew from these members, so that a member given twice cannot mean one thing
here and another at the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from interlock.core.context import Size, measure
from interlock.core.model import Json, value
from interlock.core.usage import tier_of
from interlock.upstream.llm.surface import Operation, Surface

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_options: Callable[[bytes | Raw], dict[str, Raw] | None] = msgspec.json.Decoder(dict[str, Raw] | None).decode
_LONGEST_NAME = 256
_NULL = Raw(b"null")
_REMOTE = frozenset({"previous_response_id", "conversation"})
_USES = 10
"""How often a tool of the provider is taken to run in one call where the request sets no limit."""


class Malformed(ValueError):
    """The body is not one that a provider would understand; the message says what and where."""


class _ServerTool(msgspec.Struct, gc=False):
    """As much of a declared tool as says whether the provider runs it, and how often."""

    type: str = ""
    max_uses: int | None = None


_Field = Callable[[bytes | Raw], Any]
_FIELDS: Mapping[str, _Field] = {
    "model": msgspec.json.Decoder(str).decode,
    "stream": msgspec.json.Decoder(bool | None).decode,
    "max_tokens": msgspec.json.Decoder(int | None).decode,
    "max_completion_tokens": msgspec.json.Decoder(int | None).decode,
    "max_output_tokens": msgspec.json.Decoder(int | None).decode,
    "n": msgspec.json.Decoder(int | None).decode,
    "service_tier": msgspec.json.Decoder(str | None).decode,
    "speed": msgspec.json.Decoder(str | None).decode,
    "stream_options": _options,
    "tools": msgspec.json.Decoder(list[_ServerTool] | None).decode,
}
_MEANT = frozenset(_FIELDS) | {
    *_REMOTE,
    "messages",
    "input",
    "system",
    "instructions",
    "metadata",
    "reasoning",
}
_RUN_BY_PROVIDER = {
    "web_search": "web_search",
    "file_search": "file_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
}


@value
class ModelBody:
    """A request body by its members, and what was read of it. `output_cap` is None where none is set.

    `remote` says that the history is at the provider; `server_tools` are the most calls of tools it runs.
    """

    members: Mapping[str, Raw]
    model: str
    size: Size
    remote: bool = False
    stream: bool = False
    output_cap: int | None = None
    answers: int = 1
    service_tier: str = ""
    wants_usage: bool = False
    server_tools: Mapping[str, int]


def read(raw: bytes, surface: Surface) -> ModelBody:
    """Read a request body. Raises `Malformed`."""
    try:
        members = _members(raw)
        _check_spelling(members)
        said = {name: _FIELDS[name](member) for name, member in members.items() if name in _FIELDS}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The body is not what this path takes: {error}.") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    model = said.get("model")
    if not model or len(model) > _LONGEST_NAME:
        raise Malformed("The body must name a model.")
    caps = [cap for name in surface.caps if (cap := said.get(name)) is not None]
    answers: int | None = said.get("n")
    if (caps and min(caps) < 0) or (answers is not None and answers < 1):
        raise Malformed("A number of tokens or answers is below its least.")
    options: dict[str, Raw] = said.get("stream_options") or {}
    return ModelBody(
        members=members,
        model=model,
        size=measure(raw),
        remote=not _REMOTE.isdisjoint(members) and any(members.get(name, _NULL) != _NULL for name in _REMOTE),
        stream=bool(said.get("stream")),
        output_cap=max(caps, default=None),
        answers=1 if answers is None else answers,
        service_tier=tier_of(said),
        wants_usage=bytes(options.get("include_usage", b"")) == b"true",
        server_tools=_server_tools(said.get("tools") or []),
    )


def write(
    body: ModelBody,
    surface: Surface,
    *,
    model: str,
    output_cap: int | None = None,
    cap_field: str = "",
    ask_usage: bool = False,
) -> bytes:
    """Return the body for a provider: for `model`, and where the caller set no cap, with `output_cap` in
    `cap_field`. `ask_usage` asks for the usage of a stream.
    """
    members: dict[str, Any] = dict(body.members)
    if model != body.model:
        members["model"] = model
    if output_cap is not None and body.output_cap is None:
        members[cap_field] = output_cap
    if ask_usage and surface.operation is Operation.CHAT and body.stream and not body.wants_usage:
        options: dict[str, Any] = {**(_options(members.get("stream_options", _NULL)) or {})}
        members["stream_options"] = options | {"include_usage": True}
    return _encode(members)


def encoded(body: ModelBody) -> bytes:
    """Return a body as bytes."""
    return _encode(dict(body.members))


def decoded(body: ModelBody) -> dict[str, Json]:
    """Return a body as plain values, to be changed and given to `rewritten`."""
    return msgspec.json.decode(encoded(body))


def rewritten(changed: Mapping[str, Json], surface: Surface) -> ModelBody:
    """Return a body that was changed as plain values. Raises `Malformed`."""
    return read(_encode(changed), surface)


def _check_spelling(members: Mapping[str, Raw]) -> None:
    """Refuse a member that some providers read as another, because to them upper and lower case are one.

    What is decided here would not be what happens there. Raises `Malformed`.
    """
    for name in members:
        if (not name.islower() or not name.isascii()) and name.casefold() in _MEANT:
            raise Malformed(f"The member {name[:40]!r} must be spelt {name.casefold()!r}.")


def _server_tools(tools: list[_ServerTool]) -> dict[str, int]:
    found: dict[str, int] = {}
    for tool in tools:
        for prefix, name in _RUN_BY_PROVIDER.items():
            if tool.type.startswith(prefix):
                found[name] = found.get(name, 0) + (_USES if tool.max_uses is None else tool.max_uses)
                break
    return found
