"""An agent that deletes two files."""

import asyncio
import os

from mcp import Client


async def main() -> None:
    async with Client(os.environ["MCP_SERVER_URL"]) as client:
        for name in ("old.txt", "older.txt"):
            await client.call_tool("trash", {"name": name})
            print(f"{name} is in the bin")


asyncio.run(main())
