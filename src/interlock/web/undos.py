"""Undo over HTTP: what would undo an action, having it or a run undone, stopping that, doing it by hand."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import compensation, ownership
from interlock.core.action import Action
from interlock.core.compensation import Undo
from interlock.core.ownership import Owners
from interlock.errors import NotPermitted
from interlock.services.compensate import Compensate
from interlock.store import actions, agents, approvals, runs, undos
from interlock.store.compensations import RunUndone, Undone
from interlock.web.auth import READERS, Person, in_their_own_name, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.wiring import Wired

_UNDOERS = ("approver", "agent_owner", "operator", "admin")


async def show(request: Request) -> Response:
    """Show what undoes an action: whether it can be undone now and why not, and what became of its undo."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    name, now = request.path_params["id"], wired.store.now()

    def look(connection: sa.Connection) -> tuple[Action, Undo | None, Action | None]:
        action = actions.get(connection, name)
        return action, undos.of(connection, wired.memory, action), undos.undoing(connection, name)

    action, undo, under_way = await wired.store.read(look)
    why = compensation.kept(action, undo, now)
    return json_response(
        {
            "action": action.id,
            "state": action.state.value,
            "tool": action.tool,
            "undoable": why is None,
            "why_not": None if why is None else {"code": why.code, "message": why.message},
            "by": None if undo is None else {"tool": undo.tool, "arguments": undo.arguments},
            "until": undo.until or None if undo is not None else None,
            "undo": None if under_way is None else _undo(under_way),
        }
    )


async def undo_action(request: Request) -> Response:
    """Have an action undone, or its failed undo tried again."""
    person, use, name, reason = await _asked(request, "undo")
    return json_response(_undone(await use.action(name, person=person.name, reason=reason)), 202)


async def stop(request: Request) -> Response:
    """Stop the undo of an action before it is sent: what the action did stands."""
    person, use, name, reason = await _asked(request, "stop")
    return json_response(_undone(await use.stop(name, person=person.name, reason=reason)))


async def by_hand(request: Request) -> Response:
    """Record that a person undid by hand what an undo failed to take back."""
    person, use, name, reason = await _asked(request, "done")
    done = await use.by_hand(name, person=person.name, reason=reason)
    return json_response({"action": done.id, "state": done.state.value})


async def undo_run(request: Request) -> Response:
    """End a run and have everything in it undone that can be, the last first."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    name, use = request.path_params["run"], Compensate(store=wired.store, memory=wired.memory)
    try:
        in_their_own_name(person, *_UNDOERS)
        await _may_undo_run(wired, person, name)
    except NotPermitted as error:
        await use.refuse("undo run", name, person.name, error)
        raise
    return json_response(_run(await use.run(name, person=person.name, reason=body.reason)), 202)


async def _asked(request: Request, what: str) -> tuple[Person, Compensate, str, str]:
    """Return who asks, and for what; a person who may not is refused, which is on record."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    name, use = request.path_params["id"], Compensate(store=wired.store, memory=wired.memory)
    try:
        in_their_own_name(person, *_UNDOERS)
        await _may_undo(wired, person, name)
    except NotPermitted as error:
        await use.refuse(what, name, person.name, error)
        raise
    return person, use, name, body.reason


async def _may_undo(wired: Wired, person: Person, name: str) -> None:
    """Let whoever may stop the agent, or decides for its workflow, undo its actions."""

    def allowed(connection: sa.Connection) -> bool:
        action = actions.get(connection, name)
        agent = runs.get(connection, action.run).agent
        asked = approvals.find(connection, action.approval) if action.approval else None
        decides = asked is not None and person.name in asked.approvers
        return decides or _may_stop(connection, person, agent)

    if not await wired.store.read(allowed):
        raise _not_theirs(person)


async def _may_undo_run(wired: Wired, person: Person, name: str) -> None:
    def allowed(connection: sa.Connection) -> bool:
        return _may_stop(connection, person, runs.get(connection, name).agent)

    if not await wired.store.read(allowed):
        raise _not_theirs(person)


def _may_stop(connection: sa.Connection, person: Person, name: str) -> bool:
    agent = agents.find(connection, name)
    owners = Owners(owner=agent.owner, backup=agent.backup) if agent else Owners(owner="")
    return ownership.may_stop(person.name, person.roles, owners)


def _not_theirs(person: Person) -> NotPermitted:
    return NotPermitted(
        f"{person.name} may not undo what this agent did.",
        hint="Its owner, its workflow's approvers and operators may.",
    )


def _undone(done: Undone) -> dict[str, Any]:
    return {
        "action": done.action.id,
        "state": done.action.state.value,
        "tool": done.action.tool,
        "undo": _undo(done.undo),
    }


def _undo(undo: Action) -> dict[str, Any]:
    return {
        "action": undo.id,
        "tool": undo.tool,
        "state": undo.state.value,
        "identity": undo.agent,
        "attempts": undo.attempt,
        "due_at": undo.due_at or None,
        "error": undo.error or None,
    }


def _run(done: RunUndone) -> dict[str, Any]:
    return {
        "run": done.run.id,
        "state": done.run.state.value,
        "undone": [_undone(each) for each in done.undone],
        "awaited": [
            {"action": each.id, "tool": each.tool, "state": each.state.value} for each in done.awaited
        ],
        "kept": [
            {"action": each.action, "tool": each.tool, "code": each.code, "message": each.message}
            for each in done.kept
        ],
        "cancelled": list(done.cancelled),
    }


routes = [
    Route("/api/v1/actions/{id}/undo", show),
    Route("/api/v1/actions/{id}/undo", undo_action, methods=["POST"]),
    Route("/api/v1/actions/{id}/undo/stop", stop, methods=["POST"]),
    Route("/api/v1/actions/{id}/undo/done", by_hand, methods=["POST"]),
    Route("/api/v1/runs/{run}/undo", undo_run, methods=["POST"]),
]
