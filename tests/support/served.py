"""`interlock serve` as a subprocess on a free port, with a manifest applied, for real clients.

Nothing here is encrypted, so no client loads certificates: that takes longer than most of the requests.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from mcp import Client
from support.gateway import WORKSHOP
from support.warm import INTERLOCK, PYTHON

_STARTING = 60.0
_ADDRESS = re.compile(r"^Interlock serves .* at (http://\S+)")
MAP = "blast_radius: {widest_scope: none, impact: none, reversible: always}"
PEOPLE = """
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin, agent_owner, approver]}
---
apiVersion: interlock/v1
kind: Agent
metadata: {name: bot}
spec: {owner: maria, purpose: test}
"""
"""A person and an agent: what a manifest begins with."""
SHOP = f"""{PEOPLE}---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: shop}}
spec: {{transport: stdio, command: [{", ".join(PYTHON)}, {WORKSHOP}], source: internal}}
"""
"""A person, an agent and a workshop server: what a manifest of a story about calls begins with."""
_REFUNDS = """
apiVersion: interlock/v1
kind: Person
metadata: {{name: maria}}
spec: {{email: maria@example.com, roles: [admin, agent_owner, developer, approver]}}
---
apiVersion: interlock/v1
kind: Agent
metadata: {{name: bot}}
spec: {{owner: maria, purpose: tests}}
---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: desk}}
spec: {{transport: stdio, command: [{python}, -m, interlock.testing.helpdesk, --state, {state}]}}
---
apiVersion: interlock/v1
kind: Tool
metadata: {{name: desk.refund}}
spec:
  tier: high_blast_radius
  effect: once
  blast_radius: {{widest_scope: one payment, impact: money leaves, reversible: none}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: refunds}}
spec:
  agent: bot
  owner: maria
  tools: [{{tool: desk.refund, max_calls: 5}}]
  approvals: {{approvers: [maria]}}
"""
REFUNDER = """
import asyncio, os, sys
from mcp import Client
async def main():
    async with Client(os.environ["MCP_SERVER_URL"]) as client:
        for ticket in sys.argv[1:]:
            given = {"ticket": ticket, "amount_cents": 1500, "currency": "EUR"}
            await client.call_tool("desk.refund", given)
asyncio.run(main())
"""
"""An agent program that asks for a refund of each ticket named, and goes."""


def refunds(state: Path) -> str:
    """Return a manifest of one workflow whose refunds, by a help desk on `state`, wait for a person."""
    return _REFUNDS.format(python=", ".join(PYTHON), state=state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server and its data directory."""

    data: Path
    url: str
    process: subprocess.Popen[str]
    said: _Said
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that belongs to this server."""
        return environment(self.data, **self.settings)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the server."""
        return subprocess.run(
            [*INTERLOCK, *arguments], env=self.environment, capture_output=True, text=True, timeout=60
        )

    def json(self, *arguments: str) -> Any:
        """Run a command and return what it prints with `--json`."""
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def api(self, path: str) -> Any:
        """Return what the API answers to the administrator at `path`; quicker than a command."""
        headers = {"Authorization": f"Bearer {self.person()}"}
        answer = httpx2.get(f"{self.url}/api/v1/{path}", headers=headers, timeout=30, verify=False)
        assert answer.is_success, answer.text
        return answer.json()

    def kill(self) -> None:
        """Kill the server with -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    @asynccontextmanager
    async def over_http(self, token: str, mode: str = "auto", **options: Any) -> AsyncGenerator[Client]:
        """Yield an SDK client of one era that presents `token`."""
        async with httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=60, verify=False
        ) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, cache=None, **options) as client:
                yield client

    def over_stdio(self, mode: str = "auto", **options: Any) -> Client:
        """Return an SDK client of one era that starts `interlock mcp` for the workflow `work`."""
        command = StdioServerParameters(
            command=INTERLOCK[0],
            args=[*INTERLOCK[1:], "mcp", "--workflow", "work"],
            env=self.environment,
        )
        return Client(command, mode=mode, cache=None, **options)

    def person(self) -> str:
        """Return the administrator's token."""
        return json.loads((self.data / "credentials.json").read_text())["token"]

    def token(self, workflow: str) -> str:
        """Open a run and return its first token."""
        headers = {"Authorization": f"Bearer {self.person()}"}
        opened = httpx2.post(
            f"{self.url}/api/v1/runs", json={"workflow": workflow}, headers=headers, timeout=30, verify=False
        )
        assert opened.is_success, opened.text
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:interlock:token-type:enrolment-code",
            "subject_token": opened.json()["code"],
            "workflow": workflow,
        }
        given = httpx2.post(f"{self.url}/oauth/token", data=form, timeout=30, verify=False)
        assert given.is_success, given.text
        return given.json()["access_token"]


