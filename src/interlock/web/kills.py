"""The kill switch over HTTP: one person presses, two resume, and everybody may see what came of it (B5)."""

from __future__ import annotations

import logging
from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.bundle import Bundle
from interlock.core.kill import EVERYTHING, KillLevel, KillOrder, KillScope, KillSource, scope_of, subject_of
from interlock.core.missing import Missing, no_workflow
from interlock.core.ownership import Owners
from interlock.errors import NotFound, NotPermitted, StoreError, UsageError
from interlock.services.report_kill import KillReport, report_kill, report_now
from interlock.services.resume_killed import ResumeKilled
from interlock.store import kills
from interlock.store.people import Person
from interlock.web.auth import person_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.web.near import meant
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

log = logging.getLogger(__name__)
_LOOKS, _PAUSE = 10, 0.05


class PressBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to stop, how far and why. `id` makes repeating the press harmless."""

    scope: KillScope
    reason: str
    name: str = ""
    level: KillLevel = KillLevel.STOP
    id: str = ""


class ResumeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it may go on."""

    reason: str


async def press(request: Request) -> Response:
    """Stop something now; answer what was confirmed, what is in flight and what cannot be reached."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, PressBody)
    order = _order(wired, body, by)
    wired.kill.press(order)
    try:
        await wired.kill.record()
    except StoreError as error:
        log.error("the kill %s is in force and not on record yet: %s", order.id, error.message)
    for _ in range(_LOOKS):  # what was cut needs a moment to end
        if order.level is not KillLevel.STOP or not wired.memory.flights.of(order.subject):
            break
        await wired.runtime.scheduler.sleep(_PAUSE)
    return json_response(asdict(await _report(wired, order.id)), 201)


async def show(request: Request) -> Response:
    """Show a kill, and check again what came of it."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    kill = request.path_params["kill"]
    found = await wired.store.read(lambda connection: kills.get(connection, kill))
    return json_response({**asdict(found), "report": asdict(await _report(wired, kill))})


async def listing(request: Request) -> Response:
    """List what is stopped, newest first; resumed kills too with `all`."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    page, every = page_of(request), bool(request.query_params.get("all", ""))
    found = await wired.store.read(
        lambda connection: kills.listed(
            connection, wired.settings.environment, every=every, before=page.before, limit=page.rows
        )
    )
    shown, following = page.cut(found, lambda kill: kill.id)
    return list_response([asdict(each) for each in shown], following)


async def resuming(request: Request) -> Response:
    """Propose to resume, or confirm what another person proposed."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, ResumeBody)
    name = request.path_params["kill"]
    found = await wired.store.read(lambda connection: kills.get(connection, name))
    _permit(wired, by, found.subject)
    resume = ResumeKilled(store=wired.store, memory=wired.memory, settings=wired.settings)
    done = await resume(name, by=by.name, reason=body.reason)
    if done.state is kills.KillState.RESUMED:
        wired.kill.lift(name)
    return json_response(asdict(done))


async def _report(wired: Wired, kill: str) -> KillReport:
    """Report from the store; where it cannot be read, from what this process knows by itself."""
    try:
        return await report_kill(store=wired.store, memory=wired.memory, kill=kill)
    except (StoreError, NotFound):
        known = report_now(wired.memory, kill, recorded=wired.kill.recorded(kill))
        if known is None:
            raise
        return known


def _order(wired: Wired, body: PressBody, by: Person) -> KillOrder:
    if not body.reason.strip():
        raise UsageError("Pressing the kill switch needs a reason.", hint="--reason TEXT")
    if body.level is KillLevel.PAUSE and body.scope is KillScope.TOOL:
        raise UsageError("A tool has no runs that could be paused.", hint="--level freeze, or stop")
    if body.id and not (body.id.startswith("kill_") and body.id.isascii() and len(body.id) <= 64):
        raise UsageError("The id of a kill begins with kill_.")
    subject = subject_of(body.scope, body.name)
    _known(wired, body.scope, body.name)
    _permit(wired, by, subject)
    return KillOrder(
        id=body.id or wired.runtime.ids.new("kill"),
        subject=subject,
        level=body.level,
        reason=body.reason.strip()[:500],
        by=by.name,
        source=KillSource.API,
        at=wired.runtime.clock.now(),
        workflow=_workflow(wired, body.scope, body.name),
    )


def _known(wired: Wired, scope: KillScope, name: str) -> None:
    """Refuse a name that stops nothing: a slip of the pen must not look like a stop. Raises `NotFound`."""
    bundle = wired.memory.bundle
    if scope is KillScope.ALL:
        return
    there = {
        KillScope.ENVIRONMENT: name == wired.settings.environment,
        KillScope.RUN: name in wired.memory.runs,
        KillScope.WORKFLOW: bundle is not None and name in bundle.workflows,
        KillScope.AGENT: bundle is not None and name in bundle.agents,
        KillScope.TOOL: bundle is not None and name in bundle.tools,
    }
    if not there[scope]:
        unknown = _unknown(scope, name, bundle)
        raise NotFound(unknown.message, hint=unknown.hint)


def _unknown(scope: KillScope, name: str, bundle: Bundle | None) -> Missing:
    if scope is KillScope.WORKFLOW:
        return no_workflow(name, bundle)
    if scope is KillScope.ENVIRONMENT:
        hint = "Ask its own server."
    else:
        known = (
            {KillScope.AGENT: bundle.agents, KillScope.TOOL: bundle.tools}.get(scope, ()) if bundle else ()
        )
        hint = meant(name, known, f"interlock {scope.value}s list")
    return Missing(f"There is no {scope.value} {name[:60]!r} here.", hint)


def _workflow(wired: Wired, scope: KillScope, name: str) -> str:
    run = wired.memory.runs.get(name) if scope is KillScope.RUN else None
    return name if scope is KillScope.WORKFLOW else "" if run is None else run.workflow


def _permit(wired: Wired, by: Person, subject: str) -> None:
    """Operators and admins stop anything, who answers for an agent what is its. Raises `NotPermitted`."""
    if by.may("operator", "admin"):
        return
    bundle = wired.memory.bundle
    agent = None if bundle is None or subject == EVERYTHING else _agent(wired, bundle, *scope_of(subject))
    declared = None if bundle is None or agent is None else bundle.agents.get(agent)
    if declared is None or not ownership.may_stop(
        by.name, by.roles, Owners(owner=declared.owner, backup=declared.backup)
    ):
        raise NotPermitted(
            f"{by.name} may not stop or resume this.",
            hint="It needs the role operator or admin; the owner of an agent may stop what is its.",
        )


def _agent(wired: Wired, bundle: Bundle, scope: KillScope, name: str) -> str | None:
    if scope is KillScope.AGENT:
        return name
    found = bundle.workflows.get(_workflow(wired, scope, name))
    return None if found is None else found.document.agent


routes = [
    Route("/api/v1/kills", listing, methods=["GET"]),
    Route("/api/v1/kills", press, methods=["POST"]),
    Route("/api/v1/kills/{kill}", show, methods=["GET"]),
    Route("/api/v1/kills/{kill}/resume", resuming, methods=["POST"]),
]
