"""The audit log over HTTP: list, export (streamed), verify, take a checkpoint, public keys."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from interlock.errors import UsageError
from interlock.services.checkpoint import checkpoint
from interlock.services.export_audit import export_audit
from interlock.services.verify_audit import verify_connection
from interlock.store import audit, exports
from interlock.store.audit_pages import Earlier, Place, cursor, place_of
from interlock.web.auth import person_of
from interlock.web.errors import json_response
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired

_READERS = ("auditor", "admin", "operator")
_MOST = 1_000
_NAMES = ("run", "agent", "workflow", "tool", "action", "person", "kind")


async def list_audit(request: Request) -> Response:
    """The newest entries that match, newest first. Filters: the fields' names, `since`, `until`."""
    wired = await _wired(request)
    page = page_of(request, most=_MOST)
    which = _filter(request, place=place_of(page.before))
    found = await wired.store.read(lambda connection: audit.newest(connection, which, page.rows))
    kept, following = page.cut(found, cursor)
    return list_response(map(exports.as_object, kept), following)


async def export(request: Request) -> Response:
    """The log as `format=jsonl` or `cloudevents`, with the filters of the list."""
    wired = await _wired(request)
    form = request.query_params.get("format", "jsonl")
    if form not in exports.FORMATS:
        raise UsageError(f"There is no export format {form!r}.", hint=f"One of {', '.join(exports.FORMATS)}.")
    pieces = export_audit(
        wired.store, wired.settings, which=_filter(request), form=form, now=wired.runtime.clock.now()
    )
    media = "application/x-ndjson" if form == "jsonl" else "application/cloudevents+json-seq"
    return StreamingResponse(pieces, media_type=media)


async def verify(request: Request) -> Response:
    """Verify the whole log where it lies."""
    wired = await _wired(request)
    report = await wired.store.read(lambda connection: verify_connection(connection, wired.settings))
    return json_response(report)


async def take_checkpoint(request: Request) -> Response:
    """Sign where every chain stands now."""
    person = await person_of(request, *_READERS)
    wired: Wired = request.app.state.wired
    taken = await checkpoint(wired.store, wired.settings, person=person.name)
    where = str(wired.settings.checkpoint_directory)
    return json_response(
        {"checkpoint": msgspec.to_builtins(taken), "directory": where}, 201 if taken else 200
    )


async def _wired(request: Request) -> Wired:
    await person_of(request, *_READERS)
    wired: Wired = request.app.state.wired
    return wired


def _filter(request: Request, *, place: Place | None = None) -> Earlier:
    given = request.query_params
    return Earlier(
        place=place,
        **{name: given.get(name, "") for name in _NAMES},
        since=_moment(given.get("since", ""), "since"),
        until=_moment(given.get("until", ""), "until"),
    )


def _moment(text: str, name: str) -> int:
    """Read microseconds since the epoch, or an ISO 8601 time (UTC unless it says otherwise)."""
    if text.isdecimal() and len(text) > 8:
        return int(text)
    try:
        moment = datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
    except ValueError:
        raise UsageError(
            f"{name} is not a time: {text[:40]!r}.", hint="Write it as 2026-11-22 or 2026-11-22T15:00:00Z."
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


routes = [
    Route("/api/v1/audit", list_audit, methods=["GET"]),
    Route("/api/v1/audit/export", export, methods=["GET"]),
    Route("/api/v1/audit/verify", verify, methods=["GET"]),
    Route("/api/v1/audit/checkpoints", take_checkpoint, methods=["POST"]),
]
