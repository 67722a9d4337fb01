"""Counts tokens off the event loop, for whoever has an estimate too close to a limit to be trusted.

The encodings come with the `tokens` extra as files, so counting works with no network. Without the extra, or
for a model whose encoding nobody publishes, the bytes are the answer, which no count can pass; the
result says which it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

import msgspec

from interlock.core.context import MEDIA_TOKENS, measure
from interlock.core.model import Json, value

_O200K = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt", "o1", "o3", "o4", "gpt-oss")
_CL100K = ("gpt-4", "gpt-3.5", "text-embedding-3", "text-embedding-ada")
_PIECE = 4_096
"""Characters counted at once: the library holds the interpreter's lock while it counts."""

_MEDIA_MEMBERS = frozenset({"data", "file_data", "image_url", "url"})


class Counting(StrEnum):
    """Where a number of tokens comes from."""

    COUNTED = "counted"
    BYTES = "bytes"


@value
class Counted:
    """A number of tokens, and how far it can be trusted: `bytes` is a bound, not a count."""

    tokens: int
    how: Counting


class Encoding(Protocol):
    """As much of an encoding as is needed."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        ...


class Tokenizer:
    """Counts in one thread of its own. Close it when the process ends."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="interlock-tokenizer")
        self._encodings: dict[str, Encoding] = {}

    async def count(self, raw: bytes, model: str) -> Counted:
        """Return how many tokens a request body comes to for `model`."""
        name = encoding_name(model)
        if name is None or find_spec("bpe_openai") is None:
            return bound(raw)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._count, raw, name)

    def close(self) -> None:
        """End the thread; what is not counted yet is not counted."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _count(self, raw: bytes, name: str) -> Counted:
        try:
            body = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return bound(raw)
        encoding = self._encoding(name)
        text = sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(body))
        return Counted(tokens=text + measure(raw).media * MEDIA_TOKENS, how=Counting.COUNTED)

    def _encoding(self, name: str) -> Encoding:
        if name not in self._encodings:
            library = cast(Any, import_module("bpe_openai"))
            self._encodings[name] = library.get_encoding(name)
        return self._encodings[name]


def bound(raw: bytes) -> Counted:
    """Return the bytes of a body: no encoding makes more tokens of it."""
    return Counted(tokens=len(raw), how=Counting.BYTES)


def encoding_name(model: str) -> str | None:
    """Return the encoding of a model; None where it is not published."""
    name = model.rpartition("/")[2].lower()
    if name.startswith(_O200K):
        return "o200k_base"
    return "cl100k_base" if name.startswith(_CL100K) else None


def _pieces(value: Json) -> Iterator[str]:
    """Yield what a model reads, in pieces. Names of members stand for what a provider puts around texts."""
    for text in _texts(value):
        for start in range(0, len(text), _PIECE):
            yield text[start : start + _PIECE]


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in cast(list[Json], value):
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in cast(dict[str, Json], value).items():
            yield name
            if not (name in _MEDIA_MEMBERS and isinstance(each, str) and len(each) > _PIECE):
                yield from _texts(each)
