"""`interlock serve` as a subprocess on a free port, with a manifest applied, for real clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
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

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that belongs to this server."""
        return environment(self.data)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the server."""
        return subprocess.run(
            [*_CLI, *arguments], env=self.environment, capture_output=True, text=True, timeout=60
        )

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
    process = subprocess.Popen([*_CLI, "serve", "--port", "0"], env=known, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(2)]
        port = said[1].split()[-1].rsplit(":", 1)[1].split("/")[0]
        yield Served(data=data, url=f"http://127.0.0.1:{port}", process=process)
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
