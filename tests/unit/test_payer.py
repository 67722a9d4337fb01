"""A call is charged to every scope that declares a budget, and to those of the runs above it (B1, B2, B9)."""

from __future__ import annotations

from typing import Any

from interlock.core.budget import AccountKey, Limits, ScopeKind
from interlock.core.bundle import Bundle, compile_bundle
from interlock.core.document.identity import Agent, Organisation, Person, Team
from interlock.core.document.spending import Budget
from interlock.core.document.workflow import Workflow
from interlock.core.model import DAY, HOUR, OnHard
from interlock.core.payer import Line, organisation_of, payers, teams_of
from interlock.core.window import Window

NOW = 20_000 * DAY + 5 * HOUR + 1


def a_bundle(**budgets: Any) -> Bundle:
    """Return two workflows of two agents of one owner; budgets as given."""
    organisation = budgets.get("organisation")
    return compile_bundle(
        [
            Person(name="maria", email="maria@example.com"),
            Person(name="deng", email="deng@example.com"),
            Team(name="desk", members=("maria",), budget=budgets.get("team")),
            Team(name="others", members=("deng",), budget=Budget(day=1)),
            Team(name="all", members=("deng", "maria")),
            Agent(name="bot", owner="maria", budget=budgets.get("agent")),
            Agent(name="helper", owner="maria", budget=budgets.get("helper")),
            Workflow(name="orders", agent="bot", owner="maria", budget=budgets.get("orders")),
            Workflow(name="lookups", agent="helper", owner="maria", budget=budgets.get("lookups")),
            *([Organisation(name="acme", budget=organisation)] if organisation else []),
        ],
        environment="dev",
    )


def said(bundle: Bundle, line: Line = (("run_1", "orders"),)) -> list[str]:
    """Return the accounts in words, in their order."""
    return [f"{each.key.scope}: {each.limits.limit}" for each in payers(bundle, line, NOW)]


def test_every_scope_with_a_budget_pays_in_each_of_its_windows() -> None:
    bundle = a_bundle(
        orders=Budget(run=1, hour=2, day=3, month=4),
        agent=Budget(run=5, day=6),
        team=Budget(month=7),
        organisation=Budget(month=8),
    )
    assert said(bundle) == [
        "run run_1: 1",
        "workflow orders, per hour: 2",
        "workflow orders, per day: 3",
        "workflow orders, per month: 4",
        "agent bot/run_1, per run: 5",
        "agent bot, per day: 6",
        "team desk, per month: 7",
        "organisation acme, per month: 8",
    ]
    hour = next(each for each in payers(bundle, [("run_1", "orders")], NOW) if each.key.window is Window.HOUR)
    assert hour.key == AccountKey(
        kind=ScopeKind.WORKFLOW, name="orders", window=Window.HOUR, start=20_000 * DAY + 5 * HOUR
    )


def test_without_a_budget_nobody_pays() -> None:
    assert said(a_bundle()) == []
    assert said(a_bundle(orders=Budget())) == []
    assert said(a_bundle(orders=Budget(run=1)), [("run_1", "unknown")]) == []


def test_a_run_that_was_started_by_another_pays_into_its_accounts_too_and_into_none_twice() -> None:
    bundle = a_bundle(
        orders=Budget(run=1, day=2), agent=Budget(day=3), lookups=Budget(run=4), organisation=Budget(day=5)
    )
    assert said(bundle, [("run_2", "lookups"), ("run_1", "orders")]) == [
        "run run_2: 4",
        "organisation acme, per day: 5",
        "run run_1: 1",
        "workflow orders, per day: 2",
        "agent bot, per day: 3",
    ]


def test_a_budget_says_how_its_accounts_behave() -> None:
    budget = Budget(run=1, soft=500, hard=900, kill=2_000, on_hard=OnHard.NEVER, shadow=True, strict=True)
    (payer,) = payers(a_bundle(orders=budget), [("run_1", "orders")], NOW)
    assert payer.strict
    assert payer.limits == Limits(limit=1, soft=500, hard=900, kill=2_000, stop_at_hard=True, shadow=True)


def test_teams_are_those_of_the_owner() -> None:
    bundle = a_bundle()
    assert teams_of(bundle, "orders") == ("all", "desk")
    assert teams_of(bundle, "unknown") == ()
    assert organisation_of(bundle) is None
