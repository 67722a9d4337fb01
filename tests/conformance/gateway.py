"""Interlock as it is shipped, started for a test: `interlock serve`, `apply`, and `run` for the client.

The client under `interlock run` reaches a loopback address that adds the run's token: the way an unmodified
program uses the gateway.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.children import ChildFailed, first_line, free_port, running, wait_for_port

_COMMAND = (sys.executable, "-m", "interlock.cli")
_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A serving Interlock with a manifest applied."""

    environment: Mapping[str, str]
    log: Path

    def under(self, workflow: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` as one run of `workflow`."""
        return [*_COMMAND, "run", workflow, "--", *command]

    def call(self, *arguments: str) -> str:
        """Run one `interlock` command to its end and return what it printed."""
        done = subprocess.run(
            [*_COMMAND, *arguments],
            env={**self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-1500:]
            raise ChildFailed(f"interlock {' '.join(arguments)} ended with code {done.returncode}: {said}")
        return done.stdout


@contextmanager
def serving(folder: Path, manifest: str, **settings: str) -> Generator[Gateway]:
    """Serve `manifest` from a fresh data directory in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    own = {
        "INTERLOCK_DATA": str(folder / "data"),
        "INTERLOCK_ENVIRONMENT": "dev",
        "INTERLOCK_SELF_APPROVE": "true",
        "INTERLOCK_PORT": str(port),
        **settings,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    gateway = Gateway(environment={**inherited, **own}, log=folder / "serve.log")
    declared = folder / "manifest.yaml"
    declared.write_text(manifest)
    gateway.call("apply", "--yes", str(declared))
    with running([*_COMMAND, "serve"], log=gateway.log, environment=gateway.environment) as child:
        wait_for_port(child, port, log=gateway.log)
        yield gateway


@contextmanager
def run_of(gateway: Gateway, workflow: str) -> Generator[str]:
    """Hold a run of `workflow` open and yield the address its program would be given."""
    log = gateway.log.with_name(f"run-{workflow}.log")
    hold = gateway.under(workflow, ["sh", "-c", 'echo "$INTERLOCK_MCP_URL"; exec sleep 600'])
    with running(hold, log=log, environment=gateway.environment) as child:
        yield first_line(child, log=log)
