"""Signals over HTTP: how large contexts are, by workflow and deployment, or in one run (B6, C4)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.context import Growth, Reading, reading
from interlock.core.model import Json
from interlock.errors import NotFound
from interlock.services.watch_contexts import Contexts, Windows, known_windows, read_contexts
from interlock.store import contexts, runs
from interlock.store.contexts import Measured
from interlock.web.auth import person_of
from interlock.web.errors import json_response
from interlock.web.page import list_response
from interlock.wiring import Wired


async def overview(request: Request) -> Response:
    """List the workflows whose contexts were measured, each with its newest deployment."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    windows, environment = await _windows(wired), wired.settings.environment
    names = await wired.store.read(lambda connection: contexts.workflows(connection, environment))
    known = [await _known(wired, name, windows) for name in names]
    return list_response(
        {
            **_reading(each.readings[-1], each.workflow),
            "growth": _growth(each.growth, each.workflow),
        }
        for each in known
    )


async def context(request: Request) -> Response:
    """Show the contexts of one workflow: each deployment, and by model. Raises `NotFound`."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    name, windows = request.path_params["workflow"], await _windows(wired)
    known = await _known(wired, name, windows)
    if not known.readings:
        raise NotFound(
            f"No model call of a workflow {name[:80]!r} was measured.", hint="interlock signals context"
        )
    return json_response(
        {
            "workflow": name,
            "deployments": [_reading(each, name) for each in known.readings],
            "models": [_model(each, name, windows) for each in known.models],
            "growth": _growth(known.growth, name),
        }
    )


async def of_run(request: Request) -> Response:
    """List the contexts of one run, by model. Raises `NotFound`."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    name, environment = request.path_params["run"], wired.settings.environment
    windows = await _windows(wired)
    run = await wired.store.read(lambda connection: runs.get(connection, name))
    found = await wired.store.read(lambda connection: contexts.of_run(connection, environment, name))
    return list_response(_model(each, run.workflow, windows) for each in found)


async def _windows(wired: Wired) -> Windows:
    return known_windows(await wired.prices.ready(), wired.runtime.clock.now())


async def _known(wired: Wired, workflow: str, windows: Windows) -> Contexts:
    environment = wired.settings.environment
    return await wired.store.read(
        lambda connection: read_contexts(connection, environment, workflow, windows)
    )


def _model(measured: Measured, workflow: str, windows: Windows) -> dict[str, Json]:
    window = windows(measured.model)
    known = reading(measured.version, [(measured.sizes, window)])
    return {**_reading(known, workflow), "model": measured.model, "window": window}


def _reading(known: Reading, workflow: str) -> dict[str, Json]:
    return {
        "deployment": f"{workflow}@{known.version}",
        "version": known.version,
        "calls": known.calls,
        "mean": known.mean,
        "p95": known.p95,
        "p99": known.p99,
        "utilisation": known.utilisation,
    }


def _growth(grown: Growth | None, workflow: str) -> dict[str, Json] | None:
    if grown is None:
        return None
    return {
        "measure": grown.measure,
        "rise": grown.rise,
        "since": f"{workflow}@{grown.before.version}",
        "before": getattr(grown.before, grown.measure),
        "after": getattr(grown.after, grown.measure),
    }


routes = [
    Route("/api/v1/signals/context", overview, methods=["GET"]),
    Route("/api/v1/signals/context/{workflow}", context, methods=["GET"]),
    Route("/api/v1/runs/{run}/context", of_run, methods=["GET"]),
]
