"""How a large tool result is made smaller before it enters a model's context (B7).

Text keeps its head and tail. JSON keeps its shape: every member stays, unless they are very many,
long lists lose their middle and long texts theirs, so that whoever reads the result still can. Of very many
texts the middle ones go. What is no text (images, sound) is left alone. The
first rule of the workflow that names the tool counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from interlock.core.document.spending import Compression
from interlock.core.model import Json

ANY = "*"
_LEAST = 48
"""Bytes below which a text is not worth cutting: what says that it was cut takes about as many."""

_MANY = 1_000
"""Members of an object beyond which it is a list by another name."""

_SMALLEST = 4
"""Bytes of the smallest member beside its name."""

_DEEPEST = 64
_STARTS = ("{", "[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """A result after its rule: `before` and `after` are the bytes that enter the context."""

    payload: dict[str, Json]
    before: int
    after: int


def rule_for(rules: Iterable[Compression], tool: str) -> Compression | None:
    """Return the first rule that is about `tool`."""
    return next((rule for rule in rules if rule.tool in (tool, ANY)), None)


def shorten(payload: Mapping[str, Json], rule: Compression) -> Shortened | None:
    """Return an MCP result shortened to about `rule.to` bytes; None where it is no larger than `rule.above`.

    Text and structured content are two forms of one answer, of which a client shows one: each is measured
    and shortened by itself.
    """
    before = size_of(payload)
    if before <= rule.above:
        return None
    blocks = _fewer_texts(cast(list[Json], payload.get("content") or []), rule.to // _LEAST)
    said = [index for index, block in enumerate(blocks) if _is_text(block)]
    shares = _shares([_size(blocks[index]["text"]) for index in said], rule.to)
    given = dict(zip(said, shares, strict=True))
    short: dict[str, Json] = {
        **payload,
        "content": [
            {**block, "text": _shorter(block["text"], given[index])} if index in given else block
            for index, block in enumerate(blocks)
        ],
    }
    if "structuredContent" in payload:
        short["structuredContent"] = _fit(payload["structuredContent"], rule.to, _DEEPEST)
    return Shortened(payload=short, before=before, after=size_of(short))


def worded(short: Shortened, words: str) -> Shortened:
    """Return a shortened result that says `words` instead of its texts; structured content stays as it is."""
    blocks = cast(list[Json], short.payload.get("content") or [])
    others = [block for block in blocks if not _is_text(block)]
    payload = {**short.payload, "content": [{"type": "text", "text": words}, *others]}
    return Shortened(payload=payload, before=short.before, after=size_of(payload))


def size_of(payload: Mapping[str, Json]) -> int:
    """Return the bytes of a result's text, or of its structured content, whichever is more."""
    return max(_size(text_of(payload)), _weight(payload.get("structuredContent")))


def text_of(payload: Mapping[str, Json]) -> str:
    """Return all that a result says, block after block; its structured content where it says nothing."""
    blocks = cast(list[Json], payload.get("content") or [])
    said = "\n".join(block["text"] for block in blocks if _is_text(block))
    structured = payload.get("structuredContent")
    return said or ("" if structured is None else _dumped(structured))


def clipped(text: str, budget: int) -> str:
    """Keep head and tail of a text and say how much is missing between them."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= max(budget, _LEAST):
        return text
    kept = max(budget - _LEAST, 0)
    head, tail = raw[: kept - kept // 3], raw[len(raw) - kept // 3 :]
    missing = len(raw) - len(head) - len(tail)
    return f"{head.decode('utf-8', 'ignore')}[… {missing} bytes left out …]{tail.decode('utf-8', 'ignore')}"


def _is_text(block: Json) -> bool:
    """Whether a block is a text; anything else that a server sends is left as it is."""
    if not isinstance(block, dict):
        return False
    members = cast(dict[str, Json], block)
    return members.get("type") == "text" and isinstance(members.get("text"), str)


def _shorter(text: str, budget: int) -> str:
    """Shorten a text; one that is JSON stays JSON."""
    if _size(text) <= budget:
        return text
    if text.lstrip().startswith(_STARTS):
        try:
            return _dumped(_fit(json.loads(text), budget, _DEEPEST))
        except (ValueError, RecursionError):
            pass  # it only looked like JSON
    return clipped(text, budget)


def _fit(value: Json, budget: int, room: int) -> Json:
    """Return `value` in about `budget` bytes and in its own shape; numbers and what is too deep stay."""
    if not room or _weight(value) <= budget:
        return value
    if isinstance(value, str):
        return clipped(value, budget)
    if isinstance(value, list):
        return _fewer(cast(list[Json], value), budget, room - 1)
    if isinstance(value, dict):
        members = _named(cast(dict[str, Json], value), budget)
        names = sum(_weight(name) + 2 for name in members)
        shares = _shares([_weight(each) for each in members.values()], budget - names)
        return {
            name: _fit(each, share, room - 1)
            for (name, each), share in zip(members.items(), shares, strict=True)
        }
    return value


def _named(members: dict[str, Json], budget: int) -> dict[str, Json]:
    """Return all members but of very many: then the first whose names leave room for their values."""
    if len(members) <= _MANY:
        return members
    kept: dict[str, Json] = {}
    for name, value in members.items():
        budget -= _weight(name) + _SMALLEST
        if budget < 0:
            break
        kept[name] = value
    return kept


def _fewer_texts(blocks: list[Json], most: int) -> list[Json]:
    """Return blocks with about `most` texts: the first and the last, and how many are missing between."""
    said = [index for index, block in enumerate(blocks) if _is_text(block)]
    if len(said) <= max(most, 2):
        return blocks
    tail = max(most // 3, 1)
    first, gone = said[max(most - tail, 1)], frozenset(said[max(most - tail, 1) : -tail])
    word: Json = {"type": "text", "text": f"[… {len(gone)} texts left out …]"}
    return [
        word if index == first else block
        for index, block in enumerate(blocks)
        if index == first or index not in gone
    ]


def _fewer(items: list[Json], budget: int, room: int) -> list[Json]:
    """Keep the items that fit: two thirds of the room from the head of the list, the rest from its tail."""
    head = _fitting(items, budget * 2 // 3)
    left = budget - sum(_weight(item) + 1 for item in head)
    tail = _fitting(items[len(head) :][::-1], left)[::-1]
    return [*head, *tail] or [_fit(item, budget, room) for item in items[:1]]


def _fitting(items: Iterable[Json], budget: int) -> list[Json]:
    kept: list[Json] = []
    for item in items:
        budget -= _weight(item) + 1
        if budget < 0:
            break
        kept.append(item)
    return kept


def _shares(sizes: Sequence[int], budget: int) -> list[int]:
    """Divide a budget: what is small gets what it needs, the large ones share the rest alike."""
    shares = dict.fromkeys(range(len(sizes)), 0)
    left = max(budget, 0)
    for rank, index in enumerate(sorted(shares, key=lambda index: sizes[index])):
        shares[index] = min(sizes[index], left // (len(sizes) - rank))
        left -= shares[index]
    return list(shares.values())


def _dumped(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _weight(value: Json) -> int:
    return _size(_dumped(value))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
