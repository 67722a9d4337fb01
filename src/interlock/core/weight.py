"""How heavy a piece of a request is: about its bytes, with media counted as what a model makes of them.

An image of a megabyte costs a model some thousand tokens, not a million: its bytes say nothing.
"""

from __future__ import annotations

from typing import cast

from interlock.core.model import Json

MEDIA = 4_096
_MEDIA_MEMBERS = frozenset({"data", "file_data", "image_url", "url"})
_SCALAR = 5


def weigh(value: Json) -> int:
    """Return the weight of a decoded JSON value, in bytes of text."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        members = cast(dict[str, Json], value)
        return 2 + sum(len(name) + 4 + _member(name, each) for name, each in members.items())
    if isinstance(value, list):
        return 2 + sum(weigh(each) + 1 for each in cast(list[Json], value))
    return _SCALAR


def _member(name: str, value: Json) -> int:
    if name in _MEDIA_MEMBERS and isinstance(value, str) and len(value) > MEDIA:
        return MEDIA
    return weigh(value)


def _text(text: str) -> int:
    return 2 + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
