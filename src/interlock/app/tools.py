"""What a process has beyond model calls where it has to do with tools: servers, their pins, the engine."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from interlock.app.followed import follow_tools
from interlock.call.engine import Calls
from interlock.core.document.tool import ToolServer
from interlock.core.rotation import validity
from interlock.runtime import Runtime
from interlock.services.digest import Digests
from interlock.services.pay import Pay
from interlock.services.register import Registrar
from interlock.services.send import Send
from interlock.settings import child_environment, secret
from interlock.store import approvals
from interlock.upstream.declared import DeclaredServers
from interlock.wiring import Wired, WiredModels

if TYPE_CHECKING:
    from interlock.upstream.mcp.pool import ToolServers


class Elsewhere(Calls):
    """The engine of a process that leaves tool calls to another one, which follows what is decided here."""

    def decided(self, action_id: str) -> None:
        """The other process hears of it, and begins."""


def with_tools(wired: WiredModels, *, engine: bool = True) -> Wired:
    """Return all handles of a process. Where it is not the `engine`, it carries out no tool call."""
    store, memory, runtime = wired.store, wired.memory, wired.runtime
    servers = DeclaredServers(
        lambda: _pool(runtime),
        runtime,
        answers=lambda action: store.read(lambda found: approvals.answer_to(found, action)),
    )
    executor = Pay(
        executor=Send(executor=servers, memory=memory), memory=memory, budgets=wired.budgets, runtime=runtime
    )
    registrar = Registrar(store=store, memory=memory, servers=servers, runtime=runtime)
    kind = Calls if engine else Elsewhere
    calls = kind(
        store=store,
        memory=memory,
        executor=executor,
        runtime=runtime,
        settings=wired.settings,
        ready=servers.ready,
        counts=wired.breakers.of_read,
        recovery=servers,
        keeps=servers.keeps,
    )
    memory.on_run_over.append(servers.functions.leave)
    digests = Digests(store=store, memory=memory)
    calls.ring.on(wired.tracked.matures, wired.tracked.mature)
    calls.ring.on(digests.due, digests.make)
    shared = {each.name: getattr(wired, each.name) for each in fields(WiredModels)}
    whole = Wired(**shared, servers=servers, registrar=registrar, calls=calls)
    follow_tools(whole, engine=engine)
    return whole


def _expired(server: ToolServer, now: int) -> str | None:
    """Say why a tool server's static credential must not be used any more, or None (H2)."""
    if validity(server.credentials.expires, now=now).usable:
        return None
    owner = server.credentials.owner or "its owner"
    return f"The credential of the tool server {server.name!r} has expired; {owner} must replace it."


def _pool(runtime: Runtime) -> ToolServers:
    from interlock.upstream.mcp.pool import ToolServers

    return ToolServers(
        runtime=runtime,
        secret=secret,
        environment=child_environment(),
        refusal=lambda server: _expired(server, runtime.clock.now()),
    )
