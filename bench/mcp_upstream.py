"""The tool server that the MCP benchmark calls: one read-only tool, streamable HTTP, both protocol eras."""

from __future__ import annotations

import argparse
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

SCHEMA = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
TOOL = types.Tool(name="lookup", description="Look one record up by its key.", input_schema=SCHEMA)


async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[TOOL])


async def call_tool(_ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    text = f"record {(params.arguments or {}).get('key')}: open, 3 items, last change 2026-10-02"
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    server = Server(
        "records",
        get_tool_input_schema=lambda name: SCHEMA if name == "lookup" else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    uvicorn.run(
        server.streamable_http_app(), host="127.0.0.1", port=parser.parse_args().port, log_level="error"
    )
