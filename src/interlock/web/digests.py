"""Daily digests over HTTP: what ran without asking a person first, and what its owner says to it (F1)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.action import ActionState
from interlock.core.model import Json
from interlock.errors import NotPermitted
from interlock.services.compensate import Compensate
from interlock.services.digest import Digests, may_review
from interlock.store import digests, trials
from interlock.store.digests import Digest
from interlock.store.trials import Mark, Trial
from interlock.web.auth import in_their_own_name, person_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

_REVIEWERS = ("agent_owner", "admin")


class MarkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an item is, why, and whether what it did was severe."""

    mark: Literal["fine", "reverse", "needs_rule"]
    reason: str = ""
    severe: bool = False


class NoBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing more is said."""


async def listing(request: Request) -> Response:
    """List digests, newest first; of `owner` alone where one is named."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    page, environment = page_of(request), wired.settings.environment
    owner = request.query_params.get("owner", "")
    found = await wired.store.read(
        lambda connection: digests.listed(
            connection, environment, owner=owner, before=page.before, limit=page.rows
        )
    )
    kept, following = page.cut(found, lambda each: each.id)
    return list_response((_shown(each) for each in kept), following)


async def show(request: Request) -> Response:
    """Show one digest with all its items, and whether who asks may say something to them."""
    by = await person_of(request)
    wired: Wired = request.app.state.wired
    digest = await _digest(request)
    found = await wired.store.read(lambda connection: trials.items(connection, digest.id))
    now = wired.store.now()
    items = [_item(*each, now=now) for each in found]
    yours = may_review(wired.memory.bundle, by, digest.owner)
    return json_response({**_shown(digest), "yours": yours, "calls": items})


async def opening(request: Request) -> Response:
    """Note that somebody who answers for a digest has it before their eyes: its trials can count then."""
    by = await person_of(request)
    await read_body(request, NoBody)
    wired: Wired = request.app.state.wired
    digest = await _digest(request)
    in_their_own_name(by, *_REVIEWERS)
    if not may_review(wired.memory.bundle, by, digest.owner):
        raise NotPermitted(f"{by.name} does not answer for this digest.", hint=f"{digest.owner} does.")
    await _digests(wired).opened(digest.id, by.name)
    return json_response(_shown(await _digest(request)))


async def marking(request: Request) -> Response:
    """Say that an item is fine, is to be reversed, or needs a rule. A reversal begins in this very call."""
    by = await person_of(request)
    body = await read_body(request, MarkBody)
    wired: Wired = request.app.state.wired
    name, mark, use = request.path_params["action"], Mark(body.mark), _digests(wired)
    await use.find(name, by=by)
    in_their_own_name(by, *_REVIEWERS)
    if mark is Mark.REVERSE:
        compensate = Compensate(store=wired.store, memory=wired.memory)
        await compensate.action(name, person=by.name, reason=body.reason)
    item = await use.mark(name, mark, by=by, reason=body.reason, severe=body.severe)
    found = await wired.store.read(lambda connection: trials.items(connection, item.digest or ""))
    now = wired.store.now()
    return json_response(next(_item(*each, now=now) for each in found if each[0].action == name))


def _digests(wired: Wired) -> Digests:
    return Digests(store=wired.store, memory=wired.memory)


async def _digest(request: Request) -> Digest:
    wired: Wired = request.app.state.wired
    environment, name = wired.settings.environment, request.path_params["digest"]
    return await wired.store.read(lambda connection: digests.get(connection, environment, name))


def _shown(digest: Digest) -> dict[str, Json]:
    return asdict(digest)


def _item(trial: Trial, stands: ActionState, undo_until: int, *, now: int) -> dict[str, Json]:
    """Return an item; it can be objected to until `until`, and undone until `undo_until` where one is set."""
    reversible = stands is ActionState.SUCCEEDED and trial.matures_at > now
    return {
        "action": trial.action,
        "workflow": trial.workflow,
        "tool": trial.tool,
        "run": trial.run,
        "why": trial.look.value,
        "state": stands.value,
        "mark": trial.mark.value if trial.mark else None,
        "marked_by": trial.marked_by,
        "reason": trial.reason or None,
        "until": trial.matures_at,
        "undo_until": undo_until or None,
        "reversible": reversible and not (undo_until and undo_until <= now),
    }


routes = [
    Route("/api/v1/digests", listing, methods=["GET"]),
    Route("/api/v1/digests/{digest}", show, methods=["GET"]),
    Route("/api/v1/digests/{digest}/opened", opening, methods=["POST"]),
    Route("/api/v1/digests/items/{action}/mark", marking, methods=["POST"]),
]
