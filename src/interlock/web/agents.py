"""Agents over HTTP: who they are, who answers for them, how they are let in and stopped (H1, H3, H5)."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import rotation
from interlock.core.model import SECOND, Json
from interlock.services import enroll, retire, suspend
from interlock.store import agents, enrolments, runs
from interlock.store.agents import AgentRecord
from interlock.web.auth import READERS, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response
from interlock.wiring import Wired

_ENROLLERS = ("agent_owner", "admin")
_STOPPERS = ("agent_owner", "operator", "admin")


class EnrolBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to enrol: a public `jwk` to register, or nothing for a one-time code. `expires_in` in seconds."""

    jwk: dict[str, Any] | None = None
    workflow: str = ""
    expires_in: int | None = None


async def listing(request: Request) -> Response:
    """List the agents."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    records = await wired.store.read(agents.everyone)
    state = request.query_params.get("state", "")
    return list_response(_shown(wired, each) for each in records if state in ("", each.state.value))


async def show(request: Request) -> Response:
    """Show one agent: its owners, workflows, ways in, runs and, when retired, the proof."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    name = request.path_params["agent"]
    record = await wired.store.read(lambda connection: agents.get(connection, name))
    ways_in = await wired.store.read(lambda connection: enrolments.of_agent(connection, name))
    latest = await wired.store.read(lambda connection: runs.listed(connection, agent=name, limit=10))
    now = wired.runtime.clock.now()
    return json_response(
        {
            **_shown(wired, record),
            "enrolments": [_enrolment(each, now) for each in ways_in],
            "runs": [{"id": run.id, "workflow": run.workflow, "state": run.state.value} for run in latest],
            "proof": record.proof,
        }
    )


async def enrol(request: Request) -> Response:
    """Enrol an agent: answer a one-time code, shown once, or register the public key that was sent."""
    by = await person_of(request, *_ENROLLERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, EnrolBody)
    name = request.path_params["agent"]
    if body.jwk is None:
        life = enroll.CODE_LIFE if body.expires_in is None else body.expires_in * SECOND
        code = await enroll.enroll_with_code(
            store=wired.store, memory=wired.memory, agent=name, by=by, life=life, workflow=body.workflow
        )
        return _once({"enrolment": code.id, "code": code.code, "expires_at": code.expires_at})
    life = enroll.KEY_LIFE if body.expires_in is None else body.expires_in * SECOND
    key = await enroll.enroll_with_key(
        store=wired.store, memory=wired.memory, agent=name, by=by, jwk=body.jwk, life=life
    )
    return _once({"enrolment": key.id, "thumbprint": key.thumbprint, "expires_at": key.expires_at})


async def suspending(request: Request) -> Response:
    """Suspend an agent."""
    by = await person_of(request, *_STOPPERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    name = request.path_params["agent"]
    record = await suspend.suspend(
        store=wired.store, memory=wired.memory, agent=name, by=by, reason=body.reason
    )
    return json_response(_shown(wired, record))


async def resuming(request: Request) -> Response:
    """Resume a suspended agent."""
    by = await person_of(request, *_STOPPERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    name = request.path_params["agent"]
    record = await suspend.resume(store=wired.store, agent=name, by=by, reason=body.reason)
    return json_response(_shown(wired, record))


async def retiring(request: Request) -> Response:
    """Retire an agent for good and answer the proof."""
    by = await person_of(request, *_STOPPERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ReasonBody)
    name = request.path_params["agent"]
    record = await retire.retire(
        store=wired.store, memory=wired.memory, agent=name, by=by, reason=body.reason
    )
    return json_response({**_shown(wired, record), "proof": record.proof})


def _shown(wired: Wired, record: AgentRecord) -> dict[str, Json]:
    bundle = wired.memory.bundle
    declared = None if bundle is None else bundle.agents.get(record.name)
    workflows = [] if bundle is None else list(bundle.workflows.values())
    return {
        "name": record.name,
        "state": record.state.value,
        "owner": record.owner,
        "backup": record.backup,
        "purpose": "" if declared is None else declared.purpose,
        "declared": declared is not None,
        "epoch": record.epoch,
        "retired_at": record.retired_at,
        "workflows": sorted(each.document.name for each in workflows if each.document.agent == record.name),
    }


def _enrolment(each: enrolments.Enrolment, now: int) -> dict[str, Json]:
    validity = rotation.validity(each.expires_at, now=now)
    return {
        "id": each.id,
        "kind": each.kind,
        "workflow": each.workflow,
        "created_by": each.created_by,
        "created_at": each.created_at,
        "expires_at": each.expires_at,
        "used_at": each.used_at,
        "run": each.run,
        "state": "used" if each.used_at is not None else validity.state.value,
    }


def _once(body: dict[str, Json]) -> Response:
    response = json_response(body, 201)
    response.headers["Cache-Control"] = "no-store"
    return response


routes = [
    Route("/api/v1/agents", listing, methods=["GET"]),
    Route("/api/v1/agents/{agent}", show, methods=["GET"]),
    Route("/api/v1/agents/{agent}/enrolments", enrol, methods=["POST"]),
    Route("/api/v1/agents/{agent}/suspend", suspending, methods=["POST"]),
    Route("/api/v1/agents/{agent}/resume", resuming, methods=["POST"]),
    Route("/api/v1/agents/{agent}/retire", retiring, methods=["POST"]),
]
