"""Functions of programs over HTTP: what a program offers, the calls it takes, and how they ended (E1).

A program speaks with the token of its run, and only where its workflow grants a tool of that server. It is
handed calls of its own run alone, and undos, which belong to nobody's run.
"""

from __future__ import annotations

import asyncio
from typing import Literal, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.model import Json, Principal
from interlock.errors import NotFound, NotPermitted, StateConflict, UsageError
from interlock.upstream.executor import Failed, Outcome, Succeeded, Unknown
from interlock.upstream.functions import MOST_FUNCTIONS
from interlock.web.auth import program_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.wiring import Wired

_LONGEST_WAIT = 30.0
_LONGEST_MESSAGE = 500


class Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One function, as an MCP tool definition, and the dotted tool that takes its effect back."""

    name: str
    input_schema: dict[str, Json]
    description: str = ""
    undo: str = ""


class TakeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the program offers, and how long it waits for a call (s)."""

    functions: list[Function]
    wait: float = 0.0


class FinishBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a function ended: `unknown` when it may or may not have had its effect."""

    ended: Literal["succeeded", "failed", "unknown"]
    result: Json = None
    message: str = ""


async def take(request: Request) -> Response:
    """Offer functions and take the next call: 200 with it, 204 when there was none in time."""
    server, holder = _server(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, TakeBody)
    if len(body.functions) > MOST_FUNCTIONS:
        raise UsageError(f"A program offers at most {MOST_FUNCTIONS} functions.")
    functions = wired.servers.functions
    _check_undos(wired, server, body.functions)
    offered = [
        {"name": each.name, "description": each.description, "inputSchema": each.input_schema}
        for each in body.functions
    ]
    functions.offer(server, holder.run, offered)
    await wired.registrar.register(server)
    wait = min(max(body.wait, 0.0), _LONGEST_WAIT) if body.wait == body.wait else 0.0
    spawn = wired.runtime.scheduler.spawn
    taking = spawn(functions.take(server, holder.run, wait=wait), name=f"calls of {server}")
    gone = spawn(_gone(request), name=f"the program of {holder.run}")
    try:  # a program that went away must take no call with it
        await asyncio.wait((taking, gone), return_when=asyncio.FIRST_COMPLETED)
        ticket = taking.result() if taking.done() else None
    finally:
        taking.cancel()
        gone.cancel()
    return Response(status_code=204) if ticket is None else json_response(msgspec.to_builtins(ticket))


async def start(request: Request) -> Response:
    """Say that the program runs the function now. 409 when the call is not its any more."""
    server, holder = _server(request)
    wired: Wired = request.app.state.wired
    if not wired.servers.functions.start(server, request.path_params["ticket"], holder.run):
        raise StateConflict("This call is not waiting for this program any more.", hint="Do not run it.")
    return json_response({"started": True})


async def finish(request: Request) -> Response:
    """Say how the function ended. 409 when nobody waits for that any more."""
    server, holder = _server(request)
    wired: Wired = request.app.state.wired
    body = await read_body(request, FinishBody)
    ended = wired.servers.functions.finish(server, request.path_params["ticket"], holder.run, _outcome(body))
    if not ended:
        raise StateConflict(
            "This call's time is over: its outcome was settled without the program.",
            hint="interlock actions list --state in_doubt",
        )
    return json_response({"finished": True})


async def _gone(request: Request) -> None:
    """Return when the caller has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _server(request: Request) -> tuple[str, Principal]:
    """Return the server of functions and who may offer them. Raises `NotFound`, `NotPermitted`."""
    holder = program_of(request)
    wired: Wired = request.app.state.wired
    server: str = request.path_params["server"]
    if server not in wired.servers.functions:
        raise NotFound(
            f"The manifest declares no server of functions {server!r}.",
            hint="kind: ToolServer, spec: {transport: sdk}",
        )
    bundle = wired.memory.bundle
    workflow = None if bundle is None else bundle.workflows.get(holder.workflow)
    granted = () if workflow is None else workflow.grants
    if not any(tool.startswith(f"{server}.") for tool in granted):
        raise NotPermitted(f"The workflow {holder.workflow!r} is granted no tool of {server!r}.")
    return server, holder


def _check_undos(wired: Wired, server: str, functions: list[Function]) -> None:
    """Refuse a program whose undo is not the one that was reviewed. Raises `UsageError`."""
    bundle = wired.memory.bundle
    for each in functions:
        tool = None if bundle is None else bundle.tools.get(f"{server}.{each.name}")
        if not each.undo or tool is None or tool.document is None:
            continue
        declared = "" if tool.document.undo is None else tool.document.undo.tool
        if declared != each.undo:
            raise UsageError(
                f"The program says that {each.undo} undoes {tool.name}; the manifest says "
                f"{declared or 'that nothing does'}.",
                hint=f"In the manifest's entry of {tool.name}: undo: {{tool: {each.undo}, arguments: …}}",
            )


def _outcome(body: FinishBody) -> Outcome:
    """Return the outcome as every tool server's is: an MCP tool result, or not known."""
    message = body.message[:_LONGEST_MESSAGE]
    if body.ended == "unknown":
        return Unknown(message=message or "The function did not learn whether it had its effect.")
    if body.ended == "failed":
        said = {"content": [{"type": "text", "text": message}], "isError": True}
        return Failed(message=message, payload=said)
    text = msgspec.json.encode(body.result).decode()
    content: Json = [{"type": "text", "text": text}]
    value: Json = body.result
    structured = cast("dict[str, Json]", value) if isinstance(value, dict) else {"result": value}
    return Succeeded(payload={"content": content, "structuredContent": structured})


routes = [
    Route("/api/v1/functions/{server}/take", take, methods=["POST"]),
    Route("/api/v1/functions/{server}/calls/{ticket}/start", start, methods=["POST"]),
    Route("/api/v1/functions/{server}/calls/{ticket}/finish", finish, methods=["POST"]),
]
