"""The models that a caller may name, in either vendor's form: its workflow's scope, nothing more (A3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from interlock.core.model import WireFamily

_encode = msgspec.json.Encoder().encode
_LONG_AGO = "1970-01-01T00:00:00Z"


def listed(names: Sequence[str], family: WireFamily, only: str = "") -> bytes | None:
    """Return the list, or the model named `only`; None where that is not in it."""
    form = _anthropic if family is WireFamily.ANTHROPIC else _openai
    if only:
        return _encode(form(only)) if only in names else None
    data = [form(name) for name in names]
    if family is WireFamily.OPENAI:
        return _encode({"object": "list", "data": data})
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return _encode({"data": data, "has_more": False, **ends})


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "interlock"}


def _anthropic(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": _LONG_AGO}
