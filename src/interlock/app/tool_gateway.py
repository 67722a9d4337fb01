"""What a process serves of tools, opened when there are any: the MCP gateway, and the calls of programs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

from interlock.app.clock import sweep_job
from interlock.gateway.health import answer
from interlock.listen import Asgi
from interlock.wiring import Wired, WiredModels
from interlock.worker.jobs import start as start_jobs

if TYPE_CHECKING:
    from interlock.gateway.mcp.front import McpGateway

Send = Callable[[Any], Awaitable[None]]
Opener = Callable[[AsyncExitStack], Awaitable[Asgi]]
_UNAVAILABLE = -32000
_PROGRAM_PATHS = ("/api/v1/actions", "/api/v1/functions/")


class ToolGateway:
    """Opened once, by `opener`: in advance where there are tools, or by the first request for it."""

    def __init__(self, wired: WiredModels, opener: Opener) -> None:
        self._wired = wired
        self._opener = opener
        self._opening = asyncio.Lock()
        self._closing = AsyncExitStack()
        self._app: Asgi | None = None

    async def open_for_tools(self) -> None:
        """Open it if tool servers are declared, and if not, as soon as they are."""
        if self._has_tools():
            await self.open()
        else:
            self._wired.memory.on_bundle.append(self._bundle_changed)

    async def open(self) -> Asgi:
        """Open it, if it is not open yet."""
        async with self._opening:
            if self._app is None:
                self._app = await self._opener(self._closing)
        return self._app

    async def close(self) -> None:
        """Close what was opened."""
        async with self._opening:
            await self._closing.aclose()

    def _bundle_changed(self) -> None:
        if self._app is None and self._has_tools():
            self._wired.runtime.scheduler.spawn(self.open(), name="open the MCP gateway")

    def _has_tools(self) -> bool:
        bundle = self._wired.memory.bundle
        return bundle is not None and bool(bundle.servers)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Serve one HTTP request."""
        if problem := self._wired.follow.problem:
            error = {"code": _UNAVAILABLE, "message": problem}
            body = {"jsonrpc": "2.0", "id": None, "error": error}
            return await answer(send, 503, body, (b"retry-after", b"2"))
        app = self._app or await self.open()
        return await app(scope, receive, send)


async def open_mcp(wired: Wired, closing: AsyncExitStack) -> Asgi:
    """Open the MCP gateway of a process whose engine runs."""
    gateway = (await asyncio.to_thread(_load_gateway))(wired)
    await gateway.start()
    closing.push_async_callback(gateway.close)
    return gateway


async def open_tools(wired: WiredModels, closing: AsyncExitStack) -> Asgi:
    """Open all that a gateway needs for tools beside model calls: servers, engine, MCP, calls of programs."""
    await asyncio.to_thread(_load_tools)
    from interlock.app.tools import with_tools

    whole = with_tools(wired)
    closing.push_async_callback(whole.servers.close)
    closing.push_async_callback(whole.calls.close)
    await whole.registrar.start()
    await whole.calls.start()
    closing.callback(start_jobs([sweep_job(whole)], whole.runtime))
    return await open_for_agents(whole, closing)


async def open_for_agents(wired: Wired, closing: AsyncExitStack) -> Asgi:
    """Open the MCP gateway, and beside it the calls of programs, for a process without the API."""
    from interlock.web.api import build_api

    programs, rest = build_api(wired, people=False), await open_mcp(wired, closing)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (programs if is_of_programs(scope) else rest)(scope, receive, send)

    return app


def is_of_programs(scope: Any) -> bool:
    """Whether a request is a program's: it proposes a call, or offers functions."""
    return scope.get("path", "").startswith(_PROGRAM_PATHS)


def _load_gateway() -> type[McpGateway]:
    """Load what speaks MCP: it takes half a second, in which model calls go on where this is a thread."""
    from interlock.gateway.mcp.front import McpGateway

    return McpGateway


def _load_tools() -> None:
    for name in ("interlock.app.tools", "interlock.web.api"):
        import_module(name)
