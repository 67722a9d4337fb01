"""An agent that sends one mail."""

import asyncio
import os

from mcp import Client


async def main() -> None:
    async with Client(os.environ["MCP_SERVER_URL"]) as client:
        answer = await client.call_tool("send", {"to": "kim@example.com", "text": "Everything is new."})
        print(answer.content[0].text)


asyncio.run(main())
