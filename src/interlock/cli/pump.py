"""Messages between stdio and the gateway's HTTP, as they come, in both protocol eras.

HTTP wants in headers what stdio has in the message alone: version, method, name, and the arguments that a
tool's schema marks. They are read from what passes by.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import anyio
import httpx2
from mcp.server.stdio import stdio_server
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp.shared.message import SessionMessage
from mcp_types import (
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from interlock.cli.exchange import Exchange
from interlock.cli.session import RunSession
from interlock.sdk.endpoint import Endpoint

_JOINED = "notifications/initialized"
_GRACE = 1.0


class _RunToken(httpx2.Auth):
    """Presents the newest token of the run."""

    def __init__(self, session: RunSession) -> None:
        self._session = session

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._session.token}"
        yield request


class _Headers:
    """What HTTP is told of each message."""

    def __init__(self) -> None:
        self._version = ""
        self._asked: dict[str | int, str] = {}
        self._declared: dict[str, dict[tuple[str, ...], str]] = {}

    def of(self, message: JSONRPCMessage) -> dict[str, str]:
        """Return the headers of a message on its way to the gateway."""
        if not isinstance(message, JSONRPCRequest):
            return {MCP_PROTOCOL_VERSION_HEADER: self._version} if self._version else {}
        if message.method in ("initialize", "tools/list"):
            self._asked[message.id] = message.method
        params = message.params or {}
        version = cast("dict[str, Any]", params.get("_meta") or {}).get(PROTOCOL_VERSION_META_KEY)
        if not isinstance(version, str):
            return {MCP_PROTOCOL_VERSION_HEADER: self._version} if self._version else {}
        return self._modern(message.method, params, version)

    def learn(self, message: JSONRPCMessage) -> None:
        """Take note of what the gateway answers: the version agreed on, and which arguments are marked."""
        if not isinstance(message, JSONRPCResponse):
            return
        asked = self._asked.pop(message.id, "")
        if asked == "initialize":
            self._version = str(message.result.get("protocolVersion", ""))
        elif asked == "tools/list":
            tools = cast("list[dict[str, Any]]", message.result.get("tools") or [])
            self._declared.update(
                (str(tool.get("name")), x_mcp_header_map(tool.get("inputSchema"))) for tool in tools
            )

    def _modern(self, method: str, params: dict[str, Any], version: str) -> dict[str, str]:
        headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
        key = "taskId" if method.startswith("tasks/") else NAME_BEARING_METHODS.get(method, "")
        name = params.get(key)
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
            arguments = params.get("arguments")
            if method == "tools/call" and isinstance(arguments, dict) and name in self._declared:
                headers.update(mcp_param_headers(self._declared[name], cast("dict[str, Any]", arguments)))
        return headers


async def pump(place: Endpoint, session: RunSession) -> None:
    """Pass messages both ways until the client closes its end."""
    headers = _Headers()
    timeout = httpx2.Timeout(None, connect=30.0)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    async with (
        httpx2.AsyncClient(
            transport=place.async_transport(), auth=_RunToken(session), timeout=timeout, limits=limits
        ) as http,
        stdio_server() as (from_client, to_client),
        from_client,
        to_client,
        anyio.create_task_group() as group,
    ):

        async def down(message: JSONRPCMessage) -> None:
            headers.learn(message)
            await to_client.send(SessionMessage(message))

        exchange = Exchange(http, f"{place.base_url}/mcp", down)
        async for item in from_client:
            if isinstance(item, Exception):
                error = ErrorData(code=PARSE_ERROR, message="This line is not a JSON-RPC message.")
                await down(JSONRPCError(jsonrpc="2.0", id=None, error=error))
                continue
            said = headers.of(item.message)
            if isinstance(item.message, JSONRPCRequest):
                group.start_soon(exchange.request, item.message, said)
                continue
            await exchange.tell(item.message, said)
            if isinstance(item.message, JSONRPCNotification) and item.message.method == _JOINED:
                group.start_soon(exchange.listen, said)
        with anyio.move_on_after(_GRACE):
            await exchange.settle()
        await exchange.end()
        group.cancel_scope.cancel()
