"""Kill engines at random while they work, then count: `python -m tests.torture --database sqlite|postgresql`.

Real processes: the world outside, which keeps every call, and one engine on SQLite or two on PostgreSQL. They
are killed several times a second and begun again at once; on PostgreSQL one is also stopped for longer than a
lease. At the end the table is printed; the exit code is 1 if anything was lost, done twice or done unasked.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from tests.torture import engine, outside, result  # noqa: E402 - `support` is found by the line above
from tests.torture.engine import Life  # noqa: E402

from interlock.core.model import SECOND  # noqa: E402

_SHORT, _LONG, _CALM = 0.08, 1.2, 0.18
"""Seconds until the next blow: most come in a row, and that share when the engines are at work."""
_STARTING = 3.0
_STOPPED = 6.5  # longer than a lease
_STILL, _MOST, _ENDING = (
    30.0,
    240.0,
    30.0,
)  # how long nothing may move at the end, all of it, and the last words


class Engines:
    """The engine processes of one run, forked from this one, which has loaded all they need."""

    def __init__(self, lives: list[Life]) -> None:
        self.lives = lives
        self.pids = [fork(engine.live(each)) for each in lives]
        self.kills = self.stops = 0
        self.crashed: list[str] = []
        self.fates: list[tuple[float, int, str]] = []
        self._stopped: dict[int, float] = {}

    def torment(self, seconds: float) -> None:
        """Kill one again and again, and stop one for a while now and then where there are others."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if random.random() < _CALM:
                self._until_up()
                self._wait(random.expovariate(1 / _LONG))
            else:
                self._wait(random.expovariate(1 / _SHORT))
            which = random.randrange(len(self.pids))
            if which in self._stopped:
                continue
            if len(self.pids) > 1 and not self._stopped and random.random() < 0.05:
                self._send(which, signal.SIGSTOP, "stopped")
                self._stopped[which] = time.monotonic() + _STOPPED
                self.stops += 1
                continue
            self._send(which, signal.SIGKILL, "killed")
            self._ended(which, os.waitpid(self.pids[which], 0)[1])
            self.kills += 1
            self.pids[which] = fork(engine.live(self.lives[which]))
        self._go_on(at_once=True)

    def drain(self) -> None:
        """Let them finish what they began, in peace: as long as something moves, or is due later."""
        home = self.lives[0].home
        (home / "drain").touch()
        most = time.monotonic() + _MOST
        ends, seen = time.monotonic() + _STILL, -1
        while (now := time.monotonic()) < min(ends, most):
            standing = result.standing(self.lives)
            if standing.due is None and all(each.file("done").exists() for each in self.lives):
                break
            if standing.moves != seen:
                ends, seen = now + _STILL, standing.moves
            ends = max(ends, now + (standing.due or 0) / SECOND - time.time() + _STILL)
            time.sleep(0.2)
        (home / "end").touch()
        for which, pid in enumerate(self.pids):
            self._ended(which, self._patiently(which, pid))

    def _patiently(self, which: int, pid: int) -> int:
        """Return how an engine ended; one that does not within a while is killed."""
        ends = time.monotonic() + _ENDING
        while time.monotonic() < ends:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.05)
        self.crashed.append(f"engine {which} did not end")
        self._send(which, signal.SIGKILL, "killed")
        return os.waitpid(pid, 0)[1]

    def _until_up(self) -> None:
        """Let the engines get to work, however slow this machine is."""
        ends = time.monotonic() + _STARTING
        while time.monotonic() < ends and not all(map(self._is_up, range(len(self.pids)))):
            self._wait(0.05)

    def _is_up(self, which: int) -> bool:
        last = self.lives[which].lines("lives")[-1:]
        return which in self._stopped or [each[0] for each in last] == [str(self.pids[which])]

    def _wait(self, seconds: float) -> None:
        """Wait; who is stopped goes on in its time."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
            self._go_on()

    def _go_on(self, *, at_once: bool = False) -> None:
        for which, until in list(self._stopped.items()):
            if at_once or time.monotonic() >= until:
                del self._stopped[which]
                self._send(which, signal.SIGCONT, "went on")

    def _send(self, which: int, what: signal.Signals, word: str) -> None:
        self.fates.append((time.time(), self.pids[which], word))
        os.kill(self.pids[which], what)

    def _ended(self, which: int, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, -signal.SIGKILL):
            self.crashed.append(f"engine {which} ended by itself with {code}")


def fork(work: Coroutine[Any, Any, None]) -> int:
    """Do `work` in a process of its own and return its id."""
    pid = os.fork()
    if pid:
        work.close()
        return pid
    code = 1
    try:
        random.seed()
        logging.getLogger("interlock").setLevel(logging.CRITICAL)  # clocks are set here, and stores are gone
        asyncio.run(_while_driven(work, os.getppid()))
        code = 0
    except BaseException:  # noqa: BLE001 - the driver sees the exit code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _while_driven(work: Coroutine[Any, Any, None], driver: int) -> None:
    """Do `work`, but outlive nobody who would have ended it."""

    async def look() -> None:
        while os.getppid() == driver:  # noqa: ASYNC110 - nothing tells an orphan
            await asyncio.sleep(0.5)
        os._exit(1)

    watch = asyncio.ensure_future(look())
    await work
    watch.cancel()


@contextmanager
def served(database: str) -> Generator[tuple[str, int]]:
    """Yield the URL of the database, empty for SQLite, and how many engines share it."""
    if database == "sqlite":
        yield "", 1
    elif database == "postgresql":
        from support.stores import PostgresForTests

        server = PostgresForTests()
        try:
            server.execute("ALTER SYSTEM SET track_commit_timestamp = on")  # to tell who came first
            server.server.stop()
            server.server.ensure_postgres_running()
            yield server.database(), 2
        finally:
            server.stop()
    else:
        yield database, 2


def torture(database: str, seconds: float) -> int:
    """Run it and return the exit code."""
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="ilk-torture-", dir=memory if memory.is_dir() else None))
    with served(database) as (url, engines):
        lives = [Life(home=home, database=url, number=each, engines=engines) for each in range(engines)]
        world = fork(outside.main(home))
        try:
            os.waitpid(fork(engine.prepare(lives[0])), 0)
            running = Engines(lives)
            running.torment(seconds)
            running.drain()
            found = result.count(lives)
            found.wrong += running.crashed
            evidence = result.evidence_of(lives, found.wrong, running.fates)
        finally:
            os.kill(world, signal.SIGKILL)
            os.waitpid(world, 0)
    sys.stdout.write(found.table(database.partition(":")[0], kills=running.kills, stops=running.stops))
    sys.stdout.write(evidence)
    shutil.rmtree(home, ignore_errors=True)
    return bool(found.wrong)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or a PostgreSQL URL")
    parser.add_argument("--seconds", type=float, default=25.0, help="how long to kill (default: 25)")
    asked = parser.parse_args()
    return torture(asked.database, asked.seconds)


if __name__ == "__main__":
    sys.exit(main())
