"""What a run came to: the table on the terminal, the result file, the reference page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.manifests import NARROWED_PROMPTS, NARROWED_RESOURCES, NARROWED_TOOLS
from tests.conformance.suite import LEGS, Leg, Outcome, Run

MARKS = {True: "pass", False: "FAIL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to reach the fixture server in one era of the client, with what came of it and what had to."""

    leg: Leg
    way: str
    run: Run
    owed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of our own: what must vanish under a narrowed scope."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run saw."""

    versions: dict[str, str]
    node: str
    sides: Sequence[Side]
    checks: Sequence[Check] = field(default=())

    @property
    def rows(self) -> list[tuple[Leg, str]]:
        """Every scenario of every leg, in the order the direct run had them."""
        rows: dict[tuple[str, str], Leg] = {}
        for side in self.sides:
            for scenario in side.run.outcomes:
                rows.setdefault((side.leg.name, scenario), side.leg)
        order = [leg.name for leg in LEGS]
        return [(leg, key[1]) for key, leg in sorted(rows.items(), key=lambda row: order.index(row[0][0]))]

    def ways(self, leg: Leg | None = None) -> list[str]:
        """The ways that were run, in order: all, or those of one leg."""
        return list(dict.fromkeys(side.way for side in self.sides if leg is None or side.leg is leg))

    def outcome(self, leg: Leg, way: str, scenario: str) -> Outcome | None:
        """Return what a scenario came to on one way."""
        for side in self.sides:
            if side.leg is leg and side.way == way:
                return side.run.outcomes.get(scenario)
        return None

    def verdict(self, leg: Leg, way: str, scenario: str) -> str:
        """Return `pass`, `warn`, `skip`, `FAIL` or `-` (not run on this way).

        Held against the direct run: a new warning, or a check that passed there and is not made here,
        is a failure.
        """
        outcome = self.outcome(leg, way, scenario)
        if outcome is None:
            return "FAIL" if self._owed(leg, way, scenario) else "-"
        if not outcome.passed or self._differs(leg, way, scenario):
            return "FAIL"
        if outcome.skipped:
            return "skip"
        return "warn" if outcome.warned else "pass"

    def failures(self) -> Iterator[str]:
        """Say every failure with its reason."""
        for side in self.sides:
            if side.run.trouble:
                yield f"{side.leg.name}, {side.way}: {side.run.trouble}"
        for leg, scenario in self.rows:
            for way in self.ways():
                if self.verdict(leg, way, scenario) == "FAIL":
                    outcome = self.outcome(leg, way, scenario)
                    problems = (
                        (*outcome.problems, *self._differs(leg, way, scenario)) if outcome else ("not run",)
                    )
                    yield f"{leg.name}, {way}, {scenario}:" + "".join(f"\n    {each}" for each in problems)
        yield from (f"{check.name}: {check.detail}" for check in self.checks if not check.passed)

    def totals(self) -> tuple[int, int]:
        """Return how many passed and how many failed, scenarios on each way and our own checks together."""
        verdicts = [self.verdict(leg, way, scenario) for leg, scenario in self.rows for way in self.ways()]
        troubled = sum(1 for side in self.sides if side.run.trouble)
        failed = verdicts.count("FAIL") + troubled + sum(1 for check in self.checks if not check.passed)
        passed = sum(1 for each in verdicts if each in {"pass", "warn"})
        return passed + sum(1 for check in self.checks if check.passed), failed

    def _owed(self, leg: Leg, way: str, scenario: str) -> bool:
        return any(side.leg is leg and side.way == way and scenario in side.owed for side in self.sides)

    def _differs(self, leg: Leg, way: str, scenario: str) -> list[str]:
        own = self.outcome(leg, way, scenario)
        first = self.outcome(leg, self.ways()[0], scenario)
        if own is None or first is None or own is first:
            return []
        warned = [f"{check}: a warning that {self.ways()[0]} has not" for check in own.warned - first.warned]
        lost = [
            f"{check}: passed {self.ways()[0]}, not made here"
            for check, status in first.checks.items()
            if status == "SUCCESS" and own.checks.get(check, "SKIPPED") == "SKIPPED"
        ]
        return warned + lost


