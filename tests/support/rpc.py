"""The wire as an attacker has it: JSON-RPC of the modern era, byte for byte, without an SDK in between."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx2

_ERA = "2026-07-28"
_TASKS = "io.modelcontextprotocol/tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A client of one gateway that holds one run token."""

    http: httpx2.AsyncClient
    url: str
    token: str = ""

    async def post(self, body: bytes, **headers: str) -> httpx2.Response:
        """Send a body as it is."""
        sent = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": _ERA,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if self.token:
            sent["authorization"] = f"Bearer {self.token}"
        return await self.http.post(self.url, content=body, headers=sent)

    async def call_raw(
        self, tool: str, arguments: str, *, tasks: bool = False, more: str = ""
    ) -> httpx2.Response:
        """Call a tool with arguments that are sent as they are written."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": _ERA,
            "io.modelcontextprotocol/clientInfo": {"name": "attacker", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {_TASKS: {}}} if tasks else {},
        }
        params = f'"name":{json.dumps(tool)},"arguments":{arguments},"_meta":{json.dumps(meta)}{more}'
        body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{' + params + "}}"
        return await self.post(body.encode(), mcp_method="tools/call", mcp_name=tool)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its result."""
        answer = await self.call_raw(tool, json.dumps(arguments))
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    async def ask(self, method: str, params: dict[str, Any], **headers: str) -> dict[str, Any]:
        """Send any request with the tasks extension declared; return the whole answer."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": _ERA,
            "io.modelcontextprotocol/clientInfo": {"name": "attacker", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {_TASKS: {}}},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        answer = await self.post(json.dumps(body).encode(), mcp_method=method, **headers)
        return answer.json()


def said(result: dict[str, Any]) -> str:
    """Return the text of a tool result."""
    return str(result["content"][0]["text"])
