"""The official MCP conformance suite, directly and through the gateway: `make conformance`.

    python -m tests.conformance.run [--direct] [--write-docs] [--results FILE]

Prints progress, a table of scenario by era by way, every failure with its reason, and last
`N passed, N failed`. Exit code 1 on any failure, 3 where the run could not be made at all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.conformance import gateway as served
from tests.conformance import manifests, node, report, scope, suite
from tests.conformance.children import ChildFailed, first_line, running
from tests.conformance.report import Check, Report, Side

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "conformance" / "results.json"
PAGE = ROOT / "docs" / "reference" / "mcp-conformance.md"
DIRECT = "direct"
THROUGH = "gateway"
OLDER = "gateway, older server"

Owed = Mapping[str, frozenset[str]]
"""By leg, the scenarios that a way owes a result for: those of the direct run."""


def say(line: str = "") -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def fixture(folder: Path, era: str = "both") -> Generator[str]:
    """Serve the fixture server and yield its URL."""
    log = folder / f"upstream-{era}.log"
    with running([sys.executable, "-m", "tests.conformance.upstream", "--era", era], log=log) as child:
        yield first_line(child, log=log)


def timed(what: str, work: Callable[[], suite.Run]) -> suite.Run:
    """Run one leg and say how it went."""
    started = time.monotonic()
    done = work()
    failed = sum(1 for each in done.outcomes.values() if not each.passed)
    trouble = f"; {done.trouble}" if done.trouble else ""
    took = time.monotonic() - started
    say(f"  {what}: {len(done.outcomes)} scenarios, {failed} failed, {took:.1f} s{trouble}")
    return done


def direct(runtime: node.Node, folder: Path) -> list[Side]:
    """Every leg against the fixture server itself."""
    sides: list[Side] = []
    with fixture(folder) as url:
        for number, leg in enumerate(suite.LEGS):
            results = folder / f"direct-{number}"
            command = leg.command(runtime.suite(leg.package), url, results)
            done = timed(
                f"{DIRECT}, {leg.name}", lambda command=command, results=results: suite.run(command, results)
            )
            sides.append(Side(leg=leg, way=DIRECT, run=done))
    return sides


def through(runtime: node.Node, folder: Path, owed: Owed) -> tuple[list[Side], list[Check]]:
    """Every leg through the gateway, and the checks under the narrowed scope."""
    with fixture(folder) as url, served.serving(folder / "gateway", manifests.manifest(url)) as gateway:
        sides = [_side(runtime, folder, gateway, leg, THROUGH, owed[leg.name]) for leg in suite.LEGS]
        checks = scope.narrowed(runtime, folder, gateway)
    say(f"  narrowed scope: {len(checks)} checks, {sum(1 for each in checks if not each.passed)} failed")
    return sides, checks


def older(runtime: node.Node, folder: Path, owed: Owed) -> list[Side]:
    """Every leg through the gateway to a server that knows no newer revision than 2025-11-25.

    Of the newer leg, the scenarios count that the suite has for both revisions: the others ask for what only
    a newer server can do.
    """
    both = frozenset[str]().union(*(owed[leg.name] for leg in suite.LEGS if leg.revision == "2025-11-25"))
    with (
        fixture(folder, "legacy") as url,
        served.serving(folder / "older", manifests.manifest(url)) as gateway,
    ):
        return [_side(runtime, folder, gateway, leg, OLDER, owed[leg.name] & both) for leg in suite.LEGS]


def _side(
    runtime: node.Node, folder: Path, gateway: served.Gateway, leg: suite.Leg, way: str, owed: frozenset[str]
) -> Side:
    results = folder / f"{way.replace(', ', '-').replace(' ', '-')}-{suite.LEGS.index(leg)}"
    some = owed if way == OLDER and leg.revision != "2025-11-25" else None
    done = timed(
        f"{way}, {leg.name}",
        lambda: scope.suite_under(runtime, leg, results, gateway, manifests.WHOLE, only=some),
    )
    return Side(leg=leg, way=way, run=done, owed=owed)


def documented(seen: Report, *, write: bool) -> Check:
    """Write the reference page, or check that it says what was seen."""
    wanted = report.page(seen)
    if write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(wanted)
        say(f"wrote {PAGE.relative_to(ROOT)}")
        return Check(name="the reference page is written", passed=True)
    same = PAGE.is_file() and PAGE.read_text() == wanted
    hint = f"{PAGE.relative_to(ROOT)} says something else; run with --write-docs and review the change"
    return Check(name="the reference page says what was seen", passed=same, detail="" if same else hint)


def observe(runtime: node.Node, folder: Path, *, only_direct: bool) -> Report:
    """Run everything and return what was seen."""
    sides = direct(runtime, folder)
    checks: list[Check] = []
    if not only_direct:
        owed = {side.leg.name: frozenset(side.run.outcomes) for side in sides}
        more, checks = through(runtime, folder, owed)
        sides += [*more, *older(runtime, folder, owed)]
    said = subprocess.run(
        [runtime.binary, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return Report(versions=node.versions(), node=said.stdout.strip(), sides=sides, checks=checks)


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run")
    parser.add_argument("--direct", action="store_true", help="only the fixture server itself")
    parser.add_argument("--write-docs", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the result file goes")
    wanted = parser.parse_args()
    os.chdir(ROOT)
    say("MCP conformance: preparing Node and the pinned suites")
    try:
        runtime = node.ready()
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            seen = observe(runtime, Path(folder), only_direct=wanted.direct)
    except (node.NodeMissing, ChildFailed) as error:
        say(f"The run could not be made: {error}")
        return 3
    say()
    for line in report.table(seen):
        say(line)
    say()
    extra = [] if wanted.direct else [documented(seen, write=wanted.write_docs)]
    return conclude(seen, extra, wanted.results)


def conclude(seen: Report, extra: list[Check], results: Path) -> int:
    """Write the result file, say what failed, and return the exit code."""
    report.write_results(seen, results)
    for failure in (*seen.failures(), *(f"{each.name}: {each.detail}" for each in extra if not each.passed)):
        say(f"FAILED {failure}")
    passed, failed = seen.totals()
    failed += sum(1 for each in extra if not each.passed)
    say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
