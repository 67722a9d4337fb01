"""The conformance suite's fixture server: everything its scenarios call, in both eras, over HTTP.

    python -m tests.conformance.upstream [--port 0] [--era both|legacy]

Prints its URL on one line when it serves. `legacy` refuses 2026-07-28, so that a client falls back to the
handshake revisions.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import warnings
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import NotificationOptions, Server
from mcp.server.caching import CacheHint
from mcp.server.models import InitializationOptions
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.conformance.fixture_content import (
    PROMPTS,
    RESOURCES,
    SWITCHED_PROMPT,
    SWITCHED_TOOL,
    TEMPLATE,
    TOOLS,
    done,
    fixed_result,
    prompt,
    read,
)
from tests.conformance.fixture_inputs import Context, interactive_result, prompt_with_input
from tests.conformance.fixture_tasks import Tasks, task_result

ToolAnswer = types.CallToolResult | types.InputRequiredResult | dict[str, Any]


class Events(EventStore):
    """What was sent on each stream, so that a client can take up a stream that broke."""

    def __init__(self) -> None:
        self._events: list[tuple[StreamId, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: types.JSONRPCMessage | None) -> EventId:
        """Keep one event; its id is its place."""
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """Send what followed `last_event_id` on its stream."""
        last = int(last_event_id)
        if not 0 < last <= len(self._events):
            return None
        stream = self._events[last - 1][0]
        for place, (each, message) in enumerate(self._events[last:], last + 1):
            if each == stream and message is not None:
                await send_callback(EventMessage(message, str(place)))
        return stream


class Fixture:
    """The handlers of the fixture server and what changes while it runs."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self.tasks = Tasks()
        self.hidden: set[str] = set()

    async def list_tools(self, context: Context, params: object) -> types.ListToolsResult:
        """Answer `tools/list`."""
        return types.ListToolsResult(tools=[tool for tool in TOOLS if tool.name not in self.hidden])

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> Any:
        """Answer `tools/call`."""
        if params.name in self.hidden or all(tool.name != params.name for tool in TOOLS):
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        answer: ToolAnswer | None = fixed_result(params.name, params.arguments or {})
        if answer is None:
            answer = await interactive_result(context, params)
        if answer is None:
            answer = await task_result(self.tasks, context, params)
        return answer if answer is not None else await self._run(context, params.name)

    async def _run(self, context: Context, tool: str) -> types.CallToolResult:
        match tool:
            case "test_tool_with_logging" | "test_logging_tool":
                for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
                    await context.session.send_log_message(  # pyright: ignore[reportDeprecated]
                        "info", message, logger="conformance", related_request_id=context.request_id
                    )
                    await asyncio.sleep(0.05)
            case "test_tool_with_progress":
                for step in (0, 50, 100):
                    await context.session.report_progress(step, 100, f"Completed step {step} of 100")
                    await asyncio.sleep(0.05)
            case "test_missing_capability":
                _require_sampling(context)
            case "test_trigger_tool_change":
                await self._toggle(context, SWITCHED_TOOL)
            case "test_trigger_prompt_change":
                await self._toggle(context, SWITCHED_PROMPT)
            case _:  # test_reconnection
                if context.close_sse_stream is not None:
                    await context.close_sse_stream()
                await asyncio.sleep(0.2)
        return done(f"{tool} executed")

    async def _toggle(self, context: Context, name: str) -> None:
        self.hidden ^= {name}
        if name == SWITCHED_TOOL:
            await self.bus.publish(ToolsListChanged())
        else:
            await self.bus.publish(PromptsListChanged())
        if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            change = context.session.send_tool_list_changed if name == SWITCHED_TOOL else None
            await (change or context.session.send_prompt_list_changed)()

    async def list_resources(self, context: Context, params: object) -> types.ListResourcesResult:
        """Answer `resources/list`."""
        return types.ListResourcesResult(resources=list(RESOURCES))

    async def list_templates(self, context: Context, params: object) -> types.ListResourceTemplatesResult:
        """Answer `resources/templates/list`."""
        return types.ListResourceTemplatesResult(resource_templates=[TEMPLATE])

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Answer `resources/read`."""
        content = read(str(params.uri))
        if content is None:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": str(params.uri)})
        return types.ReadResourceResult(contents=[content])

    async def list_prompts(self, context: Context, params: object) -> types.ListPromptsResult:
        """Answer `prompts/list`."""
        return types.ListPromptsResult(prompts=[each for each in PROMPTS if each.name not in self.hidden])

    async def get_prompt(
        self, context: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """Answer `prompts/get`."""
        if params.name == "test_input_required_result_prompt":
            return await prompt_with_input(context, params)
        answer = None if params.name in self.hidden else prompt(params.name, params.arguments or {})
        if answer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
        return answer

    async def complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Answer `completion/complete`."""
        words = [word for word in ("test", "testing", "tests") if word.startswith(params.argument.value)]
        return types.CompleteResult(
            completion=types.Completion(values=words, total=len(words), has_more=False)
        )

    async def nothing(self, context: Context, params: object) -> types.EmptyResult:
        """Accept a subscription or a log level; there is nothing to keep."""
        return types.EmptyResult()


def _require_sampling(context: Context) -> None:
    can = context.session.client_capabilities
    if can is None or can.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling", needed)


class FixtureServer(Server[Any]):
    """Says on the handshake revisions, too, that its lists change."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *args: Any, **kwargs: Any
    ) -> InitializationOptions:
        """Return the options with every list-changed flag set."""
        flags = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(flags, *args, **kwargs)


def build() -> FixtureServer:
    """Return the fixture server."""
    fixture = Fixture()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server = FixtureServer(  # pyright: ignore[reportDeprecated]
            "conformance-fixture",
            version="1.0.0",
            cache_hints={
                method: CacheHint(ttl_ms=0, scope="private")
                for method in (
                    "tools/list",
                    "prompts/list",
                    "resources/list",
                    "resources/templates/list",
                    "resources/read",
                )
            },
            on_list_tools=fixture.list_tools,
            on_call_tool=fixture.call_tool,
            on_list_resources=fixture.list_resources,
            on_list_resource_templates=fixture.list_templates,
            on_read_resource=fixture.read_resource,
            on_subscribe_resource=fixture.nothing,
            on_unsubscribe_resource=fixture.nothing,
            on_subscriptions_listen=ListenHandler(fixture.bus),
            on_list_prompts=fixture.list_prompts,
            on_get_prompt=fixture.get_prompt,
            on_completion=fixture.complete,
            on_set_logging_level=fixture.nothing,
        )
    fixture.tasks.register(server)
    return server


def _handshake_only(app: ASGIApp) -> ASGIApp:
    """Wrap `app` so that it answers 2026-07-28 as a server does that has never heard of it."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version", b"").decode() in MODERN_PROTOCOL_VERSIONS:
            start = {
                "type": "http.response.start",
                "status": 400,
                "headers": [(b"content-type", b"text/plain")],
            }
            await send(start)
            await send({"type": "http.response.body", "body": b"Bad Request: Unsupported protocol version"})
            return
        await app(scope, receive, send)

    return guard


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--era", choices=("both", "legacy"), default="both")
    wanted = parser.parse_args()
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    app: ASGIApp = build().streamable_http_app(event_store=Events(), retry_interval=100)
    if wanted.era == "legacy":
        app = _handshake_only(app)
    listener = socket.create_server(("127.0.0.1", wanted.port))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, http="h11", log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
