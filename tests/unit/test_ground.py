"""What a decision stands on is kept with it: with request, bundle and pin it can be repeated (A5)."""

from __future__ import annotations

from interlock.core.document.identity import Person
from interlock.core.document.workflow import Autonomy
from interlock.core.ground import killed, tripped
from interlock.core.kill import KillLevel
from interlock.core.model import AutonomyTier, BreakerState, EffectClass, RiskTier
from support.policies import (
    NOW,
    a_bundle,
    a_reading_tool,
    a_request,
    a_run,
    a_snapshot,
    a_tool,
    a_workflow,
    an_account,
    an_approval,
    decided,
)

HIGH = RiskTier.HIGH_BLAST_RADIUS


def test_the_state_that_was_read_is_recorded() -> None:
    waiting = decided("crm.update", bundle=a_bundle(tools=(a_reading_tool(), a_tool(tier=HIGH))))
    decision = decided(
        "crm.update",
        bundle=a_bundle(tools=(a_reading_tool(), a_tool(tier=HIGH))),
        run=a_run(calls={"crm.lookup": 2}, labels=frozenset({"web", "email"})),
        breakers={("tool", "crm.update"): BreakerState.HALF_OPEN, ("tool", "x.y"): BreakerState.OPEN},
        kill={"run:other": KillLevel.STOP},
        accounts=[an_account(20, spent=10)],
        autonomy=AutonomyTier.ASYNC_REVIEW,
        reach={"records": 3},
        approved=an_approval(waiting),
    )
    assert decision.read == {
        "environment": "dev",
        "run": {
            "id": "run_1",
            "workflow": "refunds",
            "version": 7,
            "open": True,
            "calls": {"crm.lookup": 2},
            "taints": ["email", "web"],
            "started_at": NOW,
        },
        "breakers": {"tool:crm.update": "half_open"},
        "kill": {},
        "remaining": {"run run_1": 70},
        "autonomy": "async_review",
        "reach": {"records": 3},
        "approved": {
            "approval": "apr_1",
            "digest": decision.digest,
            "pin": "pin-1",
            "bundle": decision.bundle,
            "by": "maria",
            "tier": "high_blast_radius",
            "reach": None,
        },
    }
    assert decision.effect is EffectClass.IDEMPOTENT


def test_a_document_of_no_consequence_is_not_read() -> None:
    assert decided(run=None).read == {"environment": "dev"}
    assert isinstance(a_bundle().people["maria"], Person)


def test_what_reaches_a_call_is_what_belongs_to_it() -> None:
    states = {("tool", "crm.lookup"): BreakerState.OPEN, ("agent", "other"): BreakerState.OPEN}
    kills = {"workflow:refunds": KillLevel.STOP, "run:other": KillLevel.STOP}
    snapshot = a_snapshot(breakers=states, kill=kills)
    assert killed(snapshot, a_request()) == {"workflow:refunds": KillLevel.STOP}
    assert tripped(snapshot, a_request()) == {("tool", "crm.lookup"): BreakerState.OPEN}


def test_the_scores_and_trials_that_a_workflow_asks_for_are_recorded() -> None:
    bundle = a_bundle(a_workflow(autonomy=Autonomy(confidence_floor=7_000)))
    decision = decided("crm.update", bundle=bundle, run=a_run(score=9_000), trials=2)
    assert decision.read["confidence"] == {"scores": {"run_1": 9_000}, "trials": 2}
    assert "confidence" not in decided("crm.update", run=a_run(score=9_000)).read
