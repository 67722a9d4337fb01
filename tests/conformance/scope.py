"""The suite under a workflow, and what a narrowed workflow leaves of it (A3).

Under the narrowed workflow a scenario whose tools, resources and prompts are granted still passes; one that
needs anything else no longer does. Scenarios that mix both are left to the client in `narrowed.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conformance import manifests, node, suite
from tests.conformance.gateway import Gateway
from tests.conformance.report import Check

_SECONDS = 60
_ROOT = Path(__file__).resolve().parents[2]

STAY = frozenset(
    {
        "caching",
        "dns-rebinding-protection",
        "http-header-validation",
        "logging-set-level",
        "ping",
        "prompts-get-simple",
        "prompts-list",
        "resources-list",
        "resources-read-text",
        "sep-2164-resource-not-found",
        "server-initialize",
        "server-sse-multiple-streams",
        "tools-call-error",
        "tools-call-simple-text",
        "tools-call-with-progress",
        "tools-list",
    }
)
VANISH = frozenset(
    {
        "completion-complete",
        "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums",
        "http-custom-header-server-validation",
        "input-required-result-basic-elicitation",
        "input-required-result-basic-list-roots",
        "input-required-result-basic-sampling",
        "input-required-result-capability-check",
        "input-required-result-multi-round",
        "input-required-result-multiple-input-requests",
        "input-required-result-non-tool-request",
        "input-required-result-request-state",
        "json-schema-2020-12",
        "prompts-get-embedded-resource",
        "prompts-get-with-args",
        "prompts-get-with-image",
        "resources-read-binary",
        "resources-subscribe",
        "resources-templates-read",
        "resources-unsubscribe",
        "tasks-lifecycle",
        "tasks-mrtr-composition",
        "tasks-mrtr-input",
        "tools-call-audio",
        "tools-call-elicitation",
        "tools-call-embedded-resource",
        "tools-call-image",
        "tools-call-mixed-content",
        "tools-call-sampling",
        "tools-call-with-logging",
    }
)


def suite_under(
    runtime: node.Node,
    leg: suite.Leg,
    results: Path,
    gateway: Gateway,
    workflow: str,
    *,
    only: frozenset[str] | None = None,
) -> suite.Run:
    """Run one leg of the suite, or only some of its scenarios, as the program of one run of `workflow`."""
    # The program is told its URL in its environment, so a shell has to put it on the command line.
    line = leg.shell(runtime.suite(leg.package), "$INTERLOCK_MCP_URL", results, only)
    return suite.run(gateway.under(workflow, ["sh", "-c", line]), results, gateway.environment)


def narrowed(runtime: node.Node, folder: Path, gateway: Gateway) -> list[Check]:
    """Check that what is not granted is not there: by SDK clients of both eras, and by the suite itself."""
    checks = _client(gateway)
    for leg in (each for each in suite.LEGS if each.first):
        results = folder / f"narrowed-{leg.revision}"
        run = suite_under(runtime, leg, results, gateway, manifests.NARROWED)
        checks += _left(leg, run)
    return checks


def _left(leg: suite.Leg, run: suite.Run) -> list[Check]:
    if run.trouble:
        name = f"the suite runs under the narrowed scope ({leg.revision})"
        return [Check(name=name, passed=False, detail=run.trouble)]
    stay, vanish = STAY & run.outcomes.keys(), VANISH & run.outcomes.keys()
    gone = sorted(each for each in stay if not run.outcomes[each].passed)
    there = sorted(each for each in vanish if run.outcomes[each].passed)
    return [
        Check(
            name=f"{len(stay)} scenarios that need only what is granted still pass ({leg.revision})",
            passed=bool(stay) and not gone,
            detail=", ".join(gone),
        ),
        Check(
            name=f"{len(vanish)} scenarios that need what is not granted find it gone ({leg.revision})",
            passed=bool(vanish) and not there,
            detail=", ".join(there),
        ),
    ]


def _client(gateway: Gateway) -> list[Check]:
    command = gateway.under(manifests.NARROWED, [sys.executable, "-m", "tests.conformance.narrowed"])
    try:
        done = subprocess.run(
            command,
            env={**gateway.environment},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return [Check(name="the narrowed client ends", passed=False, detail=f"not within {_SECONDS} s")]
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"name"')]
    checks = [Check(**json.loads(line)) for line in lines]
    if done.returncode != 0 or not checks:
        checks.append(
            Check(name="the narrowed client ends well", passed=False, detail=done.stderr.strip()[-800:])
        )
    return checks
