"""An agent that pays two bills."""

import asyncio
import os

from mcp import Client


async def main() -> None:
    async with Client(os.environ["MCP_SERVER_URL"]) as client:
        for name, cents in (("kim", 1500), ("mallory", 990_000)):
            answer = await client.call_tool("transfer", {"to": name, "cents": cents})
            print(f"{name}: {answer.content[-1].text}")


asyncio.run(main())
