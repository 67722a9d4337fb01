"""A program that starts at once is what the interpreter would have started: words, streams, signals, end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.served import until
from support.warm import PYTHON, REAL

WAYS = pytest.mark.parametrize("python", [PYTHON, REAL], ids=["warm", "real"])
TOLD = """
import json, os, sys
print(json.dumps([__name__, sys.argv[1:], os.getcwd(), sys.path[0], sorted(os.environ), sys.stdin.read()]))
print("to the other stream", file=sys.stderr)
"""


@pytest.mark.parametrize("form", ["file", "text", "module"])
def test_it_finds_what_the_interpreter_would_give_it(form: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TOLD)
    words = {"file": [str(program)], "text": ["-c", TOLD], "module": ["-m", "program"]}[form]
    environ = {"PATH": os.environ["PATH"], "MORE": "1", "LC_CTYPE": "C.UTF-8"}
    warm, real = (
        subprocess.run(
            [*python, *words, "a", "b c"],
            input="given ä", cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60,
        )
        for python in (PYTHON, REAL)
    )  # fmt: skip
    assert (warm.returncode, warm.stderr) == (real.returncode, real.stderr)
    assert json.loads(warm.stdout) == json.loads(real.stdout)


@WAYS
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("raise SystemExit('no')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import atexit; atexit.register(print, 'at the end')", 0),
    ],
)
def test_it_ends_as_the_program_ended(python: tuple[str, ...], text: str, code: int) -> None:
    done = subprocess.run([*python, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert ("ZeroDivisionError" in done.stderr) == (text == "1 / 0")
    assert ("at the end" in done.stdout) == ("at the end" in text)


@WAYS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_the_program(python: tuple[str, ...], number: signal.Signals) -> None:
    text = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen([*python, "-c", text], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(30) == -number
    until(lambda: not Path(f"/proc/{program}").exists())


def test_without_a_loader_it_is_the_interpreter_itself(tmp_path: Path) -> None:
    nowhere = [str(tmp_path / "nobody.sock") if each.endswith("loader.sock") else each for each in PYTHON]
    command = [*nowhere, "-c", "import sys; print(sys.argv, sys.flags.isolated)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "['-c'] 0\n"


SERVING = """
import sys
from pathlib import Path
from interlock.app.serve import serve_here
from interlock.settings import load
before, place = set(sys.modules), load(data=Path("data"))
with serve_here(place, place.socket, agents=True):
    print(*sorted(each for each in sys.modules.keys() - before if each.startswith("interlock.")))
"""


def test_what_a_server_needs_is_loaded_once_for_all(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PYTHON, "-c", SERVING], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("\n", ""), "name it in support/warm.py: each start loads it anew"
