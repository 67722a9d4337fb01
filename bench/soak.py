"""A long load on the LLM gateway, with everything on: `python -m bench.soak [--seconds 600] [--rate 200]`.

Plain and streamed calls of two workflows, one of them strict, through `interlock serve` to the native model
server, all on loopback: runs are opened, call and end, over and over. It fails when the gateway's memory
grows, when a call fails, when an account is not the sum of its rows, or when anything is left held.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import sqlalchemy as sa
import uvloop
from bench.llm_data import MODEL
from bench.llm_gateway import chat, free_ports, memory, running, upstream
from bench.llm_load import Line, connect, request

from interlock.core.hold import HoldState
from interlock.settings import Settings
from interlock.store import accounts, holds, model_calls
from interlock.store.database import open_reader
from interlock.store.schema import holds as hold_rows

CALLERS, CALLS_OF_A_RUN, EVERY = 8, 200, 15.0
WARM_UP = 0.5
"""The part of the time after which memory is flat: allocator and collector settle within 15,000 calls."""
GROWTH = 8 << 20
"""Bytes that memory may grow by from then on, by the median of all slopes between two samples."""
KINDS = (("write", False), ("write", True), ("careful", False), ("write", False))
WORKFLOWS = ("write", "careful")
BUDGET = "run: 1000000, hour: 1000000, day: 1000000, month: 1000000"
MANIFEST = """
apiVersion: interlock/v1
kind: Person
metadata: {{name: maria}}
spec: {{email: maria@example.com, roles: [admin, agent_owner, approver]}}
---
apiVersion: interlock/v1
kind: Team
metadata: {{name: support}}
spec: {{members: [maria], budget: {{{budget}}}}}
---
apiVersion: interlock/v1
kind: Organisation
metadata: {{name: acme}}
spec: {{budget: {{{budget}}}}}
---
apiVersion: interlock/v1
kind: Agent
metadata: {{name: writer}}
spec: {{owner: maria, purpose: load}}
---
apiVersion: interlock/v1
kind: Provider
metadata: {{name: mock}}
spec:
  base_url: {upstream}/v1
  wire_format: openai
  models: [{{name: {model}, price: {{input: 2, output: 8}}, window: 200000, max_output: 4096}}]
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: write}}
spec: {{agent: writer, owner: maria, models: {{allow: [{model}]}}, budget: {{{budget}}}}}
---
apiVersion: interlock/v1
kind: Workflow
metadata: {{name: careful}}
spec: {{agent: writer, owner: maria, models: {{allow: [{model}]}}, budget: {{{budget}, strict: true}}}}
"""


@dataclass
class Load:
    """What was done so far, and the gateway's memory by the second (seconds, bytes)."""

    calls: int = 0
    streams: int = 0
    runs: int = 0
    errors: list[str] = field(default_factory=list)
    samples: list[tuple[float, int]] = field(default_factory=list)


class Office:
    """Opens and ends runs, as a person does over the API."""

    def __init__(self, data: Path, port: int) -> None:
        token = json.loads((data / "credentials.json").read_text())["token"]
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self._person = {"Authorization": f"Bearer {token}"}

    async def open(self, workflow: str) -> tuple[str, str]:
        """Open a run of a workflow; return its id and a token."""
        opened = await self._post("/api/v1/runs", json={"workflow": workflow})
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:interlock:token-type:enrolment-code",
            "subject_token": opened["code"],
            "workflow": workflow,
        }
        given = await self._http.post("/oauth/token", data=form)
        given.raise_for_status()
        return given.json()["run"], given.json()["access_token"]

    async def end(self, run: str) -> None:
        """End a run."""
        await self._post(f"/api/v1/runs/{run}/end", json={"reason": "done"})

    async def _post(self, path: str, json: object) -> dict[str, str]:
        answered = await self._http.post(path, json=json, headers=self._person)
        answered.raise_for_status()
        return answered.json()


