"""State reviews over HTTP: what a withdrawn version did, and a person's word on each action (E4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import ownership
from interlock.core.model import Json
from interlock.core.ownership import Owners
from interlock.core.rollback import Found
from interlock.errors import NotPermitted
from interlock.services.review_state import Reviewed, ReviewState
from interlock.store import agents, state_reviews
from interlock.store.state_reviews import StateReview
from interlock.web.auth import READERS, Person, person_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

_DECIDERS = ("approver", "agent_owner", "operator", "admin")
_PLAN = "interlock-rollback-plan+jwt"


class KeepBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which actions stand, and why."""

    actions: list[str]
    reason: str


class PlanBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which actions are to be undone."""

    actions: list[str]


class UndoBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plan that is confirmed by its hash, and why."""

    actions: list[str]
    plan: str
    reason: str


async def listing(request: Request) -> Response:
    """List reviews that are open, newest first; closed ones too with `state=all`."""
    await person_of(request, *READERS)
    wired: Wired = request.app.state.wired
    page, closed = page_of(request), request.query_params.get("state") == "all"
    found = await wired.store.read(
        lambda connection: state_reviews.listed(
            connection, wired.settings.environment, closed=closed, before=page.before, limit=page.rows
        )
    )
    kept, following = page.cut(found, lambda each: each.id)
    return list_response(map(asdict, kept), following)


async def show(request: Request) -> Response:
    """Show a review: each action with its mark, what was decided, what is left."""
    await person_of(request, *READERS)
    return json_response(_shown(await _use(request).show(request.path_params["review"])))


async def keep(request: Request) -> Response:
    """Let actions stand."""
    person, name = await _decider(request), request.path_params["review"]
    body = await read_body(request, KeepBody)
    done = await _use(request).keep(name, body.actions, person=person.name, reason=body.reason[:2_000])
    return json_response(_shown(done))


async def plan(request: Request) -> Response:
    """Say in which order these actions would be undone, under a hash to confirm."""
    await _decider(request)
    body = await read_body(request, PlanBody)
    return json_response(asdict(await _use(request).plan(request.path_params["review"], body.actions)))


async def undo(request: Request) -> Response:
    """Begin the undos of a confirmed plan."""
    person, name = await _decider(request), request.path_params["review"]
    body = await read_body(request, UndoBody)
    done = await _use(request).undo(
        name, body.actions, confirmed=body.plan, person=person.name, reason=body.reason[:2_000]
    )
    return json_response(_shown(done))


def _use(request: Request) -> ReviewState:
    wired: Wired = request.app.state.wired

    def sign(claims: Mapping[str, Json]) -> tuple[str, str]:
        return wired.keyring.sign(claims, typ=_PLAN), wired.keyring.current().kid

    return ReviewState(store=wired.store, memory=wired.memory, sign=sign)


async def _decider(request: Request) -> Person:
    """Return who may decide: the review's owner, and who may stop the workflow's agent."""
    person = await person_of(request, *_DECIDERS)
    wired: Wired = request.app.state.wired
    name = request.path_params["review"]
    review = await wired.store.read(lambda found: state_reviews.get(found, name))
    if person.name != review.owner and not await _may_stop(wired, person, review):
        raise NotPermitted(
            f"{person.name} does not answer for {review.workflow!r}.",
            hint=f"{review.owner} does, and operators.",
        )
    return person


async def _may_stop(wired: Wired, person: Person, review: StateReview) -> bool:
    bundle = wired.memory.bundle
    workflow = None if bundle is None else bundle.workflows.get(review.workflow)
    if workflow is None:
        return ownership.may_stop(person.name, person.roles, Owners(owner=review.owner))
    agent = await wired.store.read(lambda found: agents.get(found, workflow.document.agent))
    return ownership.may_stop(person.name, person.roles, Owners(owner=agent.owner, backup=agent.backup))


def _shown(known: Reviewed) -> dict[str, Json]:
    items = [_item(each, known) for each in known.found]
    left = {"left": list(known.left), "open_runs": list(known.open_runs)}
    return {**asdict(known.review), "actions": items, **left}


def _item(each: Found, known: Reviewed) -> dict[str, Json]:
    action, word = each.action, known.decisions.get(each.action.id)
    return {
        "action": action.id,
        "tool": action.tool,
        "run": action.run,
        "version": action.workflow_version,
        "state": action.state.value,
        "ended_at": action.ended_at or None,
        "mark": each.mark.value,
        "why": each.why,
        "touched_by": list(each.by),
        "decision": None if word is None else asdict(word),
    }


routes = [
    Route("/api/v1/state-reviews", listing, methods=["GET"]),
    Route("/api/v1/state-reviews/{review}", show, methods=["GET"]),
    Route("/api/v1/state-reviews/{review}/keep", keep, methods=["POST"]),
    Route("/api/v1/state-reviews/{review}/plan", plan, methods=["POST"]),
    Route("/api/v1/state-reviews/{review}/undo", undo, methods=["POST"]),
]
