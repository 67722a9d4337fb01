"""The HTTP application beside the call path: API, token endpoint, health. Each noun brings its routes."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock import __version__
from interlock.errors import InterlockError
from interlock.services.check_ready import check_ready
from interlock.web import (
    actions,
    agents,
    alerts,
    approvals,
    audit,
    autonomy,
    breakers,
    budgets,
    calls,
    deployments,
    digests,
    functions,
    incidents,
    kills,
    manifest,
    oauth,
    outcomes,
    people,
    prices,
    providers,
    runs,
    second_steps,
    signals,
    spend,
    state_reviews,
    tools,
    undos,
)
from interlock.web.errors import json_response, on_http_error, on_interlock_error, on_malformed_body
from interlock.wiring import Wired


async def healthz(_request: Request) -> Response:
    """Whether the process answers at all."""
    return json_response({"status": "ok", "version": __version__})


async def readyz(request: Request) -> Response:
    """Whether calls can be decided and recorded: a bundle is loaded and the store can be written."""
    wired: Wired = request.app.state.wired
    state = await check_ready(store=wired.store, memory=wired.memory, problem=wired.follow.problem)
    return json_response(state, 200 if state["ready"] else 503)


def build_api(wired: Wired, *, people: bool = True, programs: bool = True) -> Starlette:
    """Return the API of one process: what people use, what programs call tools by, or both."""
    api = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *(route for noun in NOUNS if (programs if noun in PROGRAMS else people) for route in noun.routes),
        ],
        exception_handlers={
            InterlockError: on_interlock_error,
            HTTPException: on_http_error,
            msgspec.ValidationError: on_malformed_body,
            msgspec.DecodeError: on_malformed_body,
        },
    )
    api.state.wired = wired
    return api


NOUNS = (
    outcomes,  # before actions, or its paths would be ids of actions
    actions,
    agents,
    alerts,
    approvals,
    audit,
    autonomy,
    breakers,
    budgets,
    calls,
    deployments,
    digests,
    functions,
    incidents,
    kills,
    manifest,
    oauth,
    people,
    prices,
    providers,
    runs,
    second_steps,
    signals,
    spend,
    state_reviews,
    tools,
    undos,
)

PROGRAMS = (calls, functions)
"""What belongs where tool calls are carried out."""
