"""Commands and the server may start in any order: nobody leans on a server that is about to go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from interlock.settings import environment_with

COMMAND = (sys.executable, "-m", "interlock.cli")


def test_commands_and_a_server_that_start_together_all_do_their_work(tmp_path: Path) -> None:
    environment = environment_with(data=tmp_path / "data", port=0)
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
    assert server.returncode == 0