async def caller(load: Load, office: Office, port: int, *, over: Callable[[], bool], pause: float) -> None:
    """Open runs and call the model, one call every `pause` seconds, until it is over."""
    plain, stream = chat(2_000), chat(2_000, stream=True)
    line, due, kinds = await connect(port), time.monotonic(), itertools.cycle(KINDS)
    while not over():
        opened = {workflow: await office.open(workflow) for workflow in WORKFLOWS}
        load.runs += len(opened)
        for workflow, streamed in itertools.islice(kinds, CALLS_OF_A_RUN):
            body = request(port, opened[workflow][1], stream if streamed else plain)
            line = await _call(load, line, body, port)
            load.calls, load.streams = load.calls + 1, load.streams + streamed
            due = max(due + pause, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if over():
                break
        for run, _ in opened.values():
            await office.end(run)
    line.close()


async def _call(load: Load, line: Line, body: bytes, port: int) -> Line:
    """Make one call; return the connection for the next."""
    try:
        await line.ask(body)
    except (SystemExit, ConnectionError) as error:  # the client's way to say that an answer was not 200
        load.errors.append(str(error)[:300])
        line.close()
        return await connect(port)
    return line


async def watch(load: Load, pid: int) -> None:
    """Sample the gateway's memory every second, and say where it stands."""
    began = time.monotonic()
    for second in itertools.count():
        load.samples.append((time.monotonic() - began, memory(pid)))
        if second % EVERY == 0:
            now, held = load.samples[-1]
            print(
                f"{now:6.0f} s  {held >> 20:5} MB  {load.calls:8,} calls  {len(load.errors)} errors",
                flush=True,
            )
        await asyncio.sleep(1)


async def soak(load: Load, data: Path, port: int, pid: int, *, seconds: float, rate: float) -> None:
    """Load the gateway for so many seconds, at most `rate` calls a second."""
    office, ends = Office(data, port), time.monotonic() + seconds
    watching = asyncio.ensure_future(watch(load, pid))

    def over() -> bool:
        return time.monotonic() >= ends

    calling = (caller(load, office, port, over=over, pause=CALLERS / rate) for _ in range(CALLERS))
    await asyncio.gather(*calling)
    watching.cancel()


def growth(samples: Sequence[tuple[float, int]]) -> float:
    """Return by how many bytes memory grew after the warm-up: the median slope, times the time."""
    last = samples[-1][0]
    flat = [(at, held) for at, held in samples if at >= WARM_UP * last]
    step = max(1, len(flat) // 200)
    slopes = [(b - a) / (then - at) for (at, a), (then, b) in itertools.combinations(flat[::step], 2)]
    return statistics.median(slopes) * (1 - WARM_UP) * last if slopes else 0.0


def wrong(data: Path, calls: int) -> Iterator[str]:
    """Yield what the books of a stopped gateway have wrong."""
    with open_reader(Settings(data=data)) as found:
        rows = accounts.listed(found, "dev", limit=100_000)
        sums, uncertain = model_calls.sums(found), holds.uncertain(found, [row.id for row in rows])
        for row in rows:
            summed = sums.get(row.id, 0) + row.charged + uncertain.get(row.id, 0)
            if row.spent != summed:
                yield f"{row.id} says {row.spent} was spent; its rows say {summed}"
            if row.leased or row.charged:
                yield f"{row.id} is left with {row.leased} leased and {row.charged} charged"
        active = sa.select(sa.func.count()).where(hold_rows.c.state == HoldState.ACTIVE.value)
        if left := found.execute(active).scalar_one():
            yield f"{left} holds are left active"
        entries = found.execute(sa.select(sa.func.count()).select_from(model_calls.model_calls)).scalar_one()
        if entries != calls:
            yield f"the ledger has {entries} rows for {calls} calls"


def problems(load: Load, data: Path) -> list[str]:
    """Print the figures; return what is wrong."""
    found = [f"a call failed: {each}" for each in load.errors[:3]]
    found += wrong(data, load.calls)
    grown = growth(load.samples)
    if grown > GROWTH:
        found.append(f"memory grew by {grown / (1 << 20):.1f} MB (at most {GROWTH >> 20} MB)")
    most = max(held for _, held in load.samples)
    print(
        f"{load.calls:,} calls ({load.streams:,} streamed) of {load.runs:,} runs, {len(load.errors)} errors"
    )
    print(
        f"memory {most >> 20} MB at most, {grown / (1 << 20):+.1f} MB after the first {WARM_UP:.0%} of time"
    )
    return found


def main() -> None:
    """Run the soak; exit 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long the load lasts")
    parser.add_argument("--rate", type=float, default=200, help="calls a second at most")
    options, load = parser.parse_args(), Load()
    ports = free_ports(2)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, data = Path(name), Path(name) / "data"
        known = {**os.environ, "INTERLOCK_DATA": str(data)}
        server = f"http://127.0.0.1:{ports[0]}"
        manifest = folder / "manifest.yaml"
        manifest.write_text(MANIFEST.format(budget=BUDGET, upstream=server, model=MODEL))
        command = [sys.executable, "-m", "interlock.cli"]
        subprocess.run(
            [*command, "apply", "--yes", str(manifest)], check=True, env=known, stdout=subprocess.DEVNULL
        )
        serve = [*command, "serve", "--quiet", "--port", str(ports[1])]
        stack.enter_context(running(upstream(folder, ports[0]), ports[0], 1))
        with running(serve, ports[1], 0, INTERLOCK_DATA=str(data)) as ours:
            uvloop.run(soak(load, data, ports[1], ours.pid, seconds=options.seconds, rate=options.rate))
        found = problems(load, data)
    for each in found or ["ok: memory is flat, every hold is settled, every account is the sum of its rows"]:
        print(each)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
