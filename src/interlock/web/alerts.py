"""Alerts over HTTP: what was raised, who was told and how that went, and the entries they rest on (G1)."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.alert import AlertKind
from interlock.core.model import Json
from interlock.core.recipient import WEBHOOK
from interlock.store import alert_events, deliveries, runbooks
from interlock.store.deliveries import Delivery, DeliveryState
from interlock.web.auth import person_of
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired


async def listing(request: Request) -> Response:
    """List what was raised, newest first."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    page, kind = page_of(request), one_of(request, "kind", AlertKind)
    found = await wired.store.read(
        lambda connection: alert_events.listed(
            connection, wired.settings.environment, kind=kind, before=page.before, limit=page.rows
        )
    )
    shown, following = page.cut(found, lambda event: event.id)
    return list_response([asdict(each) for each in shown], following)


async def show(request: Request) -> Response:
    """Show one event: the entry that says what to do, and every attempt to tell somebody."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    name, environment = request.path_params["event"], wired.settings.environment
    event = await wired.store.read(lambda connection: alert_events.get(connection, name))
    alert = await wired.store.read(lambda connection: runbooks.get(connection, event.alert))
    told = await wired.store.read(
        lambda connection: deliveries.listed(connection, environment, event=name, limit=500)
    )
    log = await wired.store.read(
        lambda connection: deliveries.attempts_of(connection, [each.id for each in told])
    )
    shown = [{**delivery_shown(each), "log": [asdict(attempt) for attempt in log[each.id]]} for each in told]
    return json_response({**asdict(event), "rule": asdict(alert), "deliveries": shown})


async def rules(request: Request) -> Response:
    """List every alert there is with its own entry, and the runbook it rests on."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    found = await wired.store.read(lambda connection: runbooks.listed(connection, wired.settings.environment))
    return list_response(asdict(each) for each in found)


async def outbox(request: Request) -> Response:
    """List deliveries, newest first: who was told, who is still to be told, who could not be."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    page, state = page_of(request), one_of(request, "state", DeliveryState)
    event = request.query_params.get("event", "")
    found = await wired.store.read(
        lambda connection: deliveries.listed(
            connection,
            wired.settings.environment,
            event=event,
            state=state,
            before=page.before,
            limit=page.rows,
        )
    )
    shown, following = page.cut(found, lambda delivery: delivery.id)
    return list_response(map(delivery_shown, shown), following)


def delivery_shown(delivery: Delivery) -> dict[str, Json]:
    """Return a delivery as JSON. The path of a webhook may be a secret: only its host is shown."""
    target = delivery.target
    if delivery.channel == WEBHOOK:
        target = f"{urlsplit(target).scheme}://{urlsplit(target).hostname or ''}/…"
    return {
        "id": delivery.id,
        "event": delivery.event,
        "name": delivery.name,
        "channel": delivery.channel,
        "target": target,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "problem": delivery.problem,
        "created_at": delivery.created_at,
        "due_at": delivery.due_at,
        "ended_at": delivery.ended_at,
    }


routes = [
    Route("/api/v1/alerts", listing, methods=["GET"]),
    Route("/api/v1/alerts/rules", rules, methods=["GET"]),
    Route("/api/v1/alerts/deliveries", outbox, methods=["GET"]),
    Route("/api/v1/alerts/{event}", show, methods=["GET"]),
]
