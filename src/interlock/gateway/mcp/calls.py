"""`tools/list` and `tools/call`: from the wire to one proposed call, and its answer back.

A call is held open while a person decides, at most as long as the settings say, with progress where the
client asked for it; a client that knows tasks gets a task handle at once instead.
"""

from __future__ import annotations

from typing import Any, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.answer import Broken, Continuation, Proposal, Refused, Waiting
from interlock.core.canonical import NotCanonical, check, digest
from interlock.core.model import Json, Principal
from interlock.gateway.mcp.caller import (
    LEVELS,
    Caller,
    Context,
    is_modern,
    knows_tasks,
    principal_of,
    session_of,
)
from interlock.gateway.mcp.catalog import Catalog
from interlock.gateway.mcp.names import RESULT, RESUME, split
from interlock.gateway.mcp.reply import denied
from interlock.gateway.mcp.results import Results
from interlock.gateway.mcp.tasks import Tasks
from interlock.wiring import Wired

_PAGE = 500
_BEAT = 10.0
_SETTLE = 15.0
_LOOK = 0.02
_DEFAULT_LEVEL = "info"
_LEVELS_KEPT = 10_000
_NOT_AS_REGISTERED = {"not_registered", "tool_drifted"}


class ToolCalls:
    """The tool methods of the gateway."""

    def __init__(self, wired: Wired, catalog: Catalog, tasks: Tasks, results: Results) -> None:
        self._wired = wired
        self._catalog = catalog
        self._tasks = tasks
        self._results = results
        self._levels: dict[str, str] = {}

    async def list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
        """Answer `tools/list` with what this run may see, page by page."""
        await self._settled(principal_of(ctx))
        tools = self._catalog.tools(principal_of(ctx))
        return page(tools, "tools", params.cursor if params else None)

    async def call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> Any:
        """Answer `tools/call`: propose the call, or collect one that waited."""
        if params.name == RESUME:
            return await self._resume(ctx, params.arguments or {})
        if params.name == RESULT:
            return await self._original(ctx, params.arguments or {})
        await self._settled(principal_of(ctx))
        proposal = self._proposal(ctx, params)
        caller = self.caller(ctx)
        wait = 0.0 if knows_tasks(ctx) else float(self._wired.settings.inline_wait)
        beat = self._beat(caller)
        try:
            answer = await self._wired.calls.propose(proposal, bridge=caller, wait=wait)
        finally:
            if beat is not None:
                beat.cancel()
        resumed = proposal.continuation is not None and proposal.foreseen is None
        if resumed and isinstance(answer, Broken) and not answer.action:
            raise MCPError(types.INVALID_PARAMS, answer.message)
        if isinstance(answer, Waiting) and answer.approval and knows_tasks(ctx):
            return self._tasks.waiting(answer)
        if isinstance(answer, Refused) and answer.decision.reason.code in _NOT_AS_REGISTERED:
            why = self._wired.servers.wake().nudge(split(proposal.tool)[0])
            return denied(answer.decision, action=answer.action, server=why)
        result = await self._results.of(answer, proposal.principal, proposal.tool)
        if result.get("resultType") == "task":
            return self._tasks.upstream(principal_of(ctx), proposal.tool, result)
        return {"resultType": "complete", **result}

    async def _settled(self, principal: Principal) -> None:
        """Wait, for a moment after the start or an apply, until the tool servers said what they offer."""
        clock = self._wired.runtime.clock
        until = clock.monotonic() + _SETTLE
        while not self._catalog.settled(principal) and clock.monotonic() < until:
            await self._wired.runtime.scheduler.sleep(_LOOK)

    async def set_level(self, ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        """Answer `logging/setLevel`, which the legacy era has."""
        if len(self._levels) >= _LEVELS_KEPT:
            del self._levels[next(iter(self._levels))]
        self._levels[session_of(ctx)] = params.level
        return types.EmptyResult()

    def caller(self, ctx: Context) -> Caller:
        """Return the way back to whoever sent this request."""
        if is_modern(ctx):
            meta = cast("dict[str, Any]", (ctx.params or {}).get("_meta") or {})
            said = meta.get(types.LOG_LEVEL_META_KEY)
            level = said if said in LEVELS else None
        else:
            level = self._levels.get(session_of(ctx), _DEFAULT_LEVEL)
        return Caller(ctx, self._wired.memory, now=self._wired.runtime.clock.now(), log_level=level)

    def _proposal(self, ctx: Context, params: types.CallToolRequestParams) -> Proposal:
        sent = ctx.params or {}
        arguments = cast("dict[str, Json]", sent.get("arguments") or {})
        try:
            check(arguments)
            hashed = digest(arguments)
        except NotCanonical as error:
            raise MCPError(types.INVALID_PARAMS, f"The arguments have no canonical form: {error}.") from error
        principal = principal_of(ctx)
        state, responses = sent.get("requestState"), sent.get("inputResponses")
        continuation = None
        if state is not None or responses is not None:
            continuation = Continuation(request_state=str(state or ""), input_responses=responses or {})
        return Proposal(
            principal=principal,
            tool=self._catalog.dotted(principal, params.name),
            arguments=arguments,
            digest=hashed,
            continuation=continuation,
        )

    async def _resume(self, ctx: Context, arguments: dict[str, Any]) -> dict[str, Json]:
        approval = arguments.get("approval_id")
        if not isinstance(approval, str) or len(arguments) != 1:
            raise MCPError(types.INVALID_PARAMS, f"{RESUME} takes one argument, approval_id.")
        caller = self.caller(ctx)
        beat = self._beat(caller)
        try:
            answer = await self._wired.calls.resume(
                principal_of(ctx), approval, bridge=caller, wait=float(self._wired.settings.inline_wait)
            )
        finally:
            if beat is not None:
                beat.cancel()
        return {"resultType": "complete", **await self._results.of(answer, principal_of(ctx))}

    async def _original(self, ctx: Context, arguments: dict[str, Any]) -> dict[str, Json]:
        return {"resultType": "complete", **await self._results.original(principal_of(ctx), arguments)}

    def _beat(self, caller: Caller) -> Any:
        """Keep a waiting client patient, if it sent a progress token."""
        if not caller.wants_progress:
            return None

        async def beat() -> None:
            number = 0.0
            while True:
                await self._wired.runtime.scheduler.sleep(_BEAT)
                number += 1e-6
                await caller.progress(number, None, "waiting")

        return self._wired.runtime.scheduler.spawn(beat(), name="progress")


def page(items: list[dict[str, Json]], kind: str, cursor: str | None) -> dict[str, Json]:
    """Return one page of a list; `cursor` is where it starts. Raises `MCPError` for one that is not ours."""
    start = 0
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
            raise MCPError(types.INVALID_PARAMS, "This cursor was not given out here.")
        start = int(cursor)
    shown: dict[str, Json] = {
        kind: items[start : start + _PAGE],
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    }
    if start + _PAGE < len(items):
        shown["nextCursor"] = str(start + _PAGE)
    return shown
