"""How a call ended, said exactly: nothing left this process, a definite answer, or unknown.

What a tool server's result says in our name is taken out of it, and what we have to say is put in.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.model import Json
from interlock.errors import InterlockError, UpstreamRefused, UpstreamUnavailable
from interlock.upstream.executor import Dispatch, Failed, InputNeeded, NotSent, Outcome, Succeeded, Unknown
from interlock.upstream.mcp.connection import Connection
from interlock.upstream.mcp.http import exchange_failed
from interlock.upstream.mcp.wire import NotProtocol

ERROR_META = "interlock/error"
"""Where the payload of a failed call keeps the tool server's own JSON-RPC error, to be passed on as it is."""

LOST_META = "interlock/session_lost"
"""Where a result says that the run's session with the tool server is a new one, and why the old one ended."""

_TEXT = 500
_UNANSWERED = {types.REQUEST_TIMEOUT, types.CONNECTION_CLOSED}


class ServerError(UpstreamRefused):
    """The tool server's own JSON-RPC error, kept so that it can be passed on as it is."""

    def __init__(self, error: MCPError, message: str) -> None:
        super().__init__(message)
        self.error = error


async def ending(work: Awaitable[dict[str, Json]], connection: Connection, dispatch: Dispatch) -> Outcome:
    """Turn the way a call ended into the outcome it is."""
    server = dispatch.server
    try:
        result = await work
    except UpstreamUnavailable as error:
        return NotSent(message=str(error))
    except NotProtocol as error:
        return Unknown(message=f"{error.message} It may have taken effect.")
    except InterlockError as error:
        return Failed(message=error.message)
    except MCPError as error:
        return _broken_off(server, error, dispatch.timeout, connection.reason)
    if result.get("resultType") == "input_required":
        return InputNeeded(payload=result)
    meta = result.get("_meta")
    if isinstance(meta, dict):
        for ours in (types.SERVER_INFO_META_KEY, ERROR_META, LOST_META):
            cast("dict[str, Json]", meta).pop(ours, None)
    if result.get("isError") is True:
        return Failed(message=f"The tool server {server!r} reports an error.", payload=result)
    return Succeeded(payload=result)


def tell_loss(connection: Connection, result: dict[str, Json]) -> None:
    """Say once, in the first result of a new session, that what the server kept for the old one is gone."""
    reason, connection.lost = connection.lost, ""
    if reason:
        said = {"server": connection.server, "reason": reason}
        result["_meta"] = {**(result.get("_meta") or {}), LOST_META: said}


def unanswered(server: str, timeout: float) -> Unknown:
    """Return the outcome of a call that was given up after `timeout` seconds."""
    return Unknown(
        message=f"The tool server {server!r} did not answer within {timeout:g} s. It was asked to "
        "cancel; the call may have taken effect."
    )


def refused(server: str, error: MCPError) -> InterlockError:
    """Turn the error that answered a request into ours."""
    outcome = _broken_off(server, error, 0)
    if isinstance(outcome, NotSent):
        return UpstreamUnavailable(outcome.message)
    if isinstance(outcome, Unknown):
        return UpstreamUnavailable(f"The tool server {server!r} did not answer.")
    return ServerError(error, outcome.message if isinstance(outcome, Failed) else "")


def _broken_off(server: str, error: MCPError, timeout: float, reason: str = "") -> Outcome:
    failed = exchange_failed(error.error.data, error.error.message)
    if failed is not None and not failed.sent:
        return NotSent(message=f"The tool server {server!r} {failed.message}; nothing was sent.")
    if failed is not None:
        return Unknown(
            message=f"The tool server {server!r} {failed.message}; the call may have taken effect."
        )
    if error.error.code == types.REQUEST_TIMEOUT:
        return unanswered(server, timeout)
    if error.error.code in _UNANSWERED:
        return Unknown(
            message=f"The tool server {server!r} was lost during the call ({reason or 'it closed'}); the "
            "call may have taken effect."
        )
    message = f"The tool server {server!r} refused the call: {error.error.message[:_TEXT]}"
    own = {"code": error.error.code, "message": error.error.message[:_TEXT], "data": error.error.data}
    return Failed(
        message=message,
        payload={
            "content": [{"type": "text", "text": message}],
            "isError": True,
            "_meta": {ERROR_META: own},
        },
    )
