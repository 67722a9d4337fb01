"""What the LLM gateway costs: `python -m bench.llm_gateway [--quick] [--peer] [--spans]`.

One run measures, in turns, a native model server directly, through a bare aiohttp pass-through, through
`interlock serve` with identity, five budgets, prices, audit and ledger on, and with `--peer` through the
LiteLLM proxy (`bench/peers-litellm.txt`, in an environment of its own). With `--spans` each call is a span
too, sent to a collector (the model server takes what is posted to it). Gateways are pinned to one core, the
client and the model server to the other. Only ratios of this run are judged; a missed floor fails the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import uvloop
from bench.llm_data import MODEL, prepare
from bench.llm_load import burst, connect, request

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / ".peers-litellm"
ADDED_FLOOR, RATE_FLOOR, FIRST_FLOOR, PEER_FLOOR, GROWTH_FLOOR = 1.5, 0.5, 1.0, 40.0, 8 * 1024 * 1024
CALLERS = 32
_TEXT = "The customer wrote that the parcel never came and asks for the money back. "


def chat(size: int, *, stream: bool = False) -> bytes:
    """Return a chat request of about `size` bytes."""
    turns = [{"role": "system", "content": "You answer customers briefly."}]
    turns += [{"role": "user", "content": _TEXT * 4} for _ in range(max(1, size // 330))]
    return json.dumps({"model": MODEL, "messages": turns, "max_tokens": 256, "stream": stream}).encode()


@dataclass
class Way:
    """One way to the model, and what was measured on it (seconds; calls a second)."""

    name: str
    port: int
    token: str = "none"
    plain: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def request(self, body: bytes) -> bytes:
        """Return the request as this way wants it."""
        return request(self.port, self.token, body)


async def in_turns(ways: list[Way], calls: int, *, kind: str, body: bytes) -> None:
    """Call each way once, then each again: what else the machine does meets all of them alike."""
    lines = [await connect(way.port) for way in ways]
    for way, line in zip(ways, lines, strict=True):
        for _ in range(5):
            await line.ask(way.request(body))
    for _ in range(calls):
        for way, line in zip(ways, lines, strict=True):
            answered = await line.ask(way.request(body))
            getattr(way, kind).append(answered.first if kind == "first" else answered.whole)
    for line in lines:
        line.close()


async def measure(ways: list[Way], *, quick: bool) -> None:
    """Fill every way with its figures."""
    rounds, alone, together = (3, 100, 1_500) if quick else (8, 250, 4_000)
    small, large, stream = chat(2_000), chat(100_000), chat(2_000, stream=True)
    close = [way for way in ways if way.name != "litellm"]
    for turn in range(rounds):
        await in_turns(close, alone, kind="plain", body=small)
        await in_turns(close, alone // 4, kind="large", body=large)
        await in_turns(close, alone // 20, kind="first", body=stream)
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            calls = together // 40 if way.name == "litellm" else together
            way.rates.append(await burst(way.port, way.request(small), callers=CALLERS, calls=calls))


async def soak(way: Way, pid: int, calls: int) -> tuple[int, int]:
    """Make `calls` calls; return the gateway's memory after the first fifth and at the end."""
    sent = way.request(chat(2_000))
    await burst(way.port, sent, callers=CALLERS, calls=calls // 5)
    before = memory(pid)
    await burst(way.port, sent, callers=CALLERS, calls=calls - calls // 5)
    return before, memory(pid)


def memory(pid: int) -> int:
    """Return the memory a process holds, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def report(ways: list[Way], grown: tuple[int, int]) -> bool:
    """Print the figures and the floors; return whether all hold."""
    print(f"{'way':<14}{'p50 us':>9}{'100 KB':>9}{'first us':>10}{'calls/s':>10}")
    by_name = {way.name: way for way in ways}
    for way in ways:
        times = "".join(
            f"{_us(seen):>{width}.0f}" if seen else f"{'-':>{width}}"
            for seen, width in ((way.plain, 9), (way.large, 9), (way.first, 10))
        )
        print(f"{way.name:<14}{times}{statistics.median(way.rates):>10,.0f}")
    held = True
    for said, right in floors(by_name, grown):
        print(f"{'ok  ' if right else 'MISS'} {said}")
        held = held and right
    return held


def floors(ways: dict[str, Way], grown: tuple[int, int]) -> Iterator[tuple[str, bool]]:
    """Yield each floor and whether it holds."""
    direct, bare, ours = ways["direct"], ways["bare aiohttp"], ways["interlock"]
    for kind, size in (("plain", "2 KB"), ("large", "100 KB")):
        base = _us(getattr(direct, kind))
        ratio = (_us(getattr(ours, kind)) - base) / (_us(getattr(bare, kind)) - base)
        yield (
            f"added p50 of {size} {ratio:.2f} x the bare one's (at most {ADDED_FLOOR})",
            ratio <= ADDED_FLOOR,
        )
    share = statistics.median(a / b for a, b in zip(ours.rates, bare.rates, strict=True))
    yield f"calls/s {share:.2f} of the bare one's (at least {RATE_FLOOR})", share >= RATE_FLOOR
    late = (_us(ours.first) - _us(bare.first)) / 1000
    yield f"first token {late:.2f} ms later than it (at most {FIRST_FLOOR})", late <= FIRST_FLOOR
    if "litellm" in ways:
        times = statistics.median(a / b for a, b in zip(ours.rates, ways["litellm"].rates, strict=True))
        yield f"calls/s {times:.0f} x LiteLLM's (at least {PEER_FLOOR:.0f})", times >= PEER_FLOOR
    before, after = grown
    yield (
        f"memory {before >> 20} MB, then {after >> 20} MB (at most +{GROWTH_FLOOR >> 20} MB)",
        after - before <= GROWTH_FLOOR,
    )


def _us(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e6


@contextmanager
def running(
    command: list[str], port: int, core: int, **environment: str
) -> Generator[subprocess.Popen[bytes]]:
    """Run a server pinned to one core while the block runs."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, {core % (os.cpu_count() or 1)}),
    )
    try:
        for _ in range(1_200):
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with {process.returncode}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def upstream(folder: Path, port: int) -> list[str]:
    """Build the native model server and return its command."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("This benchmark needs a C compiler for its model server.")
    program = folder / "llm_upstream"
    subprocess.run([compiler, "-O2", "-o", str(program), "bench/llm_upstream.c"], check=True, cwd=ROOT)
    return [str(program), str(port)]


def litellm(folder: Path, port: int, model_server: str) -> list[str]:
    """Install the peer where it is missing and return its command."""
    program = PEERS / "bin" / "litellm"
    if not program.exists():
        uv = str(ROOT / ".tools" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(PEERS)], check=True)
        pins = ["-r", "bench/peers-litellm.txt"]
        python = str(PEERS / "bin" / "python")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *pins], check=True, cwd=ROOT)
    served = {"model": f"openai/{MODEL}", "api_base": f"{model_server}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": served}],
        "general_settings": {"master_key": "sk-bench"},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    return [
        str(program),
        "--config",
        str(folder / "litellm.yaml"),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on."""
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main() -> None:
    """Run the benchmark; exit 1 when a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the calls")
    parser.add_argument("--peer", action="store_true", help="measure the LiteLLM proxy too")
    parser.add_argument("--spans", action="store_true", help="send a span of each call to a collector")
    options = parser.parse_args()
    ports = free_ports(4)
    model_server = f"http://127.0.0.1:{ports[0]}"
    os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)})
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        token = prepare(folder / "data", model_server)
        bare = [sys.executable, "-m", "bench.llm_bare", str(ports[1]), model_server]
        serve = [sys.executable, "-m", "interlock.cli", "serve", "--quiet", "--port", str(ports[2])]
        stack.enter_context(running(upstream(folder, ports[0]), ports[0], 1))
        stack.enter_context(running(bare, ports[1], 0))
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": model_server} if options.spans else {}
        data = str(folder / "data")
        ours = stack.enter_context(running(serve, ports[2], 0, INTERLOCK_DATA=data, **told))
        ways = [Way("direct", ports[0]), Way("bare aiohttp", ports[1]), Way("interlock", ports[2], token)]
        if options.peer:
            stack.enter_context(running(litellm(folder, ports[3], model_server), ports[3], 0))
            ways.append(Way("litellm", ports[3], "sk-bench"))
        uvloop.run(measure(ways, quick=options.quick))
        grown = uvloop.run(soak(ways[2], ours.pid, 10_000 if options.quick else 100_000))
        sys.exit(0 if report(ways, grown) else 1)


if __name__ == "__main__":
    main()
