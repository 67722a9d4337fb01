"""The MCP gateway of one process, opened when there are tools, and what stands in where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from interlock.gateway.health import answer
from interlock.wiring import Wired

if TYPE_CHECKING:
    from interlock.gateway.mcp.front import McpGateway

Send = Callable[[Any], Awaitable[None]]
_UNAVAILABLE = -32000
_NO_ENGINE = (
    "This process serves model calls only; tool calls are served by the process that has the roles gateway "
    "and worker together."
)


class ToolGateway:
    """The MCP gateway, opened once: in advance where there are tools, or by the first request for it."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._opening = asyncio.Lock()
        self._gateway: McpGateway | None = None

    async def open_for_tools(self) -> None:
        """Open it if tool servers are declared, and if not, as soon as they are."""
        if self._has_tools():
            await self.open()
        else:
            self._wired.memory.on_bundle.append(self._bundle_changed)

    async def open(self) -> McpGateway:
        """Open it, if it is not open yet."""
        async with self._opening:
            if self._gateway is None:
                gateway = (await asyncio.to_thread(_load_gateway))(self._wired)
                await gateway.start()
                self._gateway = gateway
        return self._gateway

    async def close(self) -> None:
        """Close it, if it was opened."""
        async with self._opening:
            if self._gateway is not None:
                await self._gateway.close()

    def _bundle_changed(self) -> None:
        if self._gateway is None and self._has_tools():
            self._wired.runtime.scheduler.spawn(self.open(), name="open the MCP gateway")

    def _has_tools(self) -> bool:
        bundle = self._wired.memory.bundle
        return bundle is not None and bool(bundle.servers)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Serve one HTTP request."""
        if problem := self._wired.follow.problem:
            return await unavailable(send, problem)
        gateway = self._gateway or await self.open()
        return await gateway(scope, receive, send)


async def no_tools(_scope: Any, _receive: Any, send: Send) -> None:
    """Say where tool calls are served."""
    await unavailable(send, _NO_ENGINE)


async def unavailable(send: Send, message: str) -> None:
    """Refuse for now, as JSON-RPC has it."""
    error = {"code": _UNAVAILABLE, "message": message}
    await answer(send, 503, {"jsonrpc": "2.0", "id": None, "error": error}, (b"retry-after", b"2"))


def _load_gateway() -> type[McpGateway]:
    """Load what speaks MCP: it takes half a second, in which model calls go on where this is a thread."""
    from interlock.gateway.mcp.front import McpGateway

    return McpGateway
