"""What is refused, in the caller's own wire format, with a status that its SDK treats rightly.

The SDKs of both vendors repeat a call on 408, 409, 429 and every 5xx, unless `x-should-retry` says otherwise.
So what would be refused again is 4xx and says `x-should-retry: false`; what may pass later says when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from interlock.core.model import Json, WireFamily
from interlock.model_call.answer import COME_AGAIN, Refusal, Why
from interlock.upstream.llm.transport import Headers


class Fault(StrEnum):
    """What was wrong with a request before any decision."""

    NO_TOKEN = "no_token"
    NO_PATH = "no_path"
    METHOD = "method"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    MEDIA = "media"
    MALFORMED = "malformed"
    BEHIND = "behind"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class _Form:
    """One kind of refusal: its status, and its type in the two wire formats."""

    status: int
    openai: str
    anthropic: str


_INVALID = "invalid_request_error"
_FORMS: Mapping[Why | Fault, _Form] = {
    Fault.NO_TOKEN: _Form(401, "invalid_request_error", "authentication_error"),
    Fault.NO_PATH: _Form(404, _INVALID, "not_found_error"),
    Fault.METHOD: _Form(405, _INVALID, _INVALID),
    Fault.TOO_SLOW: _Form(408, _INVALID, "timeout_error"),
    Fault.TOO_LARGE: _Form(413, _INVALID, "request_too_large"),
    Fault.MEDIA: _Form(415, _INVALID, _INVALID),
    Fault.MALFORMED: _Form(400, _INVALID, _INVALID),
    Fault.BEHIND: _Form(503, "server_error", "api_error"),
    Fault.INTERNAL: _Form(500, "server_error", "api_error"),
    Why.FORBIDDEN: _Form(403, "permission_error", "permission_error"),
    Why.UNKNOWN_MODEL: _Form(404, _INVALID, "not_found_error"),
    Why.HALTED: _Form(402, "insufficient_quota", "billing_error"),
    Why.BUSY: _Form(429, "rate_limit_error", "rate_limit_error"),
    Why.UNRECORDED: _Form(503, "server_error", "api_error"),
    Why.UNREACHABLE: _Form(502, "server_error", "api_error"),
    Why.TIMED_OUT: _Form(504, "server_error", "timeout_error"),
}
_MAY_PASS = frozenset({408, 429})
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refusal as it is sent."""

    status: int
    headers: Headers
    body: bytes


def refused(family: WireFamily, refusal: Refusal, *, base: str) -> Refused:
    """Return the form of an engine's refusal, with a link below `base` to where a person decides about it."""
    form, place, details = _FORMS[refusal.why], refusal.decided_at, dict(refusal.details)
    headers = {"retry-after": str(refusal.retry_after)} if refusal.retry_after is not None else {}
    if place is not None:
        details |= {"link": base + place.path, "command": place.command}
        headers["x-interlock-link"] = base + place.path
    told = {"interlock": details} if details else {}
    return _formed(family, form, refusal.code, refusal.message, headers, told)


def faulty(family: WireFamily, fault: Fault, message: str) -> Refused:
    """Return the form of what is wrong with a request itself."""
    code = "invalid_api_key" if fault is Fault.NO_TOKEN else fault.value
    again = {"retry-after": str(COME_AGAIN)} if fault is Fault.BEHIND else {}
    return _formed(family, _FORMS[fault], code, message, again, {})


def stream_error(family: WireFamily, message: str) -> bytes:
    """Return the event that ends a stream which its provider broke off."""
    body = _encode(_body(family, "api_error" if family is WireFamily.ANTHROPIC else "server_error",
                         "stream_broken", message, {}))  # fmt: skip
    return b"event: error\ndata: %b\n\n" % body if family is WireFamily.ANTHROPIC else b"data: %b\n\n" % body


def _formed(
    family: WireFamily,
    form: _Form,
    code: str,
    message: str,
    headers: Mapping[str, str],
    told: Mapping[str, Json],
) -> Refused:
    kind = form.anthropic if family is WireFamily.ANTHROPIC else form.openai
    again = {} if form.status in _MAY_PASS or form.status >= 500 else {"x-should-retry": "false"}
    sent = {"content-type": "application/json", **again, **headers}
    body = _encode(_body(family, kind, code, message, told))
    return Refused(status=form.status, headers=tuple(sent.items()), body=body)


def _body(family: WireFamily, kind: str, code: str, message: str, told: Mapping[str, Json]) -> dict[str, Any]:
    if family is WireFamily.ANTHROPIC:
        return {"type": "error", "error": {"type": kind, "message": f"{message} [{code}]", **told}}
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **told}}
