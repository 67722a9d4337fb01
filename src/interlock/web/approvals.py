"""Approvals over HTTP: everything needed to decide in one view, the decision, and a long poll for it."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import canonical
from interlock.core.action import Action
from interlock.core.approval import Approval, ApprovalState, Binding, stale
from interlock.core.document.tool import Tool
from interlock.core.model import Json
from interlock.errors import NotPermitted, UsageError
from interlock.store import actions, approvals
from interlock.web import approval_batches
from interlock.web.actions import summary
from interlock.web.approval_view import approved, decider, may_see, plain, use
from interlock.web.auth import in_their_own_name, person_of
from interlock.web.body import Reason, read_body
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

_LONGEST = 60.0
_EARLIER = 20


class ApproveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, if anything is to be said."""

    reason: Reason = ""


class RejectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why; the agent is told."""

    reason: Reason


class ModifyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments as they shall be, and why. With `four_eyes` another person approves them."""

    arguments: msgspec.Raw
    reason: Reason
    four_eyes: bool = False


class AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a question: words, or a value that fits its schema."""

    answer: msgspec.Raw
    reason: Reason = ""


async def listing(request: Request) -> Response:
    """List requests for approval, newest first; `state=` (empty) lists those that were decided too.

    `workflow`, `tool` and `mine=true` (whose decision is asked for by name, now) narrow the list.
    """
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    state = one_of(request, "state", ApprovalState, called="approval state", otherwise=ApprovalState.PENDING)
    mine = one_of(request, "mine", ("true", "false"), otherwise="false")
    page, asked = page_of(request), request.query_params

    def found(connection: sa.Connection) -> list[tuple[Approval, Action]]:
        every = approvals.listed(
            connection,
            state=state,
            workflow=asked.get("workflow", ""),
            tool=asked.get("tool", ""),
            person=person.name if mine == "true" else "",
            before=page.before,
            limit=page.rows,
        )
        return [(each, actions.get(connection, each.action)) for each in every]

    kept, following = page.cut(await wired.store.read(found), lambda each: each[0].id)
    seen = ((each, action) for each, action in kept if may_see(person, each))
    return list_response(({**plain(each), "call": summary(action)} for each, action in seen), following)


async def one(request: Request) -> Response:
    """Show one request with all that is needed to decide; `wait` seconds for it to be decided."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    name = request.path_params["id"]
    wait = _seconds(request.query_params.get("wait", "0"))
    ends = wired.runtime.clock.monotonic() + wait
    while True:
        approval = await wired.store.read(lambda connection: approvals.get(connection, name))
        if not may_see(person, approval):
            raise NotPermitted(f"{person.name} may not see this approval.")
        left = ends - wired.runtime.clock.monotonic()
        if approval.state is not ApprovalState.PENDING or left <= 0:
            break
        await wired.calls.watch.change(approval.action, seconds=left)
    return json_response(await _view(wired, approval))


async def approve(request: Request) -> Response:
    """Let the call pass as it was asked."""
    person = await person_of(request)
    in_their_own_name(person, "approver")
    wired: Wired = request.app.state.wired
    body = await read_body(request, ApproveBody)
    done = await use(wired).approve(request.path_params["id"], decider(person), reason=body.reason)
    wired.calls.decided(done.action)
    return json_response(await approved(wired, done))


async def reject(request: Request) -> Response:
    """Turn the call down."""
    person = await person_of(request)
    in_their_own_name(person, "approver")
    wired: Wired = request.app.state.wired
    body = await read_body(request, RejectBody)
    done = await use(wired).reject(request.path_params["id"], decider(person), reason=body.reason)
    wired.calls.decided(done.action)
    return json_response(plain(done))


