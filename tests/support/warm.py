"""Python programs that start at once: forked from a process that has loaded what they need.

The tests start hundreds of commands and tool servers, and loading took most of their time. `PYTHON` stands
for `sys.executable` in a command line: a small client hands the arguments, the environment, the folder and
the standard streams to the loader of this test process, which forks, and passes on signals and the exit code.
What runs is a process of its own either way; without a loader the client becomes the interpreter itself.

Where starting or killing the process is the matter of a test, it starts the real interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.sources import with_sources

_HOME = Path(tempfile.gettempdir()) / f"ilk-warm-{os.getuid()}-{os.getpid()}"
_ADDRESS = _HOME / "loader.sock"
_CLIENT = Path(__file__).with_name("warm_client.py")
PYTHON = (sys.executable, "-IS", str(_CLIENT), str(_ADDRESS), sys.executable)
"""The beginning of a command line, where `sys.executable` would stand."""
REAL = (sys.executable,)
"""The interpreter itself, for a test to which starting or killing the process matters."""
INTERLOCK = (*PYTHON, "-m", "interlock.cli")
_LOADED = (
    "aiohttp.web",
    "anyio._backends._asyncio",
    "encodings.idna",
    "httpcore2",
    "interlock.app.serve",
    "interlock.app.tools",
    "interlock.gateway.mcp.front",
    "interlock.sdk.local",
    "interlock.sdk.run",
    "interlock.store.sqlite",
    "interlock.upstream.llm.client",
    "interlock.upstream.mcp.pool",
    "interlock.web.api",
    "interlock.worker.contexts",
    "interlock.worker.delivery",
    "interlock.worker.news",
    "mcp.server.mcpserver",
    "mcp.server.stdio",
    "psycopg",
    "rich.console",
    "rich.status",
    "rich.table",
    "typer._adapters",
    "uvicorn.lifespan.off",
    "uvloop",
)
"""Not the commands themselves: what they print to is settled when they are imported."""


def folder_of_commands() -> Path:
    """Return a folder for the path of a shell, in which `interlock` and `python` start at once."""
    folder = _HOME / "bin"
    if not folder.exists():
        folder.mkdir(parents=True)
        for name, words in {"interlock": ("-m", "interlock.cli"), "python": ()}.items():
            line = " ".join((*PYTHON, *words))
            (folder / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (folder / name).chmod(0o755)
    return folder


class Loader:
    """The loader of this test process; it ends with it."""

    def __init__(self) -> None:
        _HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
        _ADDRESS.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(_ADDRESS))
        listening.listen(64)
        with listening:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listening.fileno())],
                env=with_sources(),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it, and what it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        shutil.rmtree(_HOME, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A program to be run: the words after the interpreter, and where its streams lead."""

    words: list[str]
    environ: dict[str, str]
    folder: str
    streams: list[int]


class _Forks:
    """The loop of the loader: one thread, so that every fork is whole."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._children: dict[int, socket.socket] = {}
        self._ended, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._found = selectors.DefaultSelector()
        for each in (listening, self._ended, sys.stdin):
            self._found.register(each, selectors.EVENT_READ)

    def serve(self) -> _Order | None:
        """Serve until the test process ends; in a forked child, return what it shall run."""
        while True:
            for key, _ in self._found.select():
                if key.fileobj is sys.stdin:
                    self._stop()
                    return None
                if key.fileobj is self._ended:
                    self._reap()
                elif key.fileobj is self._listening:
                    if (order := self._start()) is not None:
                        return order
                else:
                    self._hear(key.fileobj, key.data)

    def _start(self) -> _Order | None:
        client, _ = self._listening.accept()
        try:
            client.sendall(b"+")
            order = _read(client)
        except OSError:
            order = None
        if order is None:
            client.close()
            return None
        child = os.fork()
        if child:
            for each in order.streams:
                os.close(each)
            self._children[child] = client
            self._found.register(client, selectors.EVENT_READ, child)
            return None
        for each in (client, self._listening, self._ended, self._wakeup, *self._children.values()):
            each.close()
        self._found.close()
        return order

    def _hear(self, client: Any, child: int) -> None:
        """Pass on a signal; kill the child of a client that has gone."""
        if child not in self._children:
            return
        said = client.recv(1)
        os.kill(child, said[0] if said else signal.SIGKILL)
        if not said:
            self._found.unregister(client)
            client.close()
            del self._children[child]

    def _reap(self) -> None:
        self._ended.recv(4096)
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                client = self._children.pop(found[0], None)
                if client is not None:
                    self._found.unregister(client)
                    with suppress(OSError):
                        client.sendall(b"%d\n" % os.waitstatus_to_exitcode(found[1]))
                    client.close()

    def _stop(self) -> None:
        for child in self._children:
            os.kill(child, signal.SIGKILL)


def _read(client: socket.socket) -> _Order | None:
    """Read an order: the streams with its first byte, then a line of JSON."""
    first, streams, _, _ = socket.recv_fds(client, 1, 3)
    if not first:
        return None
    said = bytearray(first)
    while not said.endswith(b"\n"):
        more = client.recv(65536)
        if not more:
            return None
        said += more
    words, environ, folder = json.loads(said)
    return _Order(words=words, environ=environ, folder=folder, streams=streams)


def _become(order: _Order) -> None:
    """Make this process what the interpreter would be when it begins to run the program."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, each in enumerate(order.streams):
        os.dup2(each, number)
        os.close(each)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environ)
    for name, number in (("stdout", 1), ("stderr", 2)):
        errors = "backslashreplace" if number == 2 else "strict"
        lines = number == 2 or os.isatty(number)
        stream = open(number, "w", encoding="utf-8", errors=errors, buffering=-1, closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=lines)  # pyright: ignore[reportUnknownMemberType]
        setattr(sys, name, stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def _run(words: list[str]) -> None:
    """Run a module (`-m`), a text (`-c`) or a file, as the interpreter does."""
    match words:
        case ["-m", module, *rest]:
            sys.argv, sys.path[0] = ["-m", *rest], os.getcwd()
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", text, *rest]:
            sys.argv, sys.path[0] = ["-c", *rest], ""
            exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})
        case [file, *rest]:
            sys.argv, sys.path[0] = [file, *rest], str(Path(file).absolute().parent)
            runpy.run_path(file, run_name="__main__")
        case _:
            raise SystemExit("nothing to run")


def _end(words: list[str]) -> int:
    """Run a program and return its exit code; what the loader loaded for all is not taken apart in each."""
    try:
        _run(words)
        code: Any = 0
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:  # noqa: BLE001 - the edge of the process
        traceback.print_exc()
        code = 1
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return code if isinstance(code, int) else 1


def _main() -> None:
    forks = _Forks(socket.socket(fileno=int(sys.argv[1])))
    for each in _LOADED:
        importlib.import_module(each)
    gc.collect()
    gc.freeze()
    order = forks.serve()
    if order is not None:
        _become(order)
        os._exit(_end(order.words))


if __name__ == "__main__":
    _main()
