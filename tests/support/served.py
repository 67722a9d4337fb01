"""`interlock serve` as a subprocess on a free port, with a manifest applied, for real clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

_CLI = [sys.executable, "-m", "interlock.cli"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server and its data directory."""

    data: Path
    url: str
    process: subprocess.Popen[str]
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that belongs to this server."""
        return environment(self.data, **self.settings)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the server."""
        return subprocess.run(
            [*_CLI, *arguments], env=self.environment, capture_output=True, text=True, timeout=60
        )

    def json(self, *arguments: str) -> Any:
        """Run a command and return what it prints with `--json`."""
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def kill(self) -> None:
        """Kill the server with -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def person(self) -> str:
        """Return the administrator's token."""
        return json.loads((self.data / "credentials.json").read_text())["token"]

    def token(self, workflow: str) -> str:
        """Open a run and return its first token."""
        headers = {"Authorization": f"Bearer {self.person()}"}
        opened = httpx2.post(f"{self.url}/api/v1/runs", json={"workflow": workflow}, headers=headers)
        assert opened.is_success, opened.text
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:interlock:token-type:enrolment-code",
            "subject_token": opened.json()["code"],
            "workflow": workflow,
        }
        given = httpx2.post(f"{self.url}/oauth/token", data=form)
        assert given.is_success, given.text
        return given.json()["access_token"]


def environment(data: Path, **more: str) -> dict[str, str]:
    """Return an environment with nothing of ours in it but the data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    return {**kept, "INTERLOCK_DATA": str(data), **more}


@contextmanager
def served(data: Path, manifest: str, **settings: str) -> Generator[Served]:
    """Apply `manifest` to a new data directory and serve it until the block ends."""
    file = data.parent / f"{data.name}.yaml"
    file.write_text(manifest)
    known = environment(data, **settings)
    applied = subprocess.run(
        [*_CLI, "apply", "--yes", str(file)], env=known, capture_output=True, text=True, timeout=60
    )
    assert applied.returncode == 0, applied.stdout + applied.stderr
    with serving(data, **settings) as running:
        yield running


@contextmanager
def serving(data: Path, **settings: str) -> Generator[Served]:
    """Serve a data directory until the block ends; it may be killed before."""
    known = environment(data, **settings)
    process = subprocess.Popen([*_CLI, "serve", "--port", "0"], env=known, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(2)]
        port = said[1].split()[-1].rsplit(":", 1)[1].split("/")[0]
        url = f"http://127.0.0.1:{port}"
        yield Served(data=data, url=url, process=process, settings=settings)
    finally:
        process.terminate()
        process.communicate(timeout=15)


def until(found: Any, *, seconds: float = 15) -> Any:
    """Return what `found` returns as soon as it is true."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not come true in time")
