"""How an error of ours looks over HTTP: one JSON shape, a status by the kind of error.

The body is `{"error": {"code", "message", "hint"}}`; `code` is stable, the sentences are for people.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from interlock import errors
from interlock.web.refused_act import record

_STATUS: tuple[tuple[type[errors.InterlockError], int], ...] = (
    (errors.TokenInvalid, 401),
    (errors.NotPermitted, 403),
    (errors.NotFound, 404),
    (errors.StateConflict, 409),
    (errors.SnapshotMoved, 409),
    (errors.ManifestError, 422),
    (errors.UsageError, 400),
    (errors.StoreError, 503),
    (errors.UpstreamError, 502),
)
_OURS = 500
"""From this status on it is not the person who is refused."""


def status_of(error: errors.InterlockError) -> int:
    """Return the HTTP status for an error: the first kind in the list that it is."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_body(error: errors.InterlockError) -> dict[str, Any]:
    """Return the JSON body for an error; a manifest's problems are listed in it."""
    body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, errors.ManifestError):
        body["problems"] = [msgspec.to_builtins(problem) for problem in error.problems]
    return {"error": body}


def json_response(data: Any, status: int = 200) -> Response:
    """Return `data` as JSON."""
    return Response(msgspec.json.encode(data), status_code=status, media_type="application/json")


async def on_interlock_error(request: Request, error: Exception) -> Response:
    """Answer an error of ours. What a person wanted to do and was refused is on record by then."""
    assert isinstance(error, errors.InterlockError)
    status = status_of(error)
    if status < _OURS and not error.on_record:
        await record(request, error)
    response = json_response(error_body(error), status)
    if isinstance(error, errors.TokenInvalid):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def on_http_error(_request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses (no such path, wrong method) in the same shape."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return json_response(
        {"error": {"code": code, "message": str(error.detail), "hint": "See /api/v1 for what there is."}},
        error.status_code,
    )


def on_malformed_body(_request: Request, error: Exception) -> Response:
    """Answer a body that is not the JSON the route expects."""
    return json_response(
        {"error": {"code": "usage", "message": f"The request body cannot be read: {error}.", "hint": ""}}, 400
    )
