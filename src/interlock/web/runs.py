"""Runs over HTTP: ask to start one, see them, end them."""

from __future__ import annotations

from dataclasses import asdict
from decimal import ROUND_FLOOR, Decimal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.model import Json
from interlock.core.ownership import Owners
from interlock.errors import NotPermitted, UsageError
from interlock.services.close_run import close_run
from interlock.services.enroll import launch_code
from interlock.services.score import FULL, score_run
from interlock.store import agents, model_calls, run_facts, runs, scores
from interlock.store.run_rows import Run, RunState
from interlock.store.scores import Score
from interlock.web.auth import READERS, person_of
from interlock.web.body import read_body
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

_STARTERS = ("developer", "agent_owner", "operator", "admin")
_SCORERS = ("developer", "agent_owner", "operator", "admin")
_ENDERS = ("agent_owner", "operator", "admin", "developer")


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which workflow to start a run of."""

    workflow: str


async def start(request: Request) -> Response:
    """Answer a one-time code with which a launcher opens a run; the person gets no run token."""
    by = await person_of(request, *_STARTERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, StartBody)
    code = await launch_code(store=wired.store, memory=wired.memory, workflow=body.workflow, by=by)
    response = json_response(
        {
            "enrolment": code.id,
            "code": code.code,
            "expires_at": code.expires_at,
            "token_endpoint": "/oauth/token",
        },
        201,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


async def listing(request: Request) -> Response:
    """List runs, newest first, by workflow, agent or state."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    asked = request.query_params
    state = one_of(request, "state", RunState, called="run state")
    page = page_of(request)
    found = await wired.store.read(
        lambda connection: runs.listed(
            connection,
            workflow=asked.get("workflow", ""),
            agent=asked.get("agent", ""),
            state=state,
            before=page.before,
            limit=page.rows,
        )
    )
    kept, following = page.cut(found, lambda run: run.id)
    return list_response((_shown(run) for run in kept), following)


async def show(request: Request) -> Response:
    """Show one run with how often it called each tool."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    name = request.path_params["run"]
    run = await wired.store.read(lambda connection: runs.get(connection, name))
    calls = await wired.store.read(lambda connection: run_facts.calls_of(connection, name))
    partial = await wired.store.read(lambda connection: model_calls.partial(connection, name))
    given = await wired.store.read(lambda connection: scores.of(connection, name))
    facts = wired.memory.runs.get(name)
    counts: dict[str, Json] = dict(facts.calls) if facts and facts.open else dict(calls)
    judged = [asdict(each) for each in given]
    return json_response({**_shown(run), "partial": partial, "calls": counts, "scores": judged})


class ScoreBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was judged, by whom, and how good it is: `value` from 0 to 1, or `basis_points`."""

    key: str
    source: str
    name: str = "quality"
    value: Decimal | None = None
    basis_points: int | None = None
    evaluator: str = ""


async def scoring(request: Request) -> Response:
    """Take the score that an evaluator gave a run. The same key twice is one score."""
    by = await person_of(request, *_SCORERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ScoreBody)
    score = Score(
        run=request.path_params["run"],
        key=body.key,
        name=body.name,
        value=_points(body),
        source=body.source,
        evaluator=body.evaluator,
        by=by.name,
        at=0,
    )
    kept = await score_run(store=wired.store, memory=wired.memory, score=score)
    return json_response({**asdict(kept.score), "counts": kept.counts}, 201)


def _points(body: ScoreBody) -> int:
    """Return the score in basis points. Raises `UsageError`."""
    if (body.value is None) == (body.basis_points is None):
        raise UsageError("A score has a value from 0 to 1, or basis_points; one of them.")
    if body.basis_points is not None:
        return body.basis_points
    assert body.value is not None
    if not body.value.is_finite() or not 0 <= body.value <= 1:
        raise UsageError("A score is from 0 to 1, or from 0 to 10000 basis points.")
    return int((body.value * FULL).to_integral_value(ROUND_FLOOR))


class EndBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a run ends, and whether it failed: then it is undone where its workflow says so."""

    reason: str = ""
    failed: bool = False


async def end(request: Request) -> Response:
    """End a run: its tokens stop counting and what waited for a person is cancelled."""
    by = await person_of(request, *_ENDERS)
    wired: Wired = request.app.state.wired
    body = await read_body(request, EndBody)
    name = request.path_params["run"]
    run = await wired.store.read(lambda connection: runs.get(connection, name))
    agent = await wired.store.read(lambda connection: agents.get(connection, run.agent))
    owners = Owners(owner=agent.owner, backup=agent.backup)
    if run.started_by != by.name and not ownership.may_stop(by.name, by.roles, owners):
        raise NotPermitted(
            f"{by.name} may not end this run.", hint="Who started it may, and who owns the agent."
        )
    reason = body.reason.strip()[:200] or f"ended by {by.name}"
    ended = await close_run(
        store=wired.store,
        memory=wired.memory,
        run=name,
        reason=reason,
        by=by.name,
        person=by.name,
        failed=body.failed,
    )
    return json_response(_shown(ended.run))


def _shown(run: Run) -> dict[str, Json]:
    return {
        "id": run.id,
        "workflow": f"{run.workflow}@{run.workflow_version}",
        "agent": run.agent,
        "environment": run.environment,
        "state": run.state.value,
        "started_by": run.started_by,
        "opened_at": run.opened_at,
        "closed_at": run.closed_at,
        "reason": run.reason,
        "labels": list(run.labels),
        "deadline_at": run.deadline_at,
        "direct_models": run.direct_models,
        "ungoverned": run.ungoverned,
        "aborting": run.aborting or None,
    }


routes = [
    Route("/api/v1/runs", listing, methods=["GET"]),
    Route("/api/v1/runs", start, methods=["POST"]),
    Route("/api/v1/runs/{run}", show, methods=["GET"]),
    Route("/api/v1/runs/{run}/end", end, methods=["POST"]),
    Route("/api/v1/runs/{run}/scores", scoring, methods=["POST"]),
]
