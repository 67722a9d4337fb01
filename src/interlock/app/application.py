"""The application of one process: its gateways, its API and what runs by the clock, started in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from interlock.app.clock import jobs_of, sweep_job
from interlock.app.compose import wire_models
from interlock.app.roles import ALL, Role, Roles
from interlock.app.tool_gateway import ToolGateway, is_of_programs, open_for_agents, open_mcp, open_tools
from interlock.gateway.health import Health
from interlock.gateway.llm.front import LlmGateway
from interlock.listen import Asgi
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.wiring import Wired, WiredModels
from interlock.worker.jobs import Job
from interlock.worker.jobs import start as start_jobs

_MODEL_PATHS = "/v1/"
_METADATA = "/.well-known/oauth-protected-resource"
_CONTROL = frozenset({Role.CONTROL})
"""The one set of roles that carries out no calls."""


@asynccontextmanager
async def application(
    settings: Settings, runtime: Runtime | None = None, *, roles: Roles = ALL, agents: bool = True
) -> AsyncGenerator[Asgi]:
    """Yield the running application: gateways, API and clock work as its roles say, without a listener.

    Where `agents` are expected and tool servers are declared, the MCP gateway and the servers are started
    before the first call; elsewhere only if something needs them. A process that serves models alone never
    loads what speaks MCP, nor a gateway alone the API: that is half of its memory.
    """
    async with wire_models(settings, runtime, roles=roles) as wired, AsyncExitStack() as closing:
        jobs = jobs_of(wired, roles)
        closing.push_async_callback(wired.budgets.close)
        closing.push_async_callback(wired.models.providers.close)
        if agents:
            await _open_money(wired, roles)
        rest: Asgi = Health(wired, role=", ".join(sorted(roles)))
        tools: Asgi = rest
        if roles & {Role.CONTROL, Role.WORKER}:
            whole = _with_tools(wired, roles)
            tools = await _open_tools(whole, roles, closing, jobs, agents=agents)
            rest = _api(whole, roles) if Role.CONTROL in roles else rest
        else:
            tools = ToolGateway(wired, partial(open_tools, wired))
            closing.push_async_callback(tools.close)
            await tools.open_for_tools()
        wired.follow.start()
        closing.callback(wired.follow.close)
        closing.callback(start_jobs(jobs, wired.runtime))
        if Role.GATEWAY in roles:
            yield _dispatch(tools, LlmGateway(wired), rest, programs=Role.CONTROL not in roles)
        else:
            yield rest


async def _open_money(wired: WiredModels, roles: Roles) -> None:
    """Learn prices; where money is spent, learn how the accounts stand, and be ready to reach providers."""
    await wired.prices.start()
    if roles & {Role.GATEWAY, Role.WORKER}:
        wired.models.providers.open()
        await wired.budgets.start()


def _with_tools(wired: WiredModels, roles: Roles) -> Wired:
    from interlock.app.tools import with_tools

    return with_tools(wired, engine=roles != _CONTROL)


async def _open_tools(
    wired: Wired, roles: Roles, closing: AsyncExitStack, jobs: list[Job], *, agents: bool
) -> Asgi:
    """Follow the tool servers, start the engine of tool calls where it is here; return its gateway."""
    closing.push_async_callback(wired.servers.close)
    closing.push_async_callback(wired.calls.close)
    jobs.append(sweep_job(wired))
    gateway = ToolGateway(wired, partial(open_mcp if Role.CONTROL in roles else open_for_agents, wired))
    closing.push_async_callback(gateway.close)
    if agents and Role.GATEWAY in roles:
        await gateway.open_for_tools()
    await wired.registrar.start()
    if roles != _CONTROL:
        await wired.calls.start(lasting=agents)
    return gateway


def _api(wired: Wired, roles: Roles) -> Asgi:
    from interlock.web.api import build_api

    return build_api(wired, programs=roles != _CONTROL)


def _dispatch(tools: Asgi, models: Asgi, rest: Asgi, *, programs: bool) -> Asgi:
    """Send the call path to the gateways, with no framework on it, and the rest to the API.

    `programs` says that the calls of programs are served beside tools, not by the API.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path: str = scope.get("path", "")
        if path.startswith(_MODEL_PATHS):
            await models(scope, receive, send)
        elif path == "/mcp" or path.startswith(_METADATA) or (programs and is_of_programs(scope)):
            await tools(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return app
