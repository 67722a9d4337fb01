"""Second steps over HTTP: settle or void what is provisional, ask for a follow-up again (E4)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.ownership import Owners
from interlock.core.second_step import StepKind
from interlock.errors import NotPermitted
from interlock.services.propose import Propose
from interlock.services.void import Void
from interlock.store import actions, agents, approvals, runs, second_steps
from interlock.web.approval_view import decider, use
from interlock.web.auth import Person, in_their_own_name, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.wiring import Wired

_STEERERS = ("approver", "agent_owner", "operator", "admin")


async def settle(request: Request) -> Response:
    """Confirm what is provisional: the approval of its second step, which is proposed anew if it failed."""
    person, body = await person_of(request), await read_body(request, ReasonBody)
    wired: Wired = request.app.state.wired
    name, proposing = request.path_params["id"], Propose(store=wired.store, memory=wired.memory)
    try:
        in_their_own_name(person, "approver")
        await _may(wired, person, name)
    except NotPermitted as error:
        await proposing.refuse("settle", name, person.name, error)
        raise
    second = await proposing.asked(name, StepKind.CONFIRM, person=person.name, reason=body.reason)
    decided = await use(wired).approve(second.approval, decider(person), reason=body.reason)
    wired.calls.decided(decided.action)
    return json_response(await _view(wired, name), 202)


async def void(request: Request) -> Response:
    """Take back what is provisional, before its deadline does."""
    person, body = await person_of(request), await read_body(request, ReasonBody)
    wired: Wired = request.app.state.wired
    name, voiding = request.path_params["id"], Void(store=wired.store, memory=wired.memory)
    try:
        in_their_own_name(person, *_STEERERS)
        await _may(wired, person, name)
    except NotPermitted as error:
        await voiding.refuse(name, person.name, error)
        raise
    await voiding.action(name, person=person.name, reason=body.reason)
    return json_response(await _view(wired, name), 202)


async def follow_up(request: Request) -> Response:
    """Have a follow-up asked for: before its time, or again when nobody confirmed it."""
    person, body = await person_of(request), await read_body(request, ReasonBody)
    wired: Wired = request.app.state.wired
    name, proposing = request.path_params["id"], Propose(store=wired.store, memory=wired.memory)
    try:
        in_their_own_name(person, *_STEERERS)
        await _may(wired, person, name)
    except NotPermitted as error:
        await proposing.refuse("follow-up", name, person.name, error)
        raise
    await proposing.asked(name, StepKind.FOLLOW_UP, person=person.name, reason=body.reason)
    return json_response(await _view(wired, name), 202)


async def _may(wired: Wired, person: Person, name: str) -> None:
    """Let whoever may stop the agent, or decides on either step of the action, decide what becomes of it."""

    def allowed(connection: sa.Connection) -> bool:
        action = actions.get(connection, name)
        second = second_steps.proposed(connection, second_steps.of(connection, name))
        asked = (approvals.find(connection, each.approval) for each in (action, second) if each is not None)
        agent = agents.find(connection, runs.get(connection, action.run).agent)
        owners = Owners(owner=agent.owner, backup=agent.backup) if agent else Owners(owner="")
        return ownership.may_stop(person.name, person.roles, owners) or any(
            each is not None and person.name in each.approvers for each in asked
        )

    if not await wired.store.read(allowed):
        raise NotPermitted(
            f"{person.name} may not decide what becomes of this agent's actions.",
            hint="Its owner, its workflow's approvers and operators may.",
        )


async def _view(wired: Wired, name: str) -> dict[str, Any]:
    def look(connection: sa.Connection) -> dict[str, Any]:
        action = actions.get(connection, name)
        said = {"action": action.id, "state": action.state.value, "tool": action.tool}
        return {**said, "second_step": view_of(connection, name)}

    return await wired.store.read(look)


def view_of(connection: sa.Connection, action: str) -> dict[str, Any] | None:
    """Return what makes an action final, and what was proposed for it, as JSON; None where nothing does."""
    step = second_steps.of(connection, action)
    if step is None:
        return None
    second = second_steps.proposed(connection, step)
    return {
        "kind": step.kind.value,
        "tool": step.tool,
        "arguments": step.arguments,
        "due_at": step.due_at,
        "problem": step.problem or None,
        "action": step.second or None,
        "state": None if second is None else second.state.value,
        "approval": None if second is None else second.approval or None,
        "error": None if second is None else second.error or None,
    }


routes = [
    Route("/api/v1/actions/{id}/settle", settle, methods=["POST"]),
    Route("/api/v1/actions/{id}/void", void, methods=["POST"]),
    Route("/api/v1/actions/{id}/follow-up", follow_up, methods=["POST"]),
]
