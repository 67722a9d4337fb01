"""Which deployment a rollback goes back to, and what of a manifest it takes back."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.deployment import Deployment, last_stable, swapped
from interlock.core.document.identity import Agent
from interlock.core.document.workflow import Grant, Webhook, Workflow


def a_deployment(name: str, at: int, **more: int) -> Deployment:
    made = Deployment(
        id=name, environment="dev", workflow="refunds", version=at, bundle=at, at=at, by="maria"
    )
    return replace(made, **more)


CURRENT = a_deployment("dep_4", 4, stable_at=9)


def test_the_last_stable_deployment_is_the_newest_before_this_one_that_somebody_called_so() -> None:
    known = [
        CURRENT,
        a_deployment("dep_3", 3),
        a_deployment("dep_2", 2, stable_at=5),
        a_deployment("dep_1", 1),
    ]
    assert last_stable(known, CURRENT) == known[2]


def test_nothing_is_stable_by_itself_and_what_was_rolled_back_is_not() -> None:
    assert last_stable([CURRENT, a_deployment("dep_3", 3)], CURRENT) is None
    gone = a_deployment("dep_2", 2, stable_at=5, withdrawn_at=6)
    later = a_deployment("dep_5", 5, stable_at=6)
    assert last_stable([later, CURRENT, gone], CURRENT) is None


OLD = Workflow(name="refunds", agent="bot", owner="maria", tools=(Grant(tool="crm.lookup"),), runbook="old")
NOW = replace(
    OLD, tools=(*OLD.tools, Grant(tool="crm.delete")), runbook="new", webhook=Webhook(url="https://a/out")
)
BOT = Agent(name="bot", owner="maria")


def test_only_the_workflow_goes_back_and_what_holds_for_open_runs_stays() -> None:
    assert swapped((BOT, NOW), (OLD,), "refunds") == (BOT, replace(OLD, runbook="new", webhook=NOW.webhook))


def test_a_workflow_that_was_removed_comes_back_and_one_that_never_was_does_not() -> None:
    assert swapped((BOT,), (OLD,), "refunds") == (BOT, OLD)
    assert swapped((BOT, NOW), (BOT,), "refunds") is None
