"""Answers in the words of MCP. What the tool server said passes through; all else says why and what next.

A refusal, a rejection and a failure are results with `isError`, so that the model reads them and no
client takes them for a fault of the protocol. A call that waits is an ordinary result.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from mcp.shared.exceptions import MCPError

from interlock.core.answer import (
    Answer,
    Broken,
    Completed,
    InDoubt,
    InputAsked,
    Refused,
    TurnedDown,
    Waiting,
)
from interlock.core.model import SECOND, Decision, Gate, Json
from interlock.gateway.mcp.names import RESUME
from interlock.upstream.mcp.ending import ERROR_META

_NEXT = {
    Gate.TOKEN: "Get a new run token, or ask the owner of the agent.",
    Gate.ENVIRONMENT: "Call the gateway of the environment the token was issued for.",
    Gate.SCOPE: "Use a tool that is listed for this run. A wider scope is a reviewed change of the manifest.",
    Gate.SCHEMA: "Correct the arguments to the tool's input schema and call again.",
    Gate.CONSTRAINTS: "Stay within the limits above, or ask a person to widen the workflow's scope.",
    Gate.BREAKER: "Do not retry. A person must look at this workflow first.",
    Gate.BUDGET: "Do not retry. A person must raise the budget.",
    Gate.TAINT: "Do not retry with the same data. Ask a person.",
    Gate.RULES: "Do not retry unchanged. Choose another way, or ask a person.",
    Gate.APPROVAL: "Ask a person.",
}
_NEXT_OF = {
    "not_registered": "It can be called once its server offers it. Go on with other work, or ask a person.",
    "tool_drifted": "Do not retry. Go on with other work, or ask a person to review the tool.",
}
_TURNED_DOWN = {
    "rejected": "A person rejected this call. It was not executed. Do not retry it unchanged.",
    "expired": "Nobody decided in time: the approval expired. This is a timeout, not a rejection. The "
    "call was not executed. Ask a person, then call again.",
    "cancelled": "The call was cancelled before it was executed.",
    "superseded": "Another request took the place of this one. It was not executed.",
    "voided": "It was executed provisionally and has been withdrawn before it was settled.",
    "compensating": "It was executed and is being undone.",
    "compensated": "It was executed and has been undone since. Do not rely on its result.",
    "compensation_failed": "It was executed; undoing it failed. A person looks after it.",
}


def result_of(answer: Answer) -> dict[str, Json]:
    """Return the MCP result for an answer. Raises `MCPError` where the tool server's own error passes on."""
    match answer:
        case Completed():
            return _completed(answer)
        case Refused():
            return denied(answer.decision, action=answer.action)
        case Waiting():
            return _waiting(answer)
        case TurnedDown():
            text = _TURNED_DOWN.get(answer.state, "The call was not executed.")
            if answer.reason:
                text += f" Reason given: {answer.reason}"
            return _error(
                text,
                status=answer.state,
                approval_id=answer.approval,
                reason=answer.reason,
                action=answer.action,
            )
        case InDoubt():
            text = (
                f"The outcome of this call is not known. {answer.message} Do not call it again: it may have "
                "taken effect. A person resolves it."
            )
            return _error(text, status="in_doubt", action=answer.action)
        case Broken():
            return _error(f"The call failed. {answer.message}", status="failed", action=answer.action)
        case InputAsked():
            return dict(answer.payload)


def denied(decision: Decision, *, action: str | None = None, server: str = "") -> dict[str, Json]:
    """Return a refusal: which gate and rule, what would have been allowed, and what to do next.

    `server` says what is wrong with the tool server, where that is why.
    """
    reason = decision.reason
    lines = [f"Denied by Interlock ({reason.gate.value}{_rule(reason.rule)}): {reason.message}"]
    lines += [f"- {miss.field}: {miss.expected}; this was {miss.actual}" for miss in reason.near_misses]
    if server:
        lines.append(f"Its tool server cannot be used now: {server}")
    lines.append(f"Nothing was sent. {_NEXT_OF.get(reason.code) or _NEXT[reason.gate]}")
    return _error(
        "\n".join(lines),
        status="denied",
        gate=reason.gate.value,
        code=reason.code,
        rule=reason.rule,
        reason=reason.message,
        near_misses=[
            {"field": miss.field, "expected": miss.expected, "actual": miss.actual}
            for miss in reason.near_misses
        ],
        bundle=decision.bundle,
        action=action,
    )


def iso(at: int) -> str:
    """Return a moment in microseconds as ISO 8601 text."""
    return datetime.fromtimestamp(at / SECOND, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _completed(answer: Completed) -> dict[str, Json]:
    payload = dict(answer.payload)
    meta = cast("dict[str, Any]", payload.get("_meta") or {})
    error = meta.get(ERROR_META)
    if isinstance(error, dict):
        said = cast("dict[str, Any]", error)
        raise MCPError(code=said["code"], message=said["message"], data=said.get("data"))
    if answer.recorded:
        payload["_meta"] = {**meta, "interlock/recorded": True, "interlock/action": answer.action}
    if answer.revised is not None:
        note = "A person changed the arguments before approving. The call ran with those in _meta."
        payload["content"] = [*(payload.get("content") or []), {"type": "text", "text": note}]
        payload["_meta"] = {
            **(payload.get("_meta") or {}),
            "interlock/revised_arguments": dict(answer.revised),
        }
    if answer.settles_by:
        until = iso(answer.settles_by)
        note = f"This is provisional: unless a person confirms it, it is taken back at {until}."
        payload["content"] = [*(payload.get("content") or []), {"type": "text", "text": note}]
        payload["_meta"] = {**(payload.get("_meta") or {}), "interlock/settles_by": iso(answer.settles_by)}
    return payload


def _waiting(answer: Waiting) -> dict[str, Json]:
    if answer.state == "scheduled":
        what = f"approved to run at {iso(answer.due_at)}, cancellable until then"
    elif answer.state == "waiting_approval":
        what = "waiting for a person"
    elif answer.state == "awaiting_input":
        what = "its tool server asked something, which waits for a person to answer"
    elif answer.state == "parked":
        what = "approved, and parked until a person signs off the breaker that stops it"
    else:
        what = "being executed"
    done = "over" if answer.state == "awaiting_input" else "executed"
    name = answer.approval or answer.action  # a call that waits for its time alone has no approval
    text = (
        f"Not {done} yet: {what}. This is not a rejection. Do not retry with other arguments. "
        f"Go on with other work; later call {RESUME} with approval_id {name!r}, or make the "
        "identical call again, to collect the outcome."
    )
    pending: dict[str, Json] = {
        "status": "pending_approval",
        "approval_id": name,
        "action": answer.action,
        "state": answer.state,
    }
    if answer.ends_at:
        pending["expires_at"] = iso(answer.ends_at)
    if answer.due_at:
        pending["due_at"] = iso(answer.due_at)
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": pending,
        "isError": False,
        "_meta": {"interlock/status": "pending_approval", "interlock/approval": name},
    }


def _error(text: str, **structured: Json) -> dict[str, Json]:
    said = {name: value for name, value in structured.items() if value not in (None, "")}
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": said,
        "isError": True,
        "_meta": {"interlock/status": said["status"]},
    }


def _rule(rule: str | None) -> str:
    return f", rule {rule}" if rule else ""
