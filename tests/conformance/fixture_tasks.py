"""The Tasks extension (`io.modelcontextprotocol/tasks`) as the suite's scenarios exercise it.

A client that declares the extension gets a task for the tools that support one, and polls it with
`tasks/get`; a client that does not gets the plain result, or error -32021 where there is none to give.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from tests.conformance.fixture_content import done
from tests.conformance.fixture_inputs import Answers, Asked, Context, ask, form, is_modern

EXTENSION = "io.modelcontextprotocol/tasks"
REQUIRED = frozenset({"failing_job", "protocol_error_job", "confirm_delete", "multi_input"})
_TTL_MS = 60_000

Work = Callable[["Task"], Awaitable[types.CallToolResult]]


class TaskParams(types.RequestParams):
    """The params of `tasks/get`, `tasks/cancel` and `tasks/update`."""

    task_id: str
    input_responses: dict[str, Any] | None = None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(kw_only=True)
class Task:
    """One task: what it waits for, what came of it."""

    name: str
    status: str = "working"
    created_at: str = field(default_factory=_now)
    updated_at: str = field(default_factory=_now)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    pending: Asked = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Task[None] | None = None

    def move(self, status: str) -> None:
        """Change the status and its time."""
        self.status = status
        self.updated_at = _now()

    async def ask(self, asked: Asked) -> Answers:
        """Wait until every one of `asked` is answered through `tasks/update`."""
        self.pending = dict(asked)
        self.move("input_required")
        while self.pending:
            self.answered.clear()
            await self.answered.wait()
        self.move("working")
        return self.answers

    def head(self) -> dict[str, Any]:
        """The fields that every form of a task carries on the wire."""
        return {
            "taskId": self.name,
            "status": self.status,
            "createdAt": self.created_at,
            "lastUpdatedAt": self.updated_at,
            "ttlMs": _TTL_MS,
            "pollIntervalMs": 100,
        }

    def detail(self) -> dict[str, Any]:
        """The answer to `tasks/get`."""
        detail = {"resultType": "complete", **self.head()}
        if self.status == "completed":
            detail["result"] = self.result
        if self.status == "failed":
            detail["error"] = self.error
        if self.status == "input_required":
            detail["inputRequests"] = {
                key: request.model_dump(mode="json", by_alias=True, exclude_none=True)
                for key, request in self.pending.items()
            }
        return detail


class Tasks:
    """All tasks of this server."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def register(self, server: Server[Any]) -> None:
        """Advertise the extension and serve its three methods."""
        server.extensions = {EXTENSION: {}}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    def start(self, work: Work) -> dict[str, Any]:
        """Start `work` and return its handle, as the answer to `tools/call`."""
        task = Task(name=f"task-{secrets.token_hex(8)}")
        self._tasks[task.name] = task
        task.running = asyncio.create_task(self._run(task, work))
        return {"resultType": "task", **task.head()}

    async def get(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """Answer `tasks/get`."""
        return self._find(context, params).detail()

    async def update(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """Answer `tasks/update`: take what was asked for, ignore the rest."""
        task = self._find(context, params)
        for key, answer in (params.input_responses or {}).items():
            if task.pending.pop(key, None) is not None:
                task.answers[key] = answer
                task.answered.set()
        return {"resultType": "complete"}

    async def cancel(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """Answer `tasks/cancel`; cancelling what has ended changes nothing."""
        task = self._find(context, params)
        if task.running is not None:
            task.running.cancel()
        return {"resultType": "complete"}

    def _find(self, context: Context, params: TaskParams) -> Task:
        if not is_modern(context):
            raise MCPError(types.METHOD_NOT_FOUND, f"Method not found: {context.method}")
        require(context)
        _check_name_header(context, params)
        task = self._tasks.get(params.task_id)
        if task is None:
            raise MCPError(types.INVALID_PARAMS, "Unknown task", {"taskId": params.task_id})
        return task

    async def _run(self, task: Task, work: Work) -> None:
        try:
            result = await work(task)
        except asyncio.CancelledError:
            task.move("cancelled")
        except MCPError as problem:
            task.error = {"code": problem.error.code, "message": problem.error.message}
            task.move("failed")
        else:
            task.result = result.model_dump(mode="json", by_alias=True, exclude_none=True)
            task.move("completed")


def declared(context: Context) -> bool:
    """Whether this request comes from a client that knows tasks."""
    can = context.session.client_capabilities
    return is_modern(context) and can is not None and EXTENSION in (can.extensions or {})


def require(context: Context) -> None:
    """Raise error -32021 where the client has not declared the extension."""
    if not declared(context):
        needed = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, f"This needs {EXTENSION}", needed)


def _check_name_header(context: Context, params: TaskParams) -> None:
    request = context.request
    if request is not None and request.headers.get("mcp-name") != params.task_id:
        raise MCPError(types.HEADER_MISMATCH, "mcp-name header does not match the request body's 'taskId'")


async def task_result(
    tasks: Tasks, context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult | dict[str, Any] | None:
    """Run a tool that supports tasks; None for all others."""
    if params.name == "test_tool_with_task":
        return await _asked_first(tasks, context, params)
    work = _work(params.name, params.arguments or {})
    if work is None:
        return None
    if params.name in REQUIRED:
        require(context)
    if not declared(context) or (params.arguments or {}).get("seconds") == 0:
        return await work(Task(name="inline"))
    return tasks.start(work)


def _work(tool: str, arguments: dict[str, Any]) -> Work | None:
    confirm = form("Are you sure?", {"confirm": {"type": "boolean"}})

    async def slow_compute(task: Task) -> types.CallToolResult:
        await asyncio.sleep(float(arguments.get("seconds", 0)))
        return done(f"computed {arguments.get('label', '')}")

    async def failing_job(task: Task) -> types.CallToolResult:
        await asyncio.sleep(0.3)
        return done("This job fails on purpose", is_error=True)

    async def protocol_error_job(task: Task) -> types.CallToolResult:
        await asyncio.sleep(0.1)
        raise MCPError(types.INTERNAL_ERROR, "This job breaks on purpose")

    async def confirm_delete(task: Task) -> types.CallToolResult:
        await task.ask({"confirm": confirm})
        return done(f"deleted {arguments.get('filename')}")

    async def multi_input(task: Task) -> types.CallToolResult:
        await task.ask({"first": confirm, "second": confirm})
        return done("both answered")

    return {
        work.__name__: work
        for work in (slow_compute, failing_job, protocol_error_job, confirm_delete, multi_input)
    }.get(tool)


async def _asked_first(
    tasks: Tasks, context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult | dict[str, Any]:
    asked: Asked = {"user_name": form("What is your name?", {"name": {"type": "string"}})}
    outcome = await ask(context, params, asked, state="before-the-task")
    if isinstance(outcome, types.InputRequiredResult):
        return outcome
    name = (outcome["user_name"].content or {}).get("name")

    async def hello(task: Task) -> types.CallToolResult:
        await asyncio.sleep(0.1)
        return done(f"Hello, {name}!")

    return tasks.start(hello) if declared(context) else done(f"Hello, {name}!")