async def modify(request: Request) -> Response:
    """Let the call pass with other arguments, which are checked and decided like a new call."""
    person = await person_of(request)
    in_their_own_name(person, "approver")
    wired: Wired = request.app.state.wired
    body = await read_body(request, ModifyBody)
    try:
        arguments = canonical.parse_object(bytes(body.arguments))
    except canonical.NotCanonical as error:
        raise UsageError(f"The arguments are not acceptable: {error}.") from error
    done = await use(wired).modify(
        request.path_params["id"],
        decider(person),
        arguments=arguments,
        reason=body.reason,
        four_eyes=body.four_eyes,
    )
    wired.calls.decided(done.action)
    return json_response(plain(done))


def _seconds(asked: str) -> float:
    try:
        wait = float(asked)
    except ValueError:
        wait = -1.0
    if not 0 <= wait <= _LONGEST:
        raise UsageError(f"wait is a number of seconds from 0 to {_LONGEST:.0f}.")
    return wait


async def _view(wired: Wired, approval: Approval) -> dict[str, Any]:
    def read(connection: sa.Connection) -> tuple[Action, list[Action]]:
        action = actions.get(connection, approval.action)
        return action, actions.listed(connection, run=action.run, before=action.id, limit=_EARLIER)

    action, earlier = await wired.store.read(read)
    return {
        **plain(approval),
        "call": {**summary(action), "arguments": action.arguments},
        "reasons": action.decision.get("reasons", []),
        "owner": action.principal.get("owner"),
        "tool": _tool(wired, action.tool),
        "reach": _reach(action),
        "changed_since": _changed(wired, approval, action),
        "earlier": [summary(each) for each in earlier],
    }


def _tool(wired: Wired, name: str) -> dict[str, Json]:
    """What the blast-radius map says of the tool: how far, what if wrong, and how to take it back."""
    bundle = wired.memory.bundle
    compiled = bundle.tools.get(name) if bundle is not None else None
    document: Tool | None = compiled.document if compiled is not None else None
    if document is None:
        return {"mapped": False}
    return {
        "mapped": document.mapped,
        "blast_radius": msgspec.to_builtins(document.blast_radius),
        "preview": document.preview.tool if document.preview else None,
        "undo": msgspec.to_builtins(document.undo),
        "follow_up": msgspec.to_builtins(document.follow_up),
        "settlement": msgspec.to_builtins(document.settlement),
        "delay": document.delay or None,
        "sinks": list(document.sinks),
    }


def _reach(action: Action) -> dict[str, Json]:
    """What the preview measured when it was asked, or why the reach is not known; neither without one."""
    read = action.decision.get("read", {})
    return {"measured": read.get("reach"), "unknown": read.get("unmeasured")}


def _changed(wired: Wired, approval: Approval, action: Action) -> str | None:
    """Say what moved since it was asked: a decision now would be asked for once more."""
    bundle, pin = wired.memory.bundle, wired.memory.pins.get(action.tool)
    now = Binding(
        digest=action.digest,
        pin=pin.digest if pin is not None else "",
        bundle=bundle.digest if bundle is not None else "",
    )
    return stale(approval, now)


async def answer(request: Request) -> Response:
    """Answer a question that an agent put; its next step reads the answer."""
    person = await person_of(request)
    in_their_own_name(person, "approver")
    wired: Wired = request.app.state.wired
    body = await read_body(request, AnswerBody)
    try:
        value = canonical.parse_object(b'{"answer":%s}' % bytes(body.answer))["answer"]
    except canonical.NotCanonical as error:
        raise UsageError(f"The answer is not acceptable: {error}.") from error
    name = request.path_params["id"]
    done = await use(wired).answer(name, decider(person), value=value, reason=body.reason)
    wired.calls.decided(done.action)
    return json_response(plain(done))


routes = [
    Route("/api/v1/approvals", listing),
    *approval_batches.routes,
    Route("/api/v1/approvals/{id}", one),
    Route("/api/v1/approvals/{id}/approve", approve, methods=["POST"]),
    Route("/api/v1/approvals/{id}/reject", reject, methods=["POST"]),
    Route("/api/v1/approvals/{id}/modify", modify, methods=["POST"]),
    Route("/api/v1/approvals/{id}/answer", answer, methods=["POST"]),
]
