"""How a command ends that cannot do what it was asked: one line that says what to do, and an exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.served import environment
from support.warm import INTERLOCK

CLI = [sys.executable, "-m", "interlock.cli"]
APPLIED = """
apiVersion: interlock/v1
kind: Person
metadata: {name: maria}
spec: {email: maria@example.com, roles: [admin]}
"""


def ended(*words: str, data: Path, **settings: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it said on standard error."""
    done = subprocess.run(
        [*INTERLOCK, *words], env=environment(data, **settings), capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "settings", "code", "said"),
    [
        ("init /nonexistent/folder/x.yaml", {}, 3, "/nonexistent/folder/x.yaml: No such file"),
        ("serve", {"INTERLOCK_LOG_LEVEL": "chatty"}, 2, "INTERLOCK_LOG_LEVEL must be one of debug, info,"),
        ("serve", {"INTERLOCK_DATABASE": "nonsense"}, 3, "INTERLOCK_DATABASE is not a database URL"),
        ("runs list", {"INTERLOCK_URL": "http://[::1"}, 2, "INTERLOCK_URL is not a URL"),
        ("runs list", {"INTERLOCK_URL": "http://x", "INTERLOCK_TOKEN": "ilk_é"}, 2, "INTERLOCK_TOKEN is not"),
    ],
)
def test_a_command_that_cannot_go_on_says_why_in_a_line(
    tmp_path: Path, words: str, settings: dict[str, str], code: int, said: str
) -> None:
    ending, error = ended(*words.split(), data=tmp_path / "data", **settings)
    assert ending == code, error
    assert error.startswith(said)
    assert len(error.splitlines()) <= 2


def test_a_traceback_is_for_those_who_ask_for_it(tmp_path: Path) -> None:
    words = ("init", "/nonexistent/folder/x.yaml")
    for code, error in (
        ended("--debug", *words, data=tmp_path),
        ended(*words, data=tmp_path, INTERLOCK_LOG_LEVEL="debug"),
    ):
        assert code == 3
        assert "Traceback" in error
        assert error.splitlines()[-2].startswith("/nonexistent/folder/x.yaml: No such file")


@pytest.mark.parametrize("words", ["schema", "validate m.yaml"])
def test_a_reader_that_has_gone_is_said_and_nothing_more(tmp_path: Path, words: str) -> None:
    (tmp_path / "m.yaml").write_text(APPLIED)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*CLI, *words.split()],
            cwd=tmp_path,
            env=environment(tmp_path / "data"),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.returncode == 3
    assert done.stderr.decode().splitlines() == [
        "The reader of the output has gone; the rest was not printed."
    ]


def test_an_interrupted_command_says_so_and_ends_with_130(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(APPLIED)
    data = tmp_path / "data"
    assert ended("apply", "--yes", str(tmp_path / "m.yaml"), data=data)[0] == 0
    watching = subprocess.Popen(
        [*CLI, "approvals", "list", "--watch", "--json"],
        env=environment(data),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, error = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert error.splitlines()[0] == "Interrupted."
    assert "Traceback" not in error


def test_a_command_that_is_interrupted_while_it_loads_says_so_too(tmp_path: Path) -> None:
    """The interpreter says which module it loads; when `typer` begins, most of ours is still to come."""
    loading = subprocess.Popen(
        [sys.executable, "-v", *CLI[1:], "runs", "list"],
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert loading.stderr is not None
    while "import 'typer" not in loading.stderr.readline():
        assert loading.poll() is None
    loading.send_signal(signal.SIGINT)
    _, error = loading.communicate(timeout=30)
    assert loading.returncode == 130
    assert "Interrupted." in error.splitlines()
    assert "Traceback" not in error


def test_a_database_elsewhere_makes_no_data_directory_in_a_new_folder(
    tmp_path: Path, postgres_url: str
) -> None:
    settings = {"INTERLOCK_DATABASE": postgres_url}
    (tmp_path / "m.yaml").write_text(APPLIED)
    manifest = str(tmp_path / "m.yaml")
    assert ended("apply", "--yes", manifest, data=tmp_path / "home", **settings)[0] == 0
    elsewhere = tmp_path / "elsewhere"
    for words in (("runs", "list"), ("doctor",), ("audit", "verify"), ("plan", manifest)):
        code, error = ended(*words, data=elsewhere, **settings)
        assert code == 2, error
        assert "There is no data directory here" in error
        assert "INTERLOCK_DATA names it" in error
        assert not elsewhere.exists()
    code, error = ended("apply", "--yes", manifest, data=elsewhere, **settings)
    assert code == 3
    assert "sealed with a master key that is not at" in error
    assert not (elsewhere / "keys" / "master.key").exists()


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("doctor",), ("run", "w", "--", "true")])
def test_a_misspelt_setting_is_warned_of(tmp_path: Path, words: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [*CLI, *words],
        env=environment(tmp_path / "data", INTERLOCK_ENVIROMENT="production"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert said == (
        "interlock: INTERLOCK_ENVIROMENT is not a setting, so it does nothing. "
        "Did you mean INTERLOCK_ENVIRONMENT?\n"
    )
