"""Actions over HTTP: see what was proposed and what became of it, stop it, or clear up a doubt."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.action import Action, ActionState
from interlock.core.ownership import Owners
from interlock.errors import NotPermitted
from interlock.services.cancel import Cancel
from interlock.services.probe import PROBE
from interlock.services.resolve import Resolve
from interlock.store import actions, agents, approvals, runs, timers
from interlock.store.run_rows import RunState
from interlock.web.auth import READERS, Person, in_their_own_name, person_of
from interlock.web.body import Reason, read_body
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.web.second_steps import view_of
from interlock.wiring import Wired

_STEERERS = ("approver", "agent_owner", "operator", "admin")


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is stopped."""

    reason: Reason


class ResolveBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found out, and how."""

    happened: bool
    reason: Reason


async def listing(request: Request) -> Response:
    """List actions, newest first, by run, agent, workflow or state."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    asked = request.query_params
    state = one_of(request, "state", ActionState, called="action state")
    page = page_of(request)
    wanted = {name: asked.get(name, "") for name in ("run", "agent", "workflow")}
    found = await wired.store.read(
        lambda connection: actions.listed(
            connection, state=state, before=page.before, limit=page.rows, **wanted
        )
    )
    kept, following = page.cut(found, lambda action: action.id)
    return list_response((summary(action) for action in kept), following)


async def one(request: Request) -> Response:
    """Show one action with its history."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    name = request.path_params["id"]

    def all_of_it(connection: sa.Connection) -> dict[str, Any]:
        action = actions.get(connection, name)
        return {
            **summary(action),
            "arguments": action.arguments,
            "reasons": action.decision.get("reasons", []),
            "result": action.result,
            "second_step": view_of(connection, name),
            "probe": probe_of(connection, action),
            "moves": [msgspec.to_builtins(move) for move in actions.moves(connection, name)],
        }

    return json_response(await wired.store.read(all_of_it))


def probe_of(connection: sa.Connection, action: Action) -> dict[str, Any] | None:
    """Return when the probe of an action in doubt is asked again, and whether its run still lets it."""
    if action.state is not ActionState.IN_DOUBT:
        return None
    due = next((each.due_at for each in timers.of(connection, action.id) if each.kind == PROBE), None)
    run = runs.get(connection, action.run)
    return None if due is None else {"due_at": due, "run_open": run.state is RunState.OPEN}


async def cancel(request: Request) -> Response:
    """Stop an action that was not sent."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, CancelBody)
    name = request.path_params["id"]
    await may_steer(wired, person, name)
    use = Cancel(store=wired.store, memory=wired.memory)
    done = await use.action(name, person=person.name, reason=body.reason)
    return json_response(summary(done))


async def resolve(request: Request) -> Response:
    """Say what became of an action whose outcome is not known."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ResolveBody)
    name = request.path_params["id"]
    await may_steer(wired, person, name)
    use = Resolve(store=wired.store, memory=wired.memory)
    done = await use.action(name, happened=body.happened, person=person.name, reason=body.reason)
    return json_response(summary(done))


def summary(action: Action) -> dict[str, Any]:
    """Return what a list shows of an action: no arguments, no results."""
    return {
        "id": action.id,
        "state": action.state.value,
        "tool": action.tool,
        "tier": action.tier.value,
        "effect": action.effect.value,
        "verdict": action.verdict.value,
        "run": action.run,
        "agent": action.agent,
        "workflow": f"{action.workflow}@{action.workflow_version}",
        "digest": action.digest,
        "approval": action.approval or None,
        "error": action.error or None,
        "successor": action.successor or None,
        "follows": action.follows or None,
        "due_at": action.due_at or None,
        "lease_until": action.lease_until or None,
        "created_at": action.created_at,
        "updated_at": action.updated_at,
    }


async def may_steer(wired: Wired, person: Person, name: str) -> None:
    """Let whoever may stop the agent, or decides for its workflow, stop or clear up its action."""
    in_their_own_name(person, *_STEERERS)

    def allowed(connection: sa.Connection) -> bool:
        action = actions.get(connection, name)
        agent = agents.find(connection, runs.get(connection, action.run).agent)
        owners = Owners(owner=agent.owner, backup=agent.backup) if agent else Owners(owner="")
        asked = approvals.find(connection, action.approval) if action.approval else None
        return ownership.may_stop(person.name, person.roles, owners) or (
            asked is not None and person.name in asked.approvers
        )

    if not await wired.store.read(allowed):
        raise NotPermitted(
            f"{person.name} may not decide about this agent's actions.",
            hint="Its owner, its workflow's approvers and operators may.",
        )


routes = [
    Route("/api/v1/actions", listing),
    Route("/api/v1/actions/{id}", one),
    Route("/api/v1/actions/{id}/cancel", cancel, methods=["POST"]),
    Route("/api/v1/actions/{id}/resolve", resolve, methods=["POST"]),
]
