"""Stubs for tool servers (D7): they look like the real tools and answer from a script.

A stub has no path to a live system. What was called is kept, in order, for a test to look at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext

Arguments = Mapping[str, Any]
Answer = Mapping[str, Any]

_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    """One stubbed tool: `answer` is its structured result, or a function of the arguments.

    A function may raise `ValueError`; the caller then sees a tool error with that message.
    """

    name: str
    answer: Answer | Callable[[Arguments], Answer]
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=lambda: dict(_ANY_OBJECT))

    def __call__(self, arguments: Arguments) -> Answer:
        return self.answer(arguments) if callable(self.answer) else self.answer


class StubServer:
    """An MCP server made of stubs. `calls` lists every call as `(tool, arguments)`."""

    def __init__(self, name: str, stubs: Sequence[Stub]) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._stubs = {stub.name: stub for stub in stubs}
        if len(self._stubs) != len(stubs):
            raise ValueError("Two stubs have the same name.")
        self.server: Server[Any] = Server(name, on_list_tools=self._list, on_call_tool=self._call)

    async def _list(
        self, _context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(name=stub.name, description=stub.description, input_schema=dict(stub.input_schema))
                for stub in self._stubs.values()
            ]
        )

    async def _call(
        self, _context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        stub = self._stubs.get(params.name)
        if stub is None:
            return _error(f"There is no stub for the tool {params.name!r}.")
        arguments = dict(params.arguments or {})
        self.calls.append((params.name, arguments))
        try:
            answer = dict(stub(arguments))
        except ValueError as error:
            return _error(str(error))
        text = types.TextContent(type="text", text=json.dumps(answer))
        return types.CallToolResult(content=[text], structured_content=answer)


def _error(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], is_error=True)
