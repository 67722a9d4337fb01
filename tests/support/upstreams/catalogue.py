"""A tool server over stdio with many tools; each answers with its own name and its arguments' digest.

`python catalogue.py NAME...` offers the named tools; `--many N` offers N generated ones, a page at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

_PAGE = 100


def server(names: list[str]) -> Server[Any]:
    tools = [
        types.Tool(name=each, description=f"The tool {each}.", input_schema={"type": "object"})
        for each in names
    ]

    async def list_tools(_ctx: Any, params: Any) -> types.ListToolsResult:
        start = int(params.cursor) if params and params.cursor else 0
        more = str(start + _PAGE) if start + _PAGE < len(tools) else None
        return types.ListToolsResult(tools=tools[start : start + _PAGE], next_cursor=more)

    async def call_tool(_ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        said = f"{params.name} {answer(params.arguments or {})}"
        return types.CallToolResult(content=[types.TextContent(type="text", text=said)])

    return Server("catalogue", version="1", on_list_tools=list_tools, on_call_tool=call_tool)


def answer(arguments: dict[str, Any]) -> str:
    """Return what a call with `arguments` is answered."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()


async def main(names: list[str]) -> None:
    app = server(names)
    async with stdio_server() as (read, write):
        await app.run(read, write, app.create_initialization_options())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    asyncio.run(main([*options.names, *(f"tool_{each:04}" for each in range(options.many))]))
