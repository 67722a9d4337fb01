"""Commands and the server may start in any order: nobody leans on a server that is about to go."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from interlock.settings import environment_with
from interlock.store.lock import DirectoryLock
from support.warm import INTERLOCK

COMMAND = (sys.executable, "-m", "interlock.cli")


def _make(folder: Path, environment: dict[str, str]) -> None:
    """Make the data directory, with nothing applied in it."""
    for words in (("init", "m.yaml"), ("plan", "m.yaml")):
        subprocess.run((*INTERLOCK, *words), env=environment, cwd=folder, check=True, capture_output=True)


READERS = ("agents list", "runs list", "audit list", "audit verify", "doctor", "run support -- true")


@pytest.mark.parametrize("words", READERS)
def test_where_there_is_no_data_directory_a_command_says_so_and_makes_none(
    words: str, tmp_path: Path
) -> None:
    environment = environment_with() | {"PWD": str(tmp_path)}
    done = subprocess.run(
        (*INTERLOCK, *words.split()),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "There is no data directory here" in done.stderr
    for word in ("interlock init", "interlock apply", "INTERLOCK_DATA", "INTERLOCK_URL"):
        assert word in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["doctor", "runs list", "run support -- true"])
def test_a_server_that_does_not_answer_is_said_so(words: str) -> None:
    environment = environment_with(url="http://127.0.0.1:9", token="ilk_any")
    done = subprocess.run(
        (*INTERLOCK, *words.split()), env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert "Interlock cannot be reached at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_said_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = environment_with(data=tmp_path / "data", port=port)
        done = subprocess.run(
            (*COMMAND, "serve"), env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2, done.stderr
    assert f"127.0.0.1:{port}" in done.stderr
    assert "INTERLOCK_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long(12)
def test_commands_and_a_server_that_start_together_all_do_their_work(tmp_path: Path) -> None:
    environment = environment_with(data=tmp_path / "data", port=0)
    _make(tmp_path, environment)
    held = DirectoryLock.take(tmp_path / "data")  # by another command, which takes its time
    threading.Timer(8, held.release).start()
    with subprocess.Popen((*COMMAND, "serve", "--quiet"), env=environment, stderr=subprocess.PIPE) as server:
        commands = [
            subprocess.Popen(
                (*COMMAND, *words), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for words in (("token", "keys"), ("doctor", "--json"))
        ]
        said = [each.communicate(timeout=60) for each in commands]
        codes = [each.returncode for each in commands]
        still_there = server.poll() is None
        server.terminate()
        complaint = server.communicate(timeout=30)[1]
    assert codes == [3, 1], said  # nobody is signed in; nothing is applied: answers, not collisions
    assert still_there, complaint
    assert server.returncode == 0, complaint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_waits_for_the_directory_ends_at_the_first_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    environment = environment_with(data=tmp_path / "data", port=0)
    _make(tmp_path, environment)
    held = DirectoryLock.take(tmp_path / "data")
    with subprocess.Popen((*COMMAND, "serve", "--quiet"), env=environment, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        assert b"another process has the data directory" in server.stderr.readline()
        time.sleep(0.6)  # it tries again four times a second
        server.send_signal(number)
        try:
            complaint = server.communicate(timeout=10)[1]
        finally:
            held.release()
            server.kill()
    assert (server.returncode, complaint) == (0, b"")
