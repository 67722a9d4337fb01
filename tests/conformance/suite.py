"""The official suite as a child process, and what its result files say.

A scenario's outcome is the suite's own: failed where one of its checks says FAILURE. Warnings (a SHOULD that
was not met) are kept beside it, so that a run through the gateway can be held to the run without it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS = 180
_FOLDER = re.compile(r"^server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$")
_SUMMARY = "=== SUMMARY ==="
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One suite version asking for one protocol revision; `first` unless another leg asks for the same."""

    name: str
    package: str
    revision: str
    options: tuple[str, ...]
    first: bool = True

    def command(self, suite: Sequence[str], url: str, results: Path) -> list[str]:
        """Return the command that runs this leg against `url` (which may be a shell variable)."""
        return [*suite, "server", "--url", url, *self.options, "--output-dir", str(results)]

    def shell(self, suite: Sequence[str], url: str, results: Path, only: Collection[str] | None) -> str:
        """Return the shell line that runs this leg, or `only` some of its scenarios one after the other."""
        if only is None:
            return "exec " + _quoted(self.command(suite, url, results))
        options = ("--spec-version", self.revision, "--scenario")
        each = [*suite, "server", "--url", url, "--output-dir", str(results), *options, "$scenario"]
        names = " ".join(sorted(only))
        return f'for scenario in {names}; do {_quoted(each)}; done; echo "{_SUMMARY}"'


LEGS = (
    Leg(
        name="2025-11-25",
        package="conformance-2025",
        revision="2025-11-25",
        options=("--suite", "all", "--spec-version", "2025-11-25"),
    ),
    Leg(
        name="2025-11-25, wire schema",
        package="conformance-2026",
        revision="2025-11-25",
        options=("--requirements", "2025-11-25"),
        first=False,
    ),
    Leg(
        name="2026-07-28 and Tasks",
        package="conformance-2026",
        revision="2026-07-28",
        options=("--requirements", "2026-07-28"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one scenario came to: its checks by id, with the worst status each id had."""

    scenario: str
    checks: Mapping[str, str]
    counts: Mapping[str, int]
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the suite calls it passed."""
        return self.counts.get("FAILURE", 0) == 0

    @property
    def skipped(self) -> bool:
        """Whether the suite checked nothing: every check says so itself."""
        return bool(self.checks) and set(self.checks.values()) == {"SKIPPED"}

    @property
    def warned(self) -> frozenset[str]:
        """The checks that met a MUST but not a SHOULD."""
        return frozenset(each for each, status in self.checks.items() if status == "WARNING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All outcomes of one leg; `trouble` is set where the suite itself did not finish."""

    outcomes: Mapping[str, Outcome]
    trouble: str | None = None


_RANK = ("FAILURE", "WARNING", "SUCCESS", "INFO", "SKIPPED")


def run(command: Sequence[str], results: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run the suite and read its result files."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=None if environment is None else {**environment},
        )
    except subprocess.TimeoutExpired as slow:
        return Run(outcomes=read(results), trouble=f"did not finish within {_SECONDS} s{_tail(slow.stdout)}")
    outcomes = read(results)
    if _SUMMARY not in done.stdout:
        said = (done.stderr or done.stdout).strip()[-1500:]
        return Run(outcomes=outcomes, trouble=f"ended with code {done.returncode}: {said}")
    return Run(outcomes={**_unwritten(done.stdout, outcomes), **outcomes})


def read(results: Path) -> dict[str, Outcome]:
    """Return the outcome of each scenario that left a result file."""
    outcomes: dict[str, Outcome] = {}
    for folder in sorted(results.iterdir()) if results.is_dir() else ():
        named = _FOLDER.match(folder.name)
        if named and (folder / "checks.json").is_file():
            checks = json.loads((folder / "checks.json").read_text())
            outcomes[named["scenario"]] = outcome(named["scenario"], checks)
    return outcomes


def outcome(scenario: str, checks: Sequence[Mapping[str, Any]]) -> Outcome:
    """Return what the checks of one scenario come to."""
    worst: dict[str, str] = {}
    for check in checks:
        known = worst.get(check["id"], _RANK[-1])
        worst[check["id"]] = min(known, check["status"], key=_RANK.index)
    problems = tuple(
        f"{check['id']}: {check.get('errorMessage') or check.get('description')}"
        for check in checks
        if check["status"] in ("FAILURE", "WARNING")
    )
    counts = Counter(check["status"] for check in checks)
    return Outcome(scenario=scenario, checks=worst, counts=counts, problems=problems)


def _unwritten(stdout: str, known: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Outcomes for scenarios that broke before they wrote a file: the summary names them."""
    summary = _ANSI.sub("", stdout.partition(_SUMMARY)[2]).partition("Total:")[0]
    found: dict[str, Outcome] = {}
    for mark, scenario in re.findall(r"^([✓✗]) ([\w/-]+):", summary, re.MULTILINE):
        if scenario not in known and mark == "✗":
            failed = {"id": scenario, "status": "FAILURE", "errorMessage": "the scenario did not finish"}
            found[scenario] = outcome(scenario, [failed])
    return found


def _quoted(command: Sequence[str]) -> str:
    return " ".join(f'"{part}"' for part in command)


def _tail(said: bytes | str | None) -> str:
    words = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    return ": " + words.strip()[-500:] if words.strip() else ""
