"""The Tasks extension: a call that waits for a person, or a task of a tool server, as a handle to poll.

Only a modern client that declared the extension ever gets a handle. A handle belongs to one run; another
run's token finds nothing there. A waiting call's handle is its approval, so it outlives a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError

from interlock.core.answer import Broken, Completed, InputAsked, TurnedDown, Waiting
from interlock.core.model import SECOND, Json, Principal
from interlock.errors import InterlockError, StateConflict
from interlock.gateway.mcp.caller import TASKS, Caller, Context, is_modern, knows_tasks, principal_of
from interlock.gateway.mcp.names import split
from interlock.gateway.mcp.reply import iso
from interlock.gateway.mcp.results import Results
from interlock.services.cancel import Cancel
from interlock.upstream.mcp.ending import ServerError
from interlock.wiring import Wired

_POLL_MS = 5_000
_KEPT = 10_000
_TIMEOUT = 30.0


class TaskParams(types.RequestParams):
    """The params of `tasks/get`, `tasks/update` and `tasks/cancel`."""

    task_id: str
    input_responses: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class _Upstream:
    """A task of a tool server, which one run may ask about. `short` is its result once it was shortened."""

    run: str
    tool: str
    task: str
    short: dict[str, Json] | None = None

    @property
    def server(self) -> str:
        """The tool server that carries it out."""
        return split(self.tool)[0]


class Tasks:
    """The handles given out."""

    def __init__(self, wired: Wired, results: Results) -> None:
        self._wired = wired
        self._results = results
        self._upstream: OrderedDict[str, _Upstream] = OrderedDict()

    def waiting(self, answer: Waiting) -> dict[str, Json]:
        """Return the handle of a call that waits for a person."""
        return {"resultType": "task", **self._head(answer)}

    def upstream(self, principal: Principal, tool: str, handle: dict[str, Json]) -> dict[str, Json]:
        """Return a tool server's handle for a call of `tool` under a name of ours."""
        ours = self._wired.runtime.ids.new("task")
        self._upstream[ours] = _Upstream(run=principal.run, tool=tool, task=str(handle.get("taskId")))
        if len(self._upstream) > _KEPT:
            self._upstream.popitem(last=False)
        return {**handle, "taskId": ours}

    async def get(self, ctx: Context, params: TaskParams) -> dict[str, Json]:
        """Answer `tasks/get`."""
        principal = _checked(ctx, params)
        if (theirs := self._theirs(principal, params)) is not None:
            detail = await self._pass(ctx, theirs, "tasks/get")
            return {**await self._shortened(detail, theirs, principal), "taskId": params.task_id}
        answer = await self._approval(principal, params)
        if isinstance(answer, Waiting):
            return {"resultType": "complete", **self._head(answer)}
        return await self._detail(params.task_id, answer, principal)

    async def update(self, ctx: Context, params: TaskParams) -> dict[str, Json]:
        """Answer `tasks/update`: input for a tool server's task; a waiting call takes none from here."""
        principal = _checked(ctx, params)
        if (theirs := self._theirs(principal, params)) is not None:
            await self._pass(ctx, theirs, "tasks/update")
        else:
            await self._approval(principal, params)
        return {"resultType": "complete"}

    async def cancel(self, ctx: Context, params: TaskParams) -> dict[str, Json]:
        """Answer `tasks/cancel`."""
        principal = _checked(ctx, params)
        if (theirs := self._theirs(principal, params)) is not None:
            await self._pass(ctx, theirs, "tasks/cancel")
            return {"resultType": "complete"}
        answer = await self._approval(principal, params)
        if isinstance(answer, Waiting):
            await self._cancel(answer, principal)
        return {"resultType": "complete"}

    async def _cancel(self, answer: Waiting, principal: Principal) -> None:
        """Cancel what waits; a decision that was quicker stands."""
        work = Cancel(store=self._wired.store, memory=self._wired.memory)
        with suppress(StateConflict):
            await work.action(answer.action, person=principal.agent, reason="The agent cancelled it.")

    def _theirs(self, principal: Principal, params: TaskParams) -> _Upstream | None:
        found = self._upstream.get(params.task_id)
        return found if found is not None and found.run == principal.run else None

    async def _pass(self, ctx: Context, theirs: _Upstream, method: str) -> dict[str, Json]:
        sent: dict[str, Json] = {"taskId": theirs.task}
        if method == "tasks/update":
            sent["inputResponses"] = (ctx.params or {}).get("inputResponses") or {}
        caller = Caller(ctx, self._wired.memory, now=self._wired.runtime.clock.now(), log_level=None)
        try:
            result = await self._wired.servers.wake().request(
                theirs.server, theirs.run, method, sent, bridge=caller, timeout=_TIMEOUT
            )
        except ServerError as error:
            raise error.error from error
        except InterlockError as error:
            raise MCPError(types.INTERNAL_ERROR, error.message) from error
        result.pop("_meta", None)
        return result

    async def _shortened(
        self, detail: dict[str, Json], theirs: _Upstream, principal: Principal
    ) -> dict[str, Json]:
        """Return a task's detail with its result as the agent gets it, however often it asks (B7)."""
        result = detail.get("result")
        if not isinstance(result, dict):
            return detail
        if theirs.short is None:
            whole = cast("dict[str, Json]", result)
            short = await self._results.short(whole, principal, theirs.tool)
            theirs.short = None if short is whole else short
        return detail if theirs.short is None else {**detail, "result": theirs.short}

    async def _approval(self, principal: Principal, params: TaskParams) -> Any:
        answer = await self._wired.calls.resume(principal, params.task_id, wait=0)
        if isinstance(answer, Broken) and not answer.action:
            raise MCPError(types.INVALID_PARAMS, "Unknown task", {"taskId": params.task_id})
        return answer

    def _head(self, answer: Waiting) -> dict[str, Json]:
        now = self._wired.runtime.clock.now()
        ends = max(answer.expires_at, answer.due_at, now)
        return {
            "taskId": answer.approval,
            "status": "working",
            "statusMessage": "Waiting for a person to decide.",
            "createdAt": iso(now),
            "lastUpdatedAt": iso(now),
            "ttlMs": (ends - now) * 1000 // SECOND + 3_600_000,
            "pollIntervalMs": _POLL_MS,
        }

    async def _detail(self, task: str, answer: Any, principal: Principal) -> dict[str, Json]:
        now = iso(self._wired.runtime.clock.now())
        detail: dict[str, Json] = {
            "resultType": "complete",
            "taskId": task,
            "createdAt": now,
            "lastUpdatedAt": now,
            "ttlMs": 3_600_000,
            "pollIntervalMs": _POLL_MS,
        }
        if isinstance(answer, TurnedDown) and answer.state == "cancelled":
            return {**detail, "status": "cancelled"}
        if isinstance(answer, InputAsked):
            asked = cast("dict[str, Json]", answer.payload.get("inputRequests") or {})
            return {**detail, "status": "input_required", "inputRequests": asked}
        try:
            result = await self._results.of(answer, principal)
        except MCPError as error:
            said = error.error.model_dump(mode="json", exclude_none=True)
            return {**detail, "status": "failed", "error": said}
        if not isinstance(answer, Completed):
            detail["statusMessage"] = str(result["content"][0]["text"])
        return {**detail, "status": "completed", "result": result}


def _checked(ctx: Context, params: TaskParams) -> Principal:
    """Return who asks, if this client may: modern, declared, and its header names the same task."""
    if not is_modern(ctx):
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
    if not knows_tasks(ctx):
        needed: dict[str, Json] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, f"This needs {TASKS}", needed)
    assert ctx.request is not None
    if ctx.request.headers.get("mcp-name") != params.task_id:
        raise MCPError(types.HEADER_MISMATCH, "The Mcp-Name header does not match the body's taskId")
    return principal_of(ctx)
