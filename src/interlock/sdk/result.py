"""What a governed call gave: its value and what is on record of it, or the error that says what became of it.

Whether a call is provisional belongs to it: its value alone looks final (E1, E4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from interlock import errors
from interlock.sdk.function import Ended
from interlock.sdk.session import WAITING

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """How a call ended: its `value`, and the `action` that is on record ("" for a read that has none).

    `settles_by` says until when a person can confirm a provisional call, and is None where it is final: after
    that it is taken back. `recorded` says that the call ran before, and `revised` with which arguments where
    a person changed them.
    """

    value: T
    action: str
    settles_by: datetime | None = None
    recorded: bool = False
    revised: Mapping[str, Any] | None = None

    @property
    def provisional(self) -> bool:
        """Whether it is taken back unless a person confirms it."""
        return self.settles_by is not None


def outcome(answer: Mapping[str, Any], ended: Ended | None, *, run: str) -> Outcome[Any]:
    """Return what a call gave, or raise what became of it: the function's own value or error where it ran."""
    state, action = str(answer.get("state")), str(answer.get("action") or "")
    message = str(answer.get("message") or "")
    match state:
        case "succeeded" | "pending_settlement" | "settled":
            return _succeeded(answer, ended)
        case "failed":
            if ended is not None and ended.error is not None:
                raise ended.error
            raise errors.ToolFailed(message or _text(answer.get("result")), action=action, run=run)
        case "denied":
            raise errors.Denied(message, action=action, run=run, reasons=tuple(answer.get("reasons", ())))
        case "in_doubt":
            cause = None if ended is None else ended.error
            hint = "interlock actions resolve"
            raise errors.InDoubt(message, action=action, run=run, hint=hint) from cause
        case "broken":
            raise errors.UpstreamUnavailable(message)
        case _ if state in WAITING:
            approval = str(answer.get("approval") or "")
            raise errors.Pending(
                message, action=action, run=run, approval=approval,
                hint="The same call with the same key in this run collects it.",
            )  # fmt: skip
        case _:
            said = message or f"The call is {state}."
            raise errors.TurnedDown(said, action=action, run=run, state=state)


def _succeeded(answer: Mapping[str, Any], ended: Ended | None) -> Outcome[Any]:
    settles_by = answer.get("settles_by")
    return Outcome(
        value=ended.value if ended is not None else _value(answer["result"]),
        action=str(answer.get("action") or ""),
        settles_by=datetime.fromtimestamp(settles_by / 1_000_000, UTC) if settles_by else None,
        recorded=bool(answer.get("recorded")),
        revised=answer.get("revised"),
    )


def _value(payload: Mapping[str, Any]) -> Any:
    """Return what a tool answered: a function's value as JSON, and any other tool's words."""
    said = _text(payload)
    try:
        return json.loads(said)
    except ValueError:
        return said


def _text(payload: Mapping[str, Any] | None) -> str:
    content: list[dict[str, Any]] = [] if payload is None else payload.get("content", [])
    return "\n".join(str(each.get("text", "")) for each in content)
