"""What a newcomer runs first: the demonstration holds, on real parts (B1 to B5, invariants 1, 2, 5, 6, 9)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interlock.app.serve import serve_here
from interlock.cli.demo import LOOK
from interlock.cli.main import assemble
from interlock.settings import load


@pytest.mark.long(35)
@pytest.mark.timeout(240)
def test_the_demonstration_keeps_every_promise_and_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    command = [sys.executable, "-m", "interlock.cli", "demo", "--once", "--json", "--keep", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads(done.stdout)["items"]
    assert [each["step"] for each in steps if not each["ok"]] == []
    verdicts = {each["verdict"] for each in steps}
    assert verdicts >= {"allow", "allow_with_review", "deny", "require_approval", "exact", "soft", "402"}
    assert not [each for each in _command_lines() if str(folder) in each]
    _look_around(folder / "interlock")
    printed = {"  ".join(("ok", each["step"], each["tried"], each["verdict"])) for each in steps}
    assert set(map(_numberless, _readme().splitlines())) <= set(map(_numberless, printed))


def _numberless(line: str) -> str:
    """Return a line of the report without its spacing and its numbers."""
    return re.sub(r"\d+", "0", " ".join(line.split()))


def _readme() -> str:
    """Return what the README says that the demonstration prints."""
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    return text.split("<!-- the demonstration prints -->\n```text\n")[1].split("\n```")[0]


def _look_around(data: Path) -> None:
    """Run the commands that the demonstration names for what it left: each works, and shows something."""
    settings = load({}, data=data)
    with serve_here(settings, settings.socket, agents=False):
        for command, _ in LOOK:
            env = {"INTERLOCK_DATA": str(data)}
            shown = CliRunner().invoke(assemble(), command.split(), env=env)
            assert shown.exit_code == 0, f"{command}: {shown.output}"
            assert shown.output.strip() not in ("", "None.")


def test_a_folder_that_holds_something_is_not_played_in(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    command = [sys.executable, "-m", "interlock.cli", "demo", "--once", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def _command_lines() -> list[str]:
    """Return what runs, with the command line and the environment of each process, where that can be read."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append(
                (process / "cmdline").read_text() + (process / "environ").read_text(errors="replace")
            )
        except OSError:
            continue
    return found