def table(report: Report) -> list[str]:
    """Return the lines of the table: scenario, era, each way."""
    ways = report.ways()
    body = [
        [scenario, leg.name, *(report.verdict(leg, way, scenario) for way in ways)]
        for leg, scenario in report.rows
    ]
    lines = [["scenario", "suite asks for", *ways], *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def write_results(report: Report, path: Path) -> None:
    """Write everything for a machine to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    passed, failed = report.totals()
    scenarios = [
        {
            "scenario": scenario,
            "revision": leg.revision,
            "leg": leg.name,
            "suite": report.versions[leg.package],
            "ways": {way: _told(report, leg, way, scenario) for way in report.ways()},
        }
        for leg, scenario in report.rows
    ]
    checks = [{"name": each.name, "passed": each.passed, "detail": each.detail} for each in report.checks]
    content = {
        "passed": passed,
        "failed": failed,
        "node": report.node,
        "packages": report.versions,
        "scenarios": scenarios,
        "narrowed": checks,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _told(report: Report, leg: Leg, way: str, scenario: str) -> dict[str, object]:
    outcome = report.outcome(leg, way, scenario)
    return {
        "verdict": report.verdict(leg, way, scenario),
        "checks": dict(outcome.counts) if outcome else {},
        "problems": list(outcome.problems) if outcome else [],
    }


_PAGE = """# MCP conformance

Interlock is run against the official MCP conformance suite, in both protocol eras. The suite acts as the
client; behind Interlock stands a server that implements all fixture tools, resources and prompts the suite
asks for. Each scenario runs against that server directly, and through `interlock serve` as an unmodified
program reaches it, under `interlock run`. The server speaks both eras, so the gateway speaks 2026-07-28 with
it whatever the client speaks; `gateway, older server` is the same with a server that knows no newer revision
than 2025-11-25 (of the newer suite, the scenarios that it has for both revisions).

No expected failures are declared: a scenario that passes directly must pass through the gateway; a warning
that the direct run has not got, and a check that passed directly and is not made through the gateway, count
as failures.

    make conformance

This page is written by `python -m tests.conformance.run --write-docs`; a run fails while the page differs
from what it saw.

| part | version |
|---|---|
{parts}

`pass`: every check passed. `warn`: every MUST passed, a SHOULD did not; the same directly and through the
gateway. `skip`: the suite itself has nothing to check there yet. `-`: not asked of an older server.

`server-sse-polling` of suite 0.1.16 names revision 2025-03-26 in its header, for which the SDK sends no
priming event; the newer suite, which names 2025-11-25, passes.

{tables}
## Under a narrowed scope

The same server, a workflow that grants {tools} tools, {resources} resource and {prompts} prompt, and neither
sampling, elicitation nor completion. What is not granted is not there:

| check | result |
|---|---|
{checks}
"""


def page(report: Report) -> str:
    """Return the reference page."""
    parts = "\n".join(f"| {name} | {version} |" for name, version in sorted(_parts(report).items()))
    checks = "\n".join(f"| {check.name} | {MARKS[check.passed]} |" for check in report.checks)
    return _PAGE.format(
        parts=parts,
        tables="\n".join(_tables(report)),
        checks=checks,
        tools=len(NARROWED_TOOLS),
        resources=len(NARROWED_RESOURCES),
        prompts=len(NARROWED_PROMPTS),
    )


def _parts(report: Report) -> dict[str, str]:
    named = {leg.package: f"`@modelcontextprotocol/conformance` for {leg.revision}" for leg in LEGS}
    return {named[name]: version for name, version in report.versions.items() if name in named}


def _tables(report: Report) -> Iterator[str]:
    for leg in LEGS:
        ways = report.ways(leg)
        yield f"## {leg.name}\n\nSuite {report.versions[leg.package]}, `server {' '.join(leg.options)}`.\n"
        yield f"| scenario | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}"
        for each, scenario in report.rows:
            if each is leg:
                verdicts = (report.verdict(leg, way, scenario) for way in ways)
                yield f"| {scenario} | {' | '.join(verdicts)} |"
        yield ""
