"""Actions over HTTP for programs: propose a call under a key, wait for what becomes of it, collect it (E1).

A run token speaks here, never a person's. The key makes a repetition harmless: the same key with the same
call is the same action, also after a restart of either side. What waits is answered 202 with where to look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.action import ActionState
from interlock.core.answer import (
    Answer,
    Broken,
    Completed,
    InDoubt,
    InputAsked,
    Proposal,
    Refused,
    TurnedDown,
    Waiting,
)
from interlock.core.canonical import NotCanonical, check, digest, parse_object
from interlock.core.model import Json
from interlock.core.refusal import KEY_REUSED
from interlock.errors import UpstreamRefused, UsageError
from interlock.upstream.functions import CALL
from interlock.web.auth import program_of
from interlock.web.body import read_raw
from interlock.web.errors import json_response
from interlock.wiring import Wired

LONGEST_WAIT = 45.0
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_LOOK_AGAIN = "2"


class ProposeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call: the dotted tool, its arguments, how long to wait (s), and the program's own name for it."""

    tool: str
    arguments: dict[str, Json] = {}
    wait: float = 0.0
    call: str = ""


class Program:
    """The way back to a program that proposed a call: it cannot be asked, and is not told of progress."""

    can_be_asked = False
    wants_progress = False
    log_level = None

    def __init__(self, call: str) -> None:
        self.capabilities: Mapping[str, Json] = {}
        self.meta: Mapping[str, Json] = {CALL: call} if call else {}

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Nobody asked."""

    async def log(self, params: Mapping[str, Json]) -> None:
        """Nobody asked."""

    async def elicit(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Refuse."""
        del params
        raise UpstreamRefused("A program cannot be asked for input.")

    async def sample(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Refuse."""
        del params
        raise UpstreamRefused("A program does not lend its model.")

    async def roots(self) -> dict[str, Json]:
        """Refuse."""
        raise UpstreamRefused("A program has no roots.")


async def propose(request: Request) -> Response:
    """Propose one call: 200 when it ended, 202 while it waits, 403 when refused, 409 for a used key."""
    principal = program_of(request)
    wired: Wired = request.app.state.wired
    key, body = _key(request), await _proposed(request)
    try:
        check(body.arguments)
        proposal = Proposal(
            principal=principal,
            tool=body.tool,
            arguments=body.arguments,
            digest=digest(body.arguments),
            idempotency_key=key,
        )
    except NotCanonical as error:
        raise UsageError(f"The arguments are not acceptable: {error}.") from error
    answer = await wired.calls.propose(proposal, bridge=Program(body.call), wait=_bounded(body.wait))
    return answered(answer)


async def outcome(request: Request) -> Response:
    """Tell what became of an action of the caller's run, waiting `wait` seconds for it at most."""
    principal = program_of(request)
    wired: Wired = request.app.state.wired
    wait = _seconds(request.query_params.get("wait", "0"))
    answer = await wired.calls.resume(principal, request.path_params["id"], wait=wait)
    return answered(answer)


def answered(answer: Answer) -> Response:
    """Return the HTTP response for an answer."""
    body = said(answer)
    response = json_response(body, _status(answer))
    if isinstance(answer, Waiting):
        response.headers["Location"] = f"/api/v1/actions/{answer.action}/outcome"
        response.headers["Retry-After"] = _LOOK_AGAIN
    return response


def said(answer: Answer) -> dict[str, Json]:
    """Return an answer as JSON: always `state`, `action` and `message`, and what belongs to its kind."""
    match answer:
        case Completed():
            failed = bool(answer.payload.get("isError"))
            body: dict[str, Json] = {"state": "failed" if failed else "succeeded", "action": answer.action}
            body |= {"message": "", "result": answer.payload, "recorded": answer.recorded}
            body |= {"revised": dict(answer.revised)} if answer.revised is not None else {}
            return body | ({"settles_by": answer.settles_by} if answer.settles_by else {})
        case Refused(decision=decision):
            reasons = [msgspec.to_builtins(each) for each in decision.reasons]
            message = decision.reason.message
            return {"state": "denied", "action": answer.action, "message": message, "reasons": reasons}
        case Waiting():
            waits = {"approval": answer.approval or None, "expires_at": answer.ends_at or None}
            person = answer.approval or answer.state == ActionState.AWAITING_INPUT
            message = "It waits for a person." if person else "It waits for its time."
            due: dict[str, Json] = {"due_at": answer.due_at or None, "message": message}
            return {"state": answer.state, "action": answer.action, **waits, **due}
        case TurnedDown():
            return {
                "state": answer.state,
                "action": answer.action,
                "approval": answer.approval or None,
                "message": answer.reason,
            }
        case InDoubt():
            return {"state": "in_doubt", "action": answer.action, "message": answer.message}
        case Broken():
            return {
                "state": "failed" if answer.action else "broken",
                "action": answer.action or None,
                "message": answer.message,
                "recorded": answer.recorded,
            }
        case InputAsked():
            return {"state": "awaiting_input", "action": answer.action, "message": "Its tool asks for input."}


def _status(answer: Answer) -> int:
    match answer:
        case Waiting():
            return 202
        case Refused(decision=decision):
            return 409 if decision.reason.code == KEY_REUSED.code else 403
        case Broken(absent=True):
            return 404
        case Broken(action=""):
            return 503
        case _:
            return 200


def _key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key):
        raise UsageError(
            "A call needs a key of its own: 1 to 200 visible ASCII characters.",
            hint="Send it as the header Idempotency-Key, the same when you repeat the call.",
        )
    return key


async def _proposed(request: Request) -> ProposeBody:
    """Read the body; a key given twice is refused, so that nothing is decided that was not meant."""
    try:
        return msgspec.convert(parse_object(await read_raw(request)), ProposeBody)
    except (NotCanonical, msgspec.ValidationError) as error:
        raise UsageError(f"The request body cannot be read: {error}.") from error


def _seconds(text: str) -> float:
    try:
        return _bounded(float(text))
    except ValueError:
        raise UsageError("wait is a number of seconds.") from None


def _bounded(wait: float) -> float:
    return min(max(wait, 0.0), LONGEST_WAIT) if wait == wait else 0.0


routes = [
    Route("/api/v1/actions", propose, methods=["POST"]),
    Route("/api/v1/actions/{id}/outcome", outcome, methods=["GET"]),
]
