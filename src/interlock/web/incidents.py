"""Incidents over HTTP: what was halted, and a person's word on why when it is over (B5)."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.errors import UsageError
from interlock.store import incidents
from interlock.web.auth import person_of
from interlock.web.body import read_body
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired


class CloseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it was, and why it is over."""

    reason: str


async def listing(request: Request) -> Response:
    """List incidents, newest first; closed ones too with `state=`."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    page, state = page_of(request), one_of(request, "state", ("open", "closed"), otherwise="open")
    found = await wired.store.read(
        lambda connection: incidents.listed(
            connection, wired.settings.environment, state=state, before=page.before, limit=page.rows
        )
    )
    shown, following = page.cut(found, lambda incident: incident.id)
    return list_response([asdict(each) for each in shown], following)


async def show(request: Request) -> Response:
    """Show one incident."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    name = request.path_params["incident"]
    return json_response(asdict(await wired.store.read(lambda found: incidents.get(found, name))))


async def closing(request: Request) -> Response:
    """Close an incident, with a reason."""
    by = await person_of(request, "operator", "admin", "agent_owner")
    wired: Wired = request.app.state.wired
    body = await read_body(request, CloseBody)
    name = request.path_params["incident"]
    if not body.reason.strip():
        raise UsageError("Closing an incident needs a reason.", hint="--reason TEXT")
    closed = await wired.store.transact(
        lambda transaction: incidents.close(transaction, name, by=by.name, reason=body.reason.strip()[:2000])
    )
    return json_response(asdict(closed))


routes = [
    Route("/api/v1/incidents", listing, methods=["GET"]),
    Route("/api/v1/incidents/{incident}", show, methods=["GET"]),
    Route("/api/v1/incidents/{incident}/close", closing, methods=["POST"]),
]
