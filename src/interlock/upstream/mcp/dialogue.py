"""One call as it is sent: with what its caller says beside the arguments, and asked back as often as needed.

A modern server asks by ending the call with questions; while the caller can be asked, it is asked here and
the call is sent again with the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from interlock.core.model import Json
from interlock.errors import UpstreamRefused
from interlock.upstream.executor import Bridge, Dispatch
from interlock.upstream.mcp.connection import Connection
from interlock.upstream.mcp.flight import ELICIT, answer_now, misplaced, offered, unsupported

_ROUNDS = 10
KEY_META = "interlock/idempotencyKey"
"""In the `_meta` of a call: the key by which an idempotent or probeable tool knows it again."""

_TRACE = frozenset({"traceparent", "tracestate", "baggage"})


async def converse(
    connection: Connection, dispatch: Dispatch, bridge: Bridge | None, *, timeout: float | None
) -> dict[str, Json]:
    """Send the call; while a modern server asks and the caller can be asked, ask and send again.

    `timeout` is in seconds; None where the wait for answers is not to count, and somebody else sees to it.
    """
    may_ask = offered(bridge, people=dispatch.people)
    params = _params(dispatch, bridge)
    for _ in range(_ROUNDS):
        result = await send(connection, "tools/call", params, bridge, timeout, may_ask)
        if result.get("resultType") != "input_required":
            return result
        requests = cast("Mapping[str, Any]", result.get("inputRequests") or {})
        if (method := unsupported(may_ask, requests)) is not None:
            raise UpstreamRefused(
                f"The tool asks for {method}, which the caller or its workflow does not offer."
            )
        if dispatch.people and (why := misplaced(requests)) is not None:
            raise UpstreamRefused(why)
        if bridge is None or not bridge.can_be_asked or _for_people(dispatch, requests):
            return result
        params["inputResponses"] = {
            key: await answer_now(bridge, each["method"], each.get("params") or {})
            for key, each in requests.items()
        }
        params.pop("requestState", None)
        if "requestState" in result:
            params["requestState"] = result["requestState"]
    raise UpstreamRefused(f"The tool asked for input more than {_ROUNDS} times.")


def _params(dispatch: Dispatch, bridge: Bridge | None) -> dict[str, Json]:
    """Return the call as it is sent first."""
    params: dict[str, Json] = {"name": dispatch.tool, "arguments": dict(dispatch.arguments)}
    if bridge is not None and dispatch.approved:
        params["_meta"] = {key: value for key, value in bridge.meta.items() if key in _TRACE}
    if dispatch.idempotency_key:
        said = params.get("_meta", {} if bridge is None else bridge.meta)
        params["_meta"] = {**cast("Mapping[str, Json]", said), KEY_META: dispatch.idempotency_key}
    if dispatch.request_state:
        params["requestState"] = dispatch.request_state
    if dispatch.input_responses is not None:
        params["inputResponses"] = dict(dispatch.input_responses)
    return params


def _for_people(dispatch: Dispatch, requests: Mapping[str, Any]) -> bool:
    return dispatch.people and any(each["method"] == ELICIT for each in requests.values())


async def send(
    connection: Connection,
    method: str,
    params: Mapping[str, Json],
    bridge: Bridge | None,
    timeout: float | None,
    may_ask: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    """Send one request with what `bridge` says of the caller. Raises as `Connection.request` does.

    `may_ask` is what the server may ask for during it; without it, what the caller offers.
    """
    if bridge is None:
        return await connection.request(method, params, timeout=timeout, capabilities=may_ask)
    return await connection.request(
        method,
        {"_meta": bridge.meta, **params},
        timeout=timeout,
        capabilities=bridge.capabilities if may_ask is None else may_ask,
        log_level=bridge.log_level,
        on_progress=bridge.progress if bridge.wants_progress else None,
    )
