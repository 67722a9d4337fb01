"""A runbook: what it still needs before an alert may rest on it (G1)."""

from __future__ import annotations

from interlock.core.document.runbook import Baseline, FailureMode, Runbook


def test_a_runbook_says_what_it_still_needs() -> None:
    mode = FailureMode(name="runaway", symptoms="cost", first_action="look", escalate_when="it goes on")
    whole = Runbook(
        name="refunds",
        owner="maria",
        baseline=Baseline(success_rate=9_900, latency=45_000_000, cost_per_run=0, runs_per_hour=0),
        failure_modes=(mode,),
        escalation=("deng",),
        rollback="interlock rollback refunds",
    )
    assert whole.missing == ()
    assert Runbook(name="refunds").missing == (
        "baseline.success_rate",
        "baseline.latency",
        "baseline.cost_per_run",
        "baseline.runs_per_hour",
        "failure_modes",
        "escalation",
        "rollback",
        "owner",
    )
