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
from interlock.upstream.llm.server_tools import server_tools, tools_of
from interlock.upstream.llm.surface import Operation, Surface

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_options: Callable[[bytes | Raw], dict[str, Raw] | None] = msgspec.json.Decoder(dict[str, Raw] | None).decode
_LONGEST_NAME = 256
_MOST_ANSWERS = 1_000
_NULL = Raw(b"null")
_REMOTE = frozenset({"previous_response_id", "conversation", "prompt"})
"""Members that bring what lies at the provider into the context."""

_UNCOUNTED = {
    "background": "What is written in the background is fetched past Interlock, and nobody counts it.",
    "models": "The call is decided, and priced, for one model: name it in `model`.",
    "fallbacks": "The call is decided, and priced, for one model: fallbacks stand in the Provider document.",
}
"""Members that let a provider do what is neither counted nor bounded here, and why they are refused."""

_SILENT = frozenset({b"null", b"false", b"[]"})


class Malformed(ValueError):
    """The body is not one that a provider would understand; the message says what and where."""


class _Item(msgspec.Struct, gc=False):
    """As much of an item of a history as says whether it only names one that lies at the provider."""

    type: str | None = None
    role: str | None = None
    id: str | None = None

    @property
    def refers(self) -> bool:
        """Whether it is a reference: it has an id, and neither a role nor another type."""
        return self.type == "item_reference" or (self.id is not None and not self.type and not self.role)


_items: Callable[[bytes | Raw], list[_Item] | str | None] = msgspec.json.Decoder(
    list[_Item] | str | None
).decode
_Field = Callable[[bytes | Raw], Any]
_FIELDS: Mapping[str, _Field] = {
    "model": msgspec.json.Decoder(str).decode,
    "stream": msgspec.json.Decoder(bool | None).decode,
    "max_tokens": msgspec.json.Decoder(int | None).decode,
    "max_completion_tokens": msgspec.json.Decoder(int | None).decode,
    "max_output_tokens": msgspec.json.Decoder(int | None).decode,
    "n": msgspec.json.Decoder(int | None).decode,
    "best_of": msgspec.json.Decoder(int | None).decode,
    "service_tier": msgspec.json.Decoder(str | None).decode,
    "speed": msgspec.json.Decoder(str | None).decode,
    "stream_options": _options,
    "tools": tools_of,
}
_MEANT = frozenset(_FIELDS) | {
    *_REMOTE,
    *_UNCOUNTED,
    "web_search_options",
    "messages",
    "input",
    "system",
    "instructions",
    "metadata",
    "reasoning",
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
    for name in _UNCOUNTED.keys() & members.keys():
        if bytes(members[name]) not in _SILENT:
            raise Malformed(f"`{name}` cannot be used here. {_UNCOUNTED[name]}")
    caps = [cap for name in surface.caps if (cap := said.get(name)) is not None]
    answers = [count for name in ("n", "best_of") if (count := said.get(name)) is not None]
    least = (
        0 if surface.operation is Operation.MESSAGE else 1
    )  # 0 fills a cache there, and is no cap elsewhere
    if (caps and min(caps) < least) or (answers and min(answers) < 1):
        raise Malformed("A number of tokens or answers is below its least.")
    if answers and max(answers) > _MOST_ANSWERS:
        raise Malformed(f"No more than {_MOST_ANSWERS} answers can be asked for at once.")
    options: dict[str, Raw] = said.get("stream_options") or {}
    return ModelBody(
        members=members,
        model=model,
        size=measure(raw),
        remote=_remote(members, surface),
        stream=bool(said.get("stream")),
        output_cap=max(caps, default=None),
        answers=max(answers, default=1),
        service_tier=tier_of(said),
        wants_usage=bytes(options.get("include_usage", b"")) == b"true",
        server_tools=server_tools(said.get("tools") or [], members),
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


def _remote(members: Mapping[str, Raw], surface: Surface) -> bool:
    """Whether a part of the context lies at the provider, so that its size is not known."""
    if not _REMOTE.isdisjoint(members) and any(members.get(name, _NULL) != _NULL for name in _REMOTE):
        return True
    history = members.get("input", _NULL)
    if surface.operation is not Operation.RESPONSE or b'"id"' not in bytes(history):
        return False
    try:
        items = _items(history)
    except msgspec.DecodeError:
        return True  # not as we know it
    return isinstance(items, list) and any(item.refers for item in items)
