"""The caller behind one request: who it is, what it declared it can do, and the way back to it.

What a client declares is cut to what its workflow may use before any tool server hears of it; so a server
is never told of sampling or elicitation that was not granted, in either protocol era.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

import mcp_types as types
from mcp.server import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from interlock.core.admission import decide_capability
from interlock.core.model import Capability, Json, Principal
from interlock.errors import UpstreamRefused
from interlock.store.memory import Memory

Context = ServerRequestContext[Any, Request]

PRINCIPAL = "interlock.principal"
TASKS = "io.modelcontextprotocol/tasks"
LEVELS: tuple[str, ...] = get_args(types.LoggingLevel)
_OUR_PREFIXES = {"io.modelcontextprotocol", "interlock"}
_STEP = 1e-6
_SWITCHES = {"sampling": Capability.SAMPLING, "elicitation": Capability.ELICITATION}


def principal_of(ctx: Context) -> Principal:
    """Return who sent this very request; the front has verified its token."""
    assert ctx.request is not None
    return cast(Principal, ctx.request.scope[PRINCIPAL])


def is_modern(ctx: Context) -> bool:
    """Whether this request came in the modern protocol, which has no session."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def session_of(ctx: Context) -> str:
    """Return the legacy session's id, "" in the modern era."""
    assert ctx.request is not None
    return ctx.request.headers.get("mcp-session-id", "")


def declared(ctx: Context) -> Mapping[str, Any]:
    """Return the capabilities the client declared, as it wrote them."""
    if is_modern(ctx):
        meta = cast("Mapping[str, Any]", (ctx.params or {}).get("_meta") or {})
        return cast("Mapping[str, Any]", meta.get(types.CLIENT_CAPABILITIES_META_KEY) or {})
    said = ctx.session.client_capabilities
    return {} if said is None else said.model_dump(by_alias=True, mode="json", exclude_none=True)


def knows_tasks(ctx: Context) -> bool:
    """Whether the client declared the Tasks extension on this request."""
    return is_modern(ctx) and TASKS in (declared(ctx).get("extensions") or {})


def _ours(key: str) -> bool:
    return key == "progressToken" or key.partition("/")[0] in _OUR_PREFIXES


class Caller:
    """The `Bridge` of one request: back to the client that sent it, over that request's own stream."""

    def __init__(self, ctx: Context, memory: Memory, *, now: int, log_level: str | None) -> None:
        self.principal = principal_of(ctx)
        self.log_level = log_level
        self._ctx = ctx
        self._memory = memory
        self._now = now
        self._reached = -_STEP
        self._capabilities: Mapping[str, Json] | None = None

    @property
    def capabilities(self) -> Mapping[str, Json]:
        """What the client declared, cut to what its workflow may use."""
        if self._capabilities is None:
            self._capabilities = self._cut(declared(self._ctx))
        return self._capabilities

    @property
    def can_be_asked(self) -> bool:
        """Whether the client takes requests while its own is open: the legacy era only."""
        return self._ctx.session.can_send_request

    @property
    def wants_progress(self) -> bool:
        """Whether the client sent a progress token."""
        return self._ctx.meta is not None and "progress_token" in self._ctx.meta

    @property
    def meta(self) -> Mapping[str, Json]:
        """The client's `_meta` without what belongs to this very connection or speaks in our name."""
        said = cast("Mapping[str, Json]", (self._ctx.params or {}).get("_meta") or {})
        return {key: value for key, value in said.items() if not _ours(key)}

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Report progress against the client's own token; several report, and it must only ever grow."""
        self._reached = max(progress, self._reached + _STEP)
        await self._ctx.session.report_progress(self._reached, total, message)

    async def log(self, params: Mapping[str, Json]) -> None:
        """Pass on a log message the client wants to hear."""
        level = str(params.get("level"))
        if self.log_level is None or level not in LEVELS:
            return
        if LEVELS.index(level) < LEVELS.index(self.log_level):
            return
        note = types.LoggingMessageNotification(
            params=types.LoggingMessageNotificationParams.model_validate(params)
        )
        await self._ctx.session.send_notification(note, related_request_id=self._ctx.request_id)

    async def elicit(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Ask the person at the client."""
        request = types.ElicitRequest.model_validate({"method": "elicitation/create", "params": params})
        return await self._ask("elicitation", request, types.ElicitResult)

    async def sample(self, params: Mapping[str, Json]) -> dict[str, Json]:
        """Ask the client's model."""
        request = types.CreateMessageRequest.model_validate(
            {"method": "sampling/createMessage", "params": params}
        )
        kind = types.CreateMessageResultWithTools if params.get("tools") else types.CreateMessageResult
        return await self._ask("sampling", request, kind)

    async def roots(self) -> dict[str, Json]:
        """Ask for the client's folders."""
        return await self._ask("roots", types.ListRootsRequest(), types.ListRootsResult)

    async def _ask(self, needs: str, request: Any, kind: type[types.Result]) -> dict[str, Json]:
        if needs not in self.capabilities:
            raise UpstreamRefused(f"The caller does not offer {needs}, or its workflow may not use it.")
        result = await self._ctx.session.send_request(
            request, kind, metadata=ServerMessageMetadata(related_request_id=self._ctx.request_id)
        )
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)

    def _cut(self, said: Mapping[str, Any]) -> Mapping[str, Json]:
        kept = {name: said[name] for name in ("sampling", "elicitation", "roots") if name in said}
        for name, capability in _SWITCHES.items():
            if name in kept and self._denied(capability):
                del kept[name]
        extensions = cast("Mapping[str, Any]", said.get("extensions") or {})
        if TASKS in extensions:
            kept["extensions"] = {TASKS: extensions[TASKS]}
        return kept

    def _denied(self, capability: Capability) -> bool:
        snapshot = self._memory.snapshot(self.principal, "")
        return decide_capability(self.principal, capability, "", snapshot, self._now).denied
