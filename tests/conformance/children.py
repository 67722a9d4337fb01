"""Servers as child processes of a test run: started, waited for, stopped, each bounded in time."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_STOP_SECONDS = 10


class ChildFailed(RuntimeError):
    """A child did not start, or ended with a code; the message holds the end of what it said."""


@contextmanager
def running(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Generator[subprocess.Popen[str]]:
    """Run `command` beside us in a process group of its own; its standard error goes to `log`."""
    with log.open("a") as said:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
            env=None if environment is None else {**environment},
        )
        try:
            yield child
        finally:
            _stop(child)


def first_line(child: subprocess.Popen[str], *, log: Path, seconds: float = 30) -> str:
    """Return the first line the child prints; raises `ChildFailed` if there is none in time."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        line = child.stdout.readline() if selector.select(seconds) else ""
    if not line:
        raise ChildFailed(f"no line within {seconds:.0f} s: {tail(log)}")
    return line.strip()


def wait_for_port(child: subprocess.Popen[str], port: int, *, log: Path, seconds: float = 30) -> None:
    """Return once `port` accepts connections; raises `ChildFailed` if the child ends or time runs out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if child.poll() is not None:
            raise ChildFailed(f"ended with code {child.returncode}: {tail(log)}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ChildFailed(f"port {port} was not served within {seconds:.0f} s: {tail(log)}")


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(log: Path, characters: int = 1500) -> str:
    """Return the end of a log."""
    return log.read_text(errors="replace").strip()[-characters:] if log.is_file() else "(no output)"


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(_STOP_SECONDS)
    if child.stdout is not None:
        child.stdout.close()