def environment(data: Path, **more: str) -> dict[str, str]:
    """Return an environment with nothing of ours in it but the data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    return {**kept, "INTERLOCK_DATA": str(data), **more}


def apply(data: Path, manifest: str, **settings: str) -> None:
    """Apply `manifest` to a data directory that nobody serves, or through who does."""
    file = data.parent / f"{data.name}.yaml"
    file.write_text(manifest)
    known = environment(data, **settings)
    applied = subprocess.run(
        [*INTERLOCK, "apply", "--yes", str(file)], env=known, capture_output=True, text=True, timeout=60
    )
    assert applied.returncode == 0, applied.stdout + applied.stderr


@contextmanager
def served(
    data: Path, manifest: str, python: tuple[str, ...] = PYTHON, /, **settings: str
) -> Generator[Served]:
    """Apply `manifest` to a new data directory and serve it until the block ends."""
    apply(data, manifest, **settings)
    with serving(data, python, **settings) as running:
        yield running


@contextmanager
def serving(data: Path, python: tuple[str, ...] = PYTHON, /, **settings: str) -> Generator[Served]:
    """Serve a data directory until the block ends; it may be killed before.

    A test that kills the process, measures it or asks for its number starts it with the `REAL` interpreter.
    """
    known = environment(data, **settings)
    command = [*python, "-m", "interlock.cli", "serve", "--port", settings.get("INTERLOCK_PORT", "0")]
    process = subprocess.Popen(command, env=known, stderr=subprocess.PIPE, text=True)
    said = _Said(process)
    try:
        yield Served(data=data, url=said.address(), process=process, said=said, settings=settings)
    finally:
        process.terminate()
        process.wait(timeout=30)
        said.close()


class _Said:
    """What a server says on stderr, read as it comes: a chatty one is never held up by us."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self._stream = process.stderr
        self._first: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.tail: deque[str] = deque(maxlen=200)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self.tail.append(line)
            self._first.put(line)
        self._first.put("")

    def address(self) -> str:
        """Wait until the server says where it listens, and return that."""
        while line := self._first.get(timeout=_STARTING):
            if found := _ADDRESS.search(line):
                return found[1]
        raise AssertionError(f"the server ended: {''.join(self.tail)}")

    def close(self) -> None:
        """Read the rest; the process has ended."""
        self._thread.join(timeout=10)
        self._stream.close()


def tool(name: str, tier: str = "high_blast_radius", effect: str = "once", more: str = "") -> str:
    """Return the manifest's document of one tool."""
    return f"""---
apiVersion: interlock/v1
kind: Tool
metadata: {{name: {name}}}
spec: {{tier: {tier}, effect: {effect}, {MAP}{more}}}
"""


def functions(name: str) -> str:
    """Return the manifest's document of a tool server that is a program of ours."""
    return f"""---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: {name}}}
spec: {{transport: sdk, source: internal}}
"""


def read_tool(name: str) -> str:
    """Return the manifest's document of one tool that only reads."""
    return tool(name, "read_only", "read")


def workflow(*tools: str, more: str = "") -> str:
    """Return the manifest's document of the workflow `work` of `bot`, with these tools."""
    granted = ", ".join(f"{{tool: {each}}}" for each in tools)
    return f"""---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: work}}
spec: {{agent: bot, owner: maria, tools: [{granted}]{more}}}
"""


def status(result: types.CallToolResult) -> str:
    """Return what a result says became of its call; `done` where it is the tool's own."""
    return (result.structured_content or {}).get("status", "done")


def approval(result: types.CallToolResult) -> str:
    """Return the handle of a pending answer."""
    return (result.structured_content or {})["approval_id"]


def text(result: types.CallToolResult) -> str:
    """Return the text of a result."""
    return result.content[0].text  # pyright: ignore[reportAttributeAccessIssue]


def until(found: Any, *, seconds: float = 60, pause: float = 0.05) -> Any:
    """Return what `found` returns as soon as it is true; `seconds` is for a machine that is very busy.

    Between two looks is a `pause`: a longer one where it is a command that looks.
    """
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(pause)
    raise AssertionError("it did not come true in time")
