"""Values of documents in words: what a change is from and to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

_LONGEST = 1_000


def said(value: Any) -> str:
    """Return a value of a document as a person reads it who has to agree; a very long one is cut off."""
    several = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else ()
    words = ", ".join(map(_in_words, several)) or _in_words(value)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} … (cut off)"


def _in_words(value: Any) -> str:
    if value is None or value == () or value == {}:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_in_words, cast('list[Any]', value)))}]"
    members = _members(value)
    if members is None:
        return str(value)
    return f"{{{', '.join(f'{name}: {_in_words(each)}' for name, each in members.items())}}}"


def _members(value: Any) -> dict[str, Any] | None:
    """Return what a mapping or a record is made of, without what is left as it is by default."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if not hasattr(value, "__dataclass_fields__"):
        return None
    set_ = {each.name: (getattr(value, each.name), each.default) for each in fields(value)}
    return {name: given for name, (given, default) in set_.items() if given != default}
