"""The least an aiohttp pass-through can be: no identity, no budget, no record; bytes go through unread."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

_NOT_PASSED = {"host", "content-length", "transfer-encoding", "connection"}


async def serve(port: int, upstream: str) -> None:
    """Pass every request on to `upstream` until killed."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            headers = {
                name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED
            }
            async with session.post(upstream + request.path, data=body, headers=headers) as answer:
                kept = {
                    name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED
                }
                if answer.content_length is not None:
                    return web.Response(status=answer.status, body=await answer.read(), headers=kept)
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response

        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
