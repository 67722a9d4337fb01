"""How the conformance run judges: held against the direct run, nothing excused, nothing lost on the way."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conformance.report import Check, Report, Side, page, table
from tests.conformance.suite import LEGS, Outcome, Run, outcome, read

LEG = LEGS[0]
VERSIONS = {leg.package: "1.0" for leg in LEGS}


def an_outcome(**checks: str) -> Outcome:
    return outcome("ping", [{"id": name, "status": status} for name, status in checks.items()])


def a_report(direct: Outcome | None, gateway: Outcome | None, *, checks: tuple[Check, ...] = ()) -> Report:
    sides = [
        Side(leg=LEG, way=way, run=Run(outcomes={"ping": seen} if seen else {}), owed=frozenset({"ping"}))
        for way, seen in (("direct", direct), ("gateway", gateway))
    ]
    return Report(versions=VERSIONS, node="v24", sides=sides, checks=checks)


def test_a_scenario_that_passes_on_both_ways_passes() -> None:
    report = a_report(an_outcome(a="SUCCESS"), an_outcome(a="SUCCESS"))
    assert report.totals() == (2, 0)
    assert not list(report.failures())


def test_a_failed_check_fails_the_scenario_with_its_reason() -> None:
    failed = outcome("ping", [{"id": "a", "status": "FAILURE", "errorMessage": "no answer"}])
    report = a_report(an_outcome(a="SUCCESS"), failed)
    assert report.totals() == (1, 1)
    assert "no answer" in next(report.failures())


def test_a_warning_that_the_direct_run_has_not_is_a_failure() -> None:
    assert a_report(an_outcome(a="SUCCESS"), an_outcome(a="WARNING")).totals() == (1, 1)
    assert a_report(an_outcome(a="WARNING"), an_outcome(a="WARNING")).totals() == (2, 0)


def test_a_check_that_passed_directly_and_is_not_made_is_a_failure() -> None:
    assert a_report(an_outcome(a="SUCCESS", b="SUCCESS"), an_outcome(a="SUCCESS")).totals() == (1, 1)
    assert a_report(an_outcome(a="SUCCESS"), an_outcome(a="SKIPPED")).totals() == (1, 1)


def test_a_scenario_that_is_owed_and_missing_is_a_failure() -> None:
    report = a_report(an_outcome(a="SUCCESS"), None)
    assert report.verdict(LEG, "gateway", "ping") == "FAIL"


def test_a_leg_that_did_not_finish_is_a_failure() -> None:
    side = Side(leg=LEG, way="direct", run=Run(outcomes={}, trouble="did not finish"))
    report = Report(versions=VERSIONS, node="v24", sides=[side])
    assert report.totals() == (0, 1)
    assert "did not finish" in next(report.failures())


def test_the_worst_status_of_a_check_counts() -> None:
    seen = outcome("ping", [{"id": "a", "status": "SUCCESS"}, {"id": "a", "status": "FAILURE"}])
    assert not seen.passed
    assert seen.checks == {"a": "FAILURE"}


def test_the_suites_result_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "server-tools-list-2026-11-22T15-13-41-694Z"
    folder.mkdir()
    (folder / "checks.json").write_text(json.dumps([{"id": "a", "status": "SUCCESS"}]))
    (tmp_path / "notes").mkdir()
    assert list(read(tmp_path)) == ["tools-list"]


def test_the_page_names_versions_scenarios_and_checks() -> None:
    seen = an_outcome(a="SUCCESS")
    report = a_report(seen, seen, checks=(Check(name="nothing else is listed", passed=True),))
    said = page(report)
    assert "| ping | pass | pass |" in said
    assert "| nothing else is listed | pass |" in said
    assert any("ping" in line and line.count("pass") == 2 for line in table(report))
