"""What one decision reads: by default nothing is known, and nothing unknown permits (invariant 2)."""

from __future__ import annotations

from interlock.core.admission import decide
from interlock.core.snapshot import RunFacts, Snapshot, any_arguments
from support.policies import NOW, a_bundle, a_request


def test_an_empty_snapshot_denies() -> None:
    assert decide(a_request(), Snapshot(environment="dev", bundle=None), NOW).denied
    assert decide(a_request(), Snapshot(environment="dev", bundle=a_bundle()), NOW).denied


def test_a_new_run_has_done_and_read_nothing() -> None:
    run = RunFacts(run="run_1", workflow="refunds", version=7)
    assert (run.open, run.calls, run.labels, run.started_at) == (True, {}, frozenset(), 0)


def test_any_arguments_is_only_for_explaining() -> None:
    assert any_arguments({"anything": 1}) is None
