"""Outcomes of actions over HTTP: which programs were told of them, how that went, and telling one again."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.model import Json
from interlock.services.redeliver import Redeliver
from interlock.store import deliveries, outcomes
from interlock.store.deliveries import About, Attempt, Delivery, DeliveryState
from interlock.web.actions import may_steer
from interlock.web.alerts import delivery_shown
from interlock.web.auth import READERS, person_of
from interlock.web.body import ReasonBody, read_body
from interlock.web.choice import one_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired


async def outbox(request: Request) -> Response:
    """List what programs were told, newest first, each with every attempt."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    page, state = page_of(request), one_of(request, "state", DeliveryState)
    wanted = {"action": request.query_params.get("action", ""), "state": state}
    wanted["name"] = request.query_params.get("workflow", "")
    found = await wired.store.read(
        lambda connection: deliveries.listed(
            connection,
            wired.settings.environment,
            about=About.OUTCOME,
            before=page.before,
            limit=page.rows,
            **wanted,
        )
    )
    shown, following = page.cut(found, lambda delivery: delivery.id)
    log = await wired.store.read(
        lambda connection: deliveries.attempts_of(connection, [each.id for each in shown])
    )
    return list_response((_shown(each, log[each.id]) for each in shown), following)


async def again(request: Request) -> Response:
    """Have an outcome told again."""
    person = await person_of(request)
    wired: Wired = request.app.state.wired
    body, name = await read_body(request, ReasonBody), request.path_params["delivery"]
    told = await wired.store.read(
        lambda connection: outcomes.of(connection, deliveries.get(connection, name), url="")
    )
    await may_steer(wired, person, told.action.id)
    use = Redeliver(store=wired.store, memory=wired.memory)
    return json_response(_shown(await use(name, person=person.name, reason=body.reason), []), 202)


def _shown(delivery: Delivery, log: list[Attempt]) -> dict[str, Json]:
    shown = {**delivery_shown(delivery), "event": f"{delivery.action}.{delivery.move}"}
    shown["workflow"] = shown.pop("name")
    return {**shown, "action": delivery.action, "log": [asdict(attempt) for attempt in log]}


routes = [
    Route("/api/v1/actions/deliveries", outbox, methods=["GET"]),
    Route("/api/v1/actions/deliveries/{delivery}/again", again, methods=["POST"]),
]
