"""What the MCP gateway costs over HTTP: `python -m bench.mcp [--quick]`.

One run measures, in turns, a tool server directly, through a bare SDK proxy, through `interlock serve`
(identity, decision and journal on) and through fastmcp's default proxy (`bench/peers.txt`, installed into
an environment of its own). Only ratios of this run are judged; a floor that is missed fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from bench.mcp_gateway import prepare
from mcp.client.streamable_http import streamable_http_client

from mcp import Client

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / ".peers"
ADDED_FLOOR, RATE_FLOOR, GROWTH_FLOOR = 1.3, 10.0, 8 * 1024 * 1024
CALLERS = 8


@dataclass
class Way:
    """One way to the tool, and what was measured on it."""

    name: str
    url: str
    token: str = ""
    mode: str = "auto"
    latencies: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.latencies) * 1000

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.latencies, n=100)[98] * 1000

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


@asynccontextmanager
async def connected(way: Way) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {way.token}"} if way.token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(way.url, http_client=http), mode=way.mode, cache=None) as client,
    ):
        await client.list_tools()
        yield client


async def in_turns(ways: list[Way], count: int) -> None:
    """Call each way once, then each again: what else the machine does meets all of them alike."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(way)) for way in ways]
        for client in clients:
            await side_by_side(client, 5)
        for number in range(count):
            for way, client in zip(ways, clients, strict=True):
                started = time.perf_counter()
                await call(client, number)
                way.latencies.append(time.perf_counter() - started)


async def side_by_side(client: Client, count: int) -> float:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(client, number)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return count / (time.perf_counter() - started)


async def call(client: Client, number: int) -> None:
    result = await client.call_tool("lookup", {"key": f"k{number}"})
    if result.is_error:
        raise SystemExit(f"a call failed: {result.content}")


async def throughput(way: Way, count: int) -> None:
    async with connected(way) as client:
        await side_by_side(client, CALLERS)
        way.rates.append(await side_by_side(client, count))


async def soak(way: Way, pid: int, calls: int) -> tuple[int, int]:
    """Make `calls` calls through the gateway; return its memory after the first fifth and at the end."""
    async with connected(way) as client:
        await side_by_side(client, calls // 5)
        before = memory(pid)
        await side_by_side(client, calls - calls // 5)
        return before, memory(pid)


def memory(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    try:
        for _ in range(400):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except httpx2.TransportError:
                if process.poll() is not None:
                    raise SystemExit(f"{command[-1]} ended with {process.returncode}") from None
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def peer_python() -> str:
    """Return the python of the peers' environment, made where it is missing."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        uv = str(ROOT / ".tools" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(PEERS)], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", str(python), "-r", "bench/peers.txt"],
            check=True,
            cwd=ROOT,
        )
    return str(python)


def free_ports(count: int) -> list[int]:
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def run(ways: list[Way], gateway_pid: int, quick: bool) -> tuple[int, int]:
    rounds, alone, together = (4, 80, 160) if quick else (10, 300, 300)
    slow = [way for way in ways if way.name.startswith("fastmcp")]
    modern = [way for way in ways if way.mode == "auto" and way not in slow]
    legacy = [way for way in ways if way.mode == "legacy"]
    for turn in range(rounds):
        await in_turns(modern, alone)
        await in_turns(legacy, alone // 4)
        await in_turns(slow, alone // 20)
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            await throughput(way, together // 6 if way in slow else together)
    gateway = next(each for each in ways if each.name == "interlock")
    return await soak(gateway, gateway_pid, 2_000 if quick else 20_000)


def report(ways: list[Way], before: int, after: int) -> bool:
    print(f"{'way':<22}{'p50 ms':>9}{'p99 ms':>9}{'calls/s (8)':>13}{'added p50':>11}")
    direct = {each.mode: each.p50 for each in ways if each.name.startswith("direct")}
    for each in ways:
        added = each.p50 - direct[each.mode]
        print(f"{each.name:<22}{each.p50:>9.2f}{each.p99:>9.2f}{each.rate:>13.0f}{added:>11.2f}")
    by_name = {each.name: each for each in ways}
    base = by_name["direct"].p50
    added = (by_name["interlock"].p50 - base) / (by_name["bare proxy"].p50 - base)
    turns = zip(by_name["interlock"].rates, by_name["fastmcp default"].rates, strict=True)
    rate = statistics.median(ours / theirs for ours, theirs in turns)
    grown = after - before
    verdicts = [
        (f"added p50 {added:.2f} x the bare proxy's (at most {ADDED_FLOOR})", added <= ADDED_FLOOR),
        (f"calls/s {rate:.1f} x fastmcp's default proxy (at least {RATE_FLOOR:.0f})", rate >= RATE_FLOOR),
        (
            f"memory {before >> 20} MB, then {after >> 20} MB (at most +{GROWTH_FLOOR >> 20} MB)",
            grown <= GROWTH_FLOOR,
        ),
    ]
    for text, held in verdicts:
        print(f"{'ok  ' if held else 'FAIL'} {text}")
    return all(held for _, held in verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls")
    quick = parser.parse_args().quick
    upstream_port, bare_port, gateway_port, peer_port = free_ports(4)
    upstream = f"http://127.0.0.1:{upstream_port}/mcp"
    with tempfile.TemporaryDirectory() as folder:
        token, legacy_token = prepare(Path(folder), upstream)
        serve = [sys.executable, "-m", "interlock.cli", "serve", "--quiet", "--port", str(gateway_port)]
        with (
            running([sys.executable, "-m", "bench.mcp_upstream", str(upstream_port)], upstream_port),
            running([sys.executable, "-m", "bench.mcp_bare", str(bare_port), upstream], bare_port),
            running([peer_python(), "-m", "bench.mcp_fastmcp", str(peer_port), upstream], peer_port),
            running(serve, gateway_port, INTERLOCK_DATA=folder) as gateway,
        ):
            bare, ours = f"http://127.0.0.1:{bare_port}/mcp", f"http://127.0.0.1:{gateway_port}/mcp"
            ways = [
                Way("direct", upstream),
                Way("bare proxy", bare),
                Way("interlock", ours, token),
                Way("fastmcp default", f"http://127.0.0.1:{peer_port}/mcp"),
                Way("direct, legacy", upstream, mode="legacy"),
                Way("bare proxy, legacy", bare, mode="legacy"),
                Way("interlock, legacy", ours, legacy_token, mode="legacy"),
            ]
            before, after = asyncio.run(run(ways, gateway.pid, quick))
        sys.exit(0 if report(ways, before, after) else 1)


if __name__ == "__main__":
    main()
