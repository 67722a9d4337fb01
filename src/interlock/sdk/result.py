"""What a governed call gave: its value, or the error that says what became of it (E1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from interlock import errors
from interlock.sdk.function import Ended
from interlock.sdk.session import WAITING


def result(answer: Mapping[str, Any], ended: Ended | None, *, run: str) -> Any:
    """Return what a call gave, or raise what became of it: the function's own value or error where it ran."""
    state, action = str(answer.get("state")), str(answer.get("action") or "")
    message = str(answer.get("message") or "")
    match state:
        case "succeeded" | "pending_settlement" | "settled":
            return ended.value if ended is not None else _value(answer["result"])
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
