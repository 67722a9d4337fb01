"""The least an SDK proxy can be: one pooled client, a schema hook, no filter, no identity, no record."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

from mcp import Client


def proxy(upstream: str) -> Server[Any]:
    """Return a server that passes tool calls on to `upstream`."""
    schemas: dict[str, Any] = {}

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[Client]:
        async with Client(upstream) as client:
            schemas.update({tool.name: tool.input_schema for tool in (await client.list_tools()).tools})
            yield client

    async def list_tools(ctx: Any, _: Any) -> types.ListToolsResult:
        return await ctx.lifespan_context.list_tools()

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await ctx.lifespan_context.call_tool(params.name, params.arguments)

    return Server(
        "bare",
        lifespan=lifespan,
        get_tool_input_schema=schemas.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("upstream")
    options = parser.parse_args()
    uvicorn.run(
        proxy(options.upstream).streamable_http_app(), host="127.0.0.1", port=options.port, log_level="error"
    )
