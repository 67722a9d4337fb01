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
from interlock.upstream.mcp.flight import answer_now, unsupported

_ROUNDS = 10
KEY_META = "interlock/idempotencyKey"
"""In the `_meta` of a call: the key by which an idempotent or probeable tool knows it again."""

_TRACE = frozenset({"traceparent", "tracestate", "baggage"})


async def converse(connection: Connection, dispatch: Dispatch, bridge: Bridge | None) -> dict[str, Json]:
    """Send the call; while a modern server asks and the caller can be asked, ask and send again."""
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
    for _ in range(_ROUNDS):
        result = await send(connection, "tools/call", params, bridge, dispatch.timeout)
        if result.get("resultType") != "input_required":
            return result
        requests = cast("Mapping[str, Any]", result.get("inputRequests") or {})
        if (method := unsupported(bridge, requests)) is not None:
            raise UpstreamRefused(
                f"The tool asks for {method}, which the caller or its workflow does not offer."
            )
        if bridge is None or not bridge.can_be_asked:
            return result
        params["inputResponses"] = {
            key: await answer_now(bridge, each["method"], each.get("params") or {})
            for key, each in requests.items()
        }
        params.pop("requestState", None)
        if "requestState" in result:
            params["requestState"] = result["requestState"]
    raise UpstreamRefused(f"The tool asked for input more than {_ROUNDS} times.")


async def send(
    connection: Connection,
    method: str,
    params: Mapping[str, Json],
    bridge: Bridge | None,
    timeout: float,
) -> dict[str, Json]:
    """Send one request with what `bridge` says of the caller. Raises as `Connection.request` does."""
    if bridge is None:
        return await connection.request(method, params, timeout=timeout)
    return await connection.request(
        method,
        {"_meta": bridge.meta, **params},
        timeout=timeout,
        capabilities=bridge.capabilities,
        log_level=bridge.log_level,
        on_progress=bridge.progress if bridge.wants_progress else None,
    )
