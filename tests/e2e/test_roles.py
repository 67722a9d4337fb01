"""One environment served by processes of different roles: calls, the API and tools, each in its own.

A gateway, the API and the clock, each a process of its own, on one PostgreSQL.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.llm_gateway import memory

from interlock.testing import ModelServer
from support.served import (
    PEOPLE,
    SHOP,
    Served,
    apply,
    approval,
    environment,
    serving,
    status,
    text,
    tool,
    until,
    workflow,
)
from support.stores import PostgresForTests
from support.warm import INTERLOCK, REAL

WITHIN = 2.0
HELD = 100_000_000
"""Bytes that a process for model calls alone may hold."""
LEFT_OUT = ("pydantic_core", "jsonschema_rs", "ruamel")
"""Libraries, by what is mapped into memory, that a process for model calls alone never loads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The three processes, the manifest in force, and what the gateway was like before there were tools."""

    gateway: Served
    control: Served
    worker: Served
    held: int
    mapped: str
    manifest: str
    settings: dict[str, str]

    def ask(self, token: str) -> httpx2.Response:
        """Call a model."""
        asked = {"model": "gpt-test", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.gateway.url}/v1/chat/completions"
        return httpx2.post(url, json=asked, headers=headers, timeout=30)

    def post(self, path: str, **body: Any) -> Any:
        """Tell the API something in the administrator's name."""
        headers = {"Authorization": f"Bearer {self.control.person()}"}
        said = httpx2.post(f"{self.control.url}/api/v1/{path}", json=body, headers=headers, timeout=30)
        assert said.is_success, said.text
        return said.json()


def a_manifest(upstream: str, *, tools: bool = True) -> str:
    """Return a manifest with a model, and a tool whose calls wait for a person."""
    provider = f"""---
apiVersion: interlock/v1
kind: Provider
metadata: {{name: mock}}
spec:
  base_url: {upstream}/v1
  wire_format: openai
  models: [{{name: gpt-test, price: {{input: 2, output: 8}}, window: 100000, max_output: 4096}}]
"""
    more = ", models: {allow: [gpt-test]}, approvals: {approvers: [maria]}"
    if not tools:
        return PEOPLE + provider + workflow(more=more)
    return SHOP + provider + tool("shop.echo") + workflow("shop.echo", more=more)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresForTests) -> Iterator[Office]:
    """Three processes on one database."""
    folder = tmp_path_factory.mktemp("roles")
    key = b64encode(b"m" * 32).decode()
    shared = {
        "INTERLOCK_DATABASE": postgres_server.database(),
        "INTERLOCK_MASTER_KEY": key,
        "INTERLOCK_SELF_APPROVE": "1",
    }
    with ModelServer() as upstream, ExitStack() as stack:
        apply(folder / "control", a_manifest(upstream.url, tools=False), **shared)

        def start(role: str) -> Served:
            return stack.enter_context(serving(folder / role, REAL, **shared, INTERLOCK_ROLE=role))

        with ThreadPoolExecutor() as side_by_side:
            control, worker, gateway = side_by_side.map(start, ("control", "worker", "gateway"))
        pid, manifest = gateway.process.pid, a_manifest(upstream.url)
        held, mapped = memory(pid), Path(f"/proc/{pid}/maps").read_text()
        apply(folder / "control", manifest, **shared)
        yield Office(
            gateway=gateway,
            control=control,
            worker=worker,
            held=held,
            mapped=mapped,
            manifest=manifest,
            settings=shared,
        )


def test_a_run_that_one_process_opens_calls_models_through_another(office: Office) -> None:
    token = office.control.token("work")
    assert office.ask(token).status_code == 200
    jwks = "/.well-known/jwks.json"
    known = httpx2.get(office.control.url + jwks, timeout=30, verify=False).json()
    for each in (office.gateway, office.control, office.worker):
        assert httpx2.get(each.url + jwks, timeout=30, verify=False).json() == known
        assert httpx2.get(f"{each.url}/healthz", timeout=30, verify=False).status_code == 200
        assert httpx2.get(f"{each.url}/readyz", timeout=30, verify=False).json()["ready"], each


def test_each_process_serves_what_its_role_says_and_names_who_serves_the_rest(office: Office) -> None:
    with httpx2.Client(timeout=30) as http:
        api = http.get(f"{office.gateway.url}/api/v1/runs")
        assert (api.status_code, api.json()["error"]["code"]) == (404, "not_served_here")
        assert http.post(f"{office.gateway.url}/mcp", json={}).status_code == 401
        assert http.post(f"{office.worker.url}/mcp", json={}).status_code == 404
        assert http.post(f"{office.control.url}/v1/chat/completions", json={}).status_code == 404
        assert http.get(f"{office.worker.url}/api/v1/runs").status_code == 404
        proposed = "/api/v1/actions"
        assert http.post(office.gateway.url + proposed, json={}).status_code == 401
        assert http.post(office.control.url + proposed, json={}).status_code == 405


def test_a_gateway_loads_nothing_but_what_model_calls_need_until_there_are_tools(office: Office) -> None:
    assert not [each for each in LEFT_OUT if each in office.mapped]
    assert office.held < HELD


def test_an_ended_run_and_a_narrower_policy_refuse_on_the_gateway_within_two_seconds(
    office: Office,
) -> None:
    token, other = office.control.token("work"), office.control.token("work")
    assert office.ask(token).status_code == office.ask(other).status_code == 200
    run = office.control.api("runs?state=open")["items"]
    for each in run:
        office.post(f"runs/{each['id']}/end", reason="over")
    began = time.monotonic()
    until(lambda: office.ask(token).status_code == 401, seconds=WITHIN)
    last = office.control.token("work")
    assert office.ask(last).status_code == 200
    apply(office.control.data, office.manifest.replace("allow: [gpt-test]", "allow: []"), **office.settings)
    began = time.monotonic()
    said = until(lambda: (got := office.ask(last)).status_code != 200 and got, seconds=WITHIN)
    assert said.json()["error"]["code"] == "unknown_model" or said.status_code in {403, 404}, said.text
    assert time.monotonic() - began < WITHIN
    apply(office.control.data, office.manifest, **office.settings)


def test_a_call_that_waits_in_one_process_is_decided_in_another_and_carried_out_where_it_waits(
    office: Office,
) -> None:
    async def story() -> str:
        async with office.gateway.over_http(office.control.token("work")) as client:
            calling = asyncio.ensure_future(client.call_tool("echo", {"text": "hello"}))
            waits = await asyncio.to_thread(until, lambda: office.control.api("approvals")["items"])
            await asyncio.to_thread(office.post, f"approvals/{waits[0]['id']}/approve", reason="fine")
            result = await asyncio.wait_for(calling, 10)
            assert status(result) == "done", approval(result)
            return text(result)

    assert asyncio.run(story()) == "hello"


def test_sqlite_is_not_split(tmp_path: Path) -> None:
    done = subprocess.run(
        [*INTERLOCK, "serve", "--role", "gateway"],
        env=environment(tmp_path / "d"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "on PostgreSQL only" in done.stderr
    assert "INTERLOCK_DATABASE" in done.stderr
