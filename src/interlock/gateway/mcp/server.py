"""The SDK's low-level server with our handlers, for both protocol eras, and what keeps it informed.

The server itself decides nothing: tools go to `calls`, everything else to `offers`. When a tool server
changes, its list is compared with the pins (`services.register`) before any run hears of a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.streamable_http import EventStore, StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError

from interlock import __version__
from interlock.core.model import Json, Principal
from interlock.gateway.mcp.caller import PRINCIPAL, TASKS, Context, principal_of, session_of
from interlock.gateway.mcp.calls import ToolCalls
from interlock.gateway.mcp.catalog import Catalog
from interlock.gateway.mcp.changes import Changes
from interlock.gateway.mcp.events import BoundedEvents
from interlock.gateway.mcp.offers import Offers
from interlock.gateway.mcp.prompts import Prompts
from interlock.gateway.mcp.resources import Resources
from interlock.gateway.mcp.results import Results
from interlock.gateway.mcp.tasks import TaskParams, Tasks
from interlock.wiring import Wired

_STREAMS = 16
_SESSIONS = 256
_RETRY_MS = 1_000
_INSTRUCTIONS = (
    "These tools are governed by Interlock. A refusal says why and what to do next. A pending answer means "
    "that a person must decide: go on with other work and collect the outcome with interlock_resume."
)
_CURRENT: ContextVar[Principal] = ContextVar("interlock.principal")


class McpServer:
    """The protocol behind the front, as an ASGI application for requests that were let in."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._servers = servers = wired.servers.wake()
        self.catalog = Catalog(wired.memory, servers, wired.servers.people)
        self.changes = Changes(wired.runtime)
        results = Results(wired)
        self._tasks = Tasks(wired, results)
        self._calls = ToolCalls(wired, self.catalog, self._tasks, results)
        offers = Offers(wired, self.catalog, self._calls)
        self._resources = Resources(wired, offers, self.changes)
        self._prompts = Prompts(offers)
        self._manager = _Manager(
            app=self._build(),
            retry_interval=_RETRY_MS,
            max_request_body_size=wired.settings.max_body,
        )
        self._stop = asyncio.Event()
        self._running: asyncio.Task[Any] | None = None
        wired.servers.on_change(self._heard)
        wired.memory.on_bundle.append(self.tools_changed)
        wired.memory.on_run_over.append(self._run_over)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request of a verified principal."""
        _CURRENT.set(scope[PRINCIPAL])
        await self._manager.asgi_app(scope, receive, send)

    async def start(self) -> None:
        """Begin to serve sessions, in a task of their own."""
        started = asyncio.Event()

        async def run() -> None:
            async with self._manager.run():
                started.set()
                await self._stop.wait()

        self._running = self._wired.runtime.scheduler.spawn(run(), name="mcp sessions")
        await started.wait()

    async def close(self) -> None:
        """End every session."""
        self._stop.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=10)

    def tools_changed(self) -> None:
        """Pins, grants or a server's tools changed: build the lists anew and tell every run."""
        self.catalog.changed()
        for run in self.changes.runs:
            self.changes.list_changed(run, "tools")

    def _run_over(self, run: str) -> None:
        """End what belongs to a run that is over: its upstream sessions and its listeners."""
        self.changes.forget(run)
        self._resources.forget(run)
        self._wired.runtime.scheduler.spawn(self._servers.close_run(run), name=f"end of {run}")

    def _heard(self, server: str, run: str, method: str, params: Mapping[str, Json]) -> None:
        """Take note of what a tool server says."""
        match method:
            case "interlock/registered" | "interlock/listed" | "interlock/lost":
                self.tools_changed()
            case "notifications/prompts/list_changed":
                self._all("prompts")
            case "notifications/resources/list_changed":
                self._all("resources")
            case "notifications/resources/updated":
                for name in self._resources.updated(server, run, str(params.get("uri"))):
                    self.changes.resource_updated(run, name)
            case _:
                pass

    def _all(self, kind: str) -> None:
        for run in self.changes.runs:
            self.changes.list_changed(run, kind)

    def _build(self) -> Server[Any]:
        server = _Server(
            "interlock",
            version=__version__,
            instructions=_INSTRUCTIONS,
            get_tool_input_schema=self._pinned_schema,
            on_list_tools=self._calls.list_tools,
            on_call_tool=self._calls.call_tool,
            on_list_resources=self._resources.list_resources,
            on_list_resource_templates=self._resources.list_templates,
            on_read_resource=self._resources.read_resource,
            on_subscribe_resource=self._resources.subscribe,
            on_unsubscribe_resource=self._resources.unsubscribe,
            on_subscriptions_listen=self._listen,
            on_list_prompts=self._prompts.list_prompts,
            on_get_prompt=self._prompts.get_prompt,
            on_completion=self._prompts.complete,
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._calls.set_level)
        server.middleware.clear()  # the SDK's own tracing: a cost on each call, and it names tools and errors
        server.extensions = {TASKS: {}}
        server.add_request_handler("tasks/get", TaskParams, self._tasks.get)
        server.add_request_handler("tasks/update", TaskParams, self._tasks.update)
        server.add_request_handler("tasks/cancel", TaskParams, self._tasks.cancel)
        server.add_notification_handler("notifications/initialized", types.NotificationParams, self._joined)
        return server

    def _pinned_schema(self, name: str) -> Mapping[str, Any] | None:
        principal = _CURRENT.get(None)
        return None if principal is None else self.catalog.input_schema(principal, name)

    async def _joined(self, ctx: Context, _: types.NotificationParams) -> None:
        self.changes.join(principal_of(ctx).run, session_of(ctx), ctx.session)

    async def _listen(self, ctx: Context, params: types.SubscriptionsListenRequestParams) -> Any:
        """Serve one stream of change events; resources out of scope are refused before it opens."""
        run = principal_of(ctx).run
        if not self.changes.open_stream(run, _STREAMS):
            raise MCPError(types.INVALID_REQUEST, f"A run has at most {_STREAMS} open listen streams.")
        followed: list[str] = []
        try:
            for uri in dict.fromkeys(params.notifications.resource_subscriptions or ()):
                await self._resources.follow(ctx, uri)
                followed.append(uri)
            return await ListenHandler(self.changes.bus(run))(ctx, params)
        finally:
            self.changes.close_stream(run)
            for uri in followed:
                leaving = self._resources.leave(run, uri)
                self._wired.runtime.scheduler.spawn(leaving, name=f"leave of {run}")


class _Manager(StreamableHTTPSessionManager):
    """The SDK's session manager, with an event store for each session and a limit for each run.

    The SDK names streams by the client's request ids, which sessions share; one store for all would let
    one session replay another's events. Its own limit of sessions is for all runs together.
    """

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        mine = sum(each == requestor for each in self._session_owners.values())
        return None if mine >= _SESSIONS else super()._admit_session(requestor)

    @property
    def event_store(self) -> EventStore:  # pyright: ignore[reportIncompatibleVariableOverride]
        return BoundedEvents()

    @event_store.setter
    def event_store(self, _: EventStore | None) -> None:
        pass


class _Server(Server[Any]):
    """The SDK's server, which also tells legacy clients that lists can change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        return super().create_initialization_options(
            notification_options
            or NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True),
            experimental_capabilities,
            {} if extensions is None else extensions,
        )
