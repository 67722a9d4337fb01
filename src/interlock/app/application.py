"""The application of one process: its gateways, its API and what runs by the clock, started in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from interlock.app.compose import wire
from interlock.gateway.llm.front import LlmGateway
from interlock.listen import Asgi
from interlock.runtime import Runtime
from interlock.services.checkpoint import checkpoint
from interlock.services.expire_runs import EVERY, expire_runs
from interlock.settings import Settings
from interlock.web.api import build_api
from interlock.wiring import Wired
from interlock.worker.contexts import context_job
from interlock.worker.jobs import Job
from interlock.worker.jobs import start as start_jobs
from interlock.worker.notices import notice_jobs

if TYPE_CHECKING:
    from interlock.gateway.mcp.front import McpGateway

_SWEEP = 30.0
_MODEL_PATHS = "/v1/"
_METADATA = "/.well-known/oauth-protected-resource"


@asynccontextmanager
async def application(
    settings: Settings, runtime: Runtime | None = None, *, agents: bool = True
) -> AsyncGenerator[Asgi]:
    """Yield the running application: gateways, API and clock work, without a listener.

    Where `agents` are expected and tool servers are declared, the MCP gateway and the servers are started
    before the first call; elsewhere only if something needs them. A process that serves models alone never
    loads what speaks MCP: a quarter of its memory.
    """
    async with wire(settings, runtime) as wired:
        front, jobs = _Front(wired), _jobs(wired)
        if agents:
            await front.open_for_tools()
            wired.models.providers.open()
        await wired.registrar.start()
        if agents:
            await wired.prices.start()
            await wired.budgets.start()
        await wired.calls.start(lasting=agents)
        stop_jobs = start_jobs(jobs, wired.runtime)
        try:
            yield _dispatch(front, LlmGateway(wired), build_api(wired))
        finally:
            stop_jobs()
            await front.close()
            await wired.calls.close()
            await wired.servers.close()
            await wired.models.providers.close()
            await wired.budgets.close()


def _jobs(wired: Wired) -> list[Job]:
    """Return what runs by the clock in this process."""
    store, memory, settings, clock = wired.store, wired.memory, wired.settings, wired.runtime.clock

    def is_open(run: str) -> bool:
        facts = memory.runs.get(run)
        return facts is not None and facts.open

    return [
        Job(
            name="end lapsed runs",
            every=EVERY / 1_000_000,
            run=lambda: expire_runs(store=store, memory=memory, now=clock.now()),
        ),
        Job(
            name="audit checkpoint", every=settings.checkpoint_every, run=lambda: checkpoint(store, settings)
        ),
        Job(name="sweep tool servers", every=_SWEEP, run=lambda: wired.servers.sweep(is_open)),
        *notice_jobs(wired),
        context_job(wired),
    ]


class _Front:
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
        async with self._opening:
            if self._gateway is None:
                gateway = (await asyncio.to_thread(_load_gateway))(self._wired)
                await gateway.start()
                self._gateway = gateway
        return self._gateway

    async def close(self) -> None:
        async with self._opening:
            if self._gateway is not None:
                await self._gateway.close()

    def _bundle_changed(self) -> None:
        if self._gateway is None and self._has_tools():
            self._wired.runtime.scheduler.spawn(self.open(), name="open the MCP gateway")

    def _has_tools(self) -> bool:
        bundle = self._wired.memory.bundle
        return bundle is not None and bool(bundle.servers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        gateway = self._gateway or await self.open()
        await gateway(scope, receive, send)


def _load_gateway() -> type[McpGateway]:
    """Load what speaks MCP: it takes half a second, in which model calls go on where this is a thread."""
    from interlock.gateway.mcp.front import McpGateway

    return McpGateway


def _dispatch(front: Asgi, models: Asgi, api: Asgi) -> Asgi:
    """Send the call path to the gateways, with no framework on it, and the rest to the API."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path: str = scope.get("path", "")
        if path.startswith(_MODEL_PATHS):
            await models(scope, receive, send)
        elif path == "/mcp" or path.startswith(_METADATA):
            await front(scope, receive, send)
        else:
            await api(scope, receive, send)

    return app
