"""The stage of the demonstration: a folder with a git repository, a help desk, a manifest and a server.

Everything that happens here happens through processes: `git`, and the `interlock` command as a person
would type it. `Desk` and `git` are the independent records that the story is checked against.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from interlock.errors import InterlockError, UsageError
from interlock.runtime import Runtime
from interlock.settings import environment_with, load
from interlock.testing.desk import Desk

_COMMAND = (sys.executable, "-m", "interlock.cli")
_PATIENCE = 60.0
_AGENT_TIME = 90.0
_IDENTITY = ("-c", "user.name=Maria", "-c", "user.email=maria@example.com", "-c", "commit.gpgsign=false")


class Stage:
    """One performance's folder and server. `command` runs as maria, the administrator, unless told.

    `places` fills in the manifest; `settings` are more of the server's and the commands'.
    """

    def __init__(self, root: Path, *, places: Mapping[str, str], settings: Mapping[str, object]) -> None:
        self.root = root
        self.data = root / "interlock"
        self.repository = root / "notes"
        self.desk_file = root / "helpdesk.json"
        self.archive_file = root / "archive.json"
        self.manifest = root / "interlock.yaml"
        self._places = places
        own = {"data": self.data, "environment": "dev", "port": 0, "inline_wait": 3}
        self._settings: dict[str, object] = {**own, **settings}
        self._server: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        """Make the repository, the empty help desk and the manifest."""
        for directory in (self.root, self.repository):
            directory.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        (self.repository / "README.md").write_text("Notes of the support team.\n")
        self.git("add", "README.md")
        self.git(*_IDENTITY, "commit", "--quiet", "-m", "First note")
        self.git("config", "user.name", "support-bot")
        self.git("config", "user.email", "support-bot@example.com")
        self.git("branch", "release")
        (self.repository / "NEWS.md").write_text("Large exports complete again.\n")
        self.manifest.write_text(self._filled_in())

    def _filled_in(self) -> str:
        own = {
            "python": sys.executable,
            "repository": self.repository,
            "desk": self.desk_file,
            "archive": self.archive_file,
        }
        places = {**own, **self._places}
        text = files("interlock.demo").joinpath("manifest.yaml").read_text()
        return Template(text).safe_substitute({name: json.dumps(str(each)) for name, each in places.items()})

    def git(self, *arguments: str) -> str:
        """Run git in the repository and return what it prints."""
        return _run(("git", "-C", str(self.repository), *arguments), environment_with())

    def desk(self) -> dict[str, Any]:
        """Return the help desk's own record."""
        return Desk(self.desk_file).read()

    def archive(self) -> dict[str, Any]:
        """Return the archive's own record."""
        return Desk(self.archive_file).read()

    def command(self, *arguments: str, token: str = "") -> str:
        """Run an `interlock` command and return what it prints. Raises `InterlockError` when it fails."""
        return _run((*_COMMAND, *arguments), self._environment(token))

    def json(self, *arguments: str, token: str = "") -> Any:
        """Run an `interlock` command with `--json` and return what it prints, decoded."""
        return json.loads(self.command(*arguments, "--json", token=token))

    def audit(self) -> list[dict[str, Any]]:
        """Return the exported audit log, oldest entry first."""
        lines = [json.loads(line) for line in self.command("audit", "export").splitlines()]
        return [{**each, "body": json.loads(each["body"])} for each in lines if "kind" in each]

    def verify_audit(self) -> dict[str, Any]:
        """Sign a checkpoint, then return what `audit verify` finds, good or bad."""
        self.command("audit", "checkpoint")
        return json.loads(
            _run((*_COMMAND, "audit", "verify", "--json"), self._environment(), accepted=(0, 1))
        )

    def token_of(self, person: str) -> str:
        """Let the administrator make a personal API token for somebody else."""
        return self.json("token", "create", "--person", person)["token"]

    def run_agent(self, workflow: str, *command: str) -> subprocess.Popen[str]:
        """Start an agent program under `interlock run`; its standard output can be read as it comes."""
        return subprocess.Popen(
            (*_COMMAND, "run", workflow, "--", *command),
            env=self._environment(),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.root / "agent.log").open("ab"),
            text=True,
        )

    def start(self) -> None:
        """Start the server and wait until it accepts."""
        with (self.root / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                (*_COMMAND, "serve"),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        place = load({}, data=self.data).socket
        wait_until(lambda: _accepts(place), "the server to accept calls; its log is server.log")

    def kill(self) -> None:
        """End the server with SIGKILL: nothing is flushed, nobody is told."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """Stop the server as Ctrl-C does, and wait for it."""
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._server = None

    def _environment(self, token: str = "") -> dict[str, str]:
        return environment_with(**self._settings, **({"token": token} if token else {}))


def check_requirements() -> None:
    """Raise `UsageError` with what to install, if something that the demonstration needs is missing."""
    if shutil.which("git") is None:
        raise UsageError("The demonstration needs the git command.", hint="Install git and try again.")
    for module in ("mcp", "mcp_server_git"):
        if find_spec(module) is None:
            raise UsageError(
                f"The demonstration needs the Python package {module}.",
                hint="pip install 'interlock[server,demo]'",
            )


def events(agent: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what an agent says until it ends; end it when it takes too long."""
    late = threading.Timer(_AGENT_TIME, agent.kill)
    late.start()
    try:
        for line in agent.stdout or ():
            if line.startswith("{"):
                yield json.loads(line)
    finally:
        late.cancel()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds. Raises `InterlockError` when it does not within a minute."""
    clock = Runtime.real().clock
    end = clock.monotonic() + _PATIENCE
    while not condition():
        if clock.monotonic() > end:
            raise InterlockError(f"Waited {_PATIENCE:.0f} s in vain for {what}.")
        time.sleep(0.05)


def _run(command: tuple[str, ...], environment: dict[str, str], *, accepted: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    if done.returncode not in accepted:
        said = (done.stderr or done.stdout).strip()
        raise InterlockError(f"`{' '.join(command[-4:])}` ended with {done.returncode}: {said}")
    return done.stdout


def _accepts(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(place))
        except OSError:
            return False
    return True
