"""Which accounts a run pays into (B1, B2, B9).

A run pays into the accounts of its run, workflow, agent, teams and organisation, as far as each declares a
budget, and into those of every run above it: who starts a run spends their own money through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from interlock.core.budget import AccountKey, Limits, ScopeKind
from interlock.core.bundle import Bundle
from interlock.core.document.identity import Organisation
from interlock.core.document.spending import Budget
from interlock.core.model import OnHard, value
from interlock.core.window import Window, opened

Line: TypeAlias = Sequence[tuple[str, str]]
"""A run and those above it, nearest first: each its id and the name of its workflow."""


@value
class Payer:
    """One account that a call is charged to. `strict`: every hold is on disk before the call is sent."""

    key: AccountKey
    limits: Limits
    strict: bool


def payers(bundle: Bundle, line: Line, now: int) -> tuple[Payer, ...]:
    """Return what a call at `now` is charged to, each account once; none where no budget is declared."""
    found: dict[AccountKey, Payer] = {}
    for run, workflow in line:
        for kind, name, budget in _budgets(bundle, workflow):
            for key, limit in _windows(kind, name, budget, run, now):
                limits = Limits(
                    limit=limit, soft=budget.soft, hard=budget.hard, kill=budget.kill,
                    stop_at_hard=budget.on_hard is OnHard.NEVER, shadow=budget.shadow,
                )  # fmt: skip
                found.setdefault(key, Payer(key=key, limits=limits, strict=budget.strict))
    return tuple(found.values())


def teams_of(bundle: Bundle, workflow: str) -> tuple[str, ...]:
    """Return the teams that the owner of a workflow belongs to, by name."""
    compiled = bundle.workflows.get(workflow)
    if compiled is None:
        return ()
    owner = compiled.document.owner
    return tuple(sorted(name for name, team in bundle.teams.items() if owner in team.members))


def organisation_of(bundle: Bundle) -> Organisation | None:
    """Return the organisation, if it is declared."""
    return next((each for each in bundle.documents if isinstance(each, Organisation)), None)


def _budgets(bundle: Bundle, workflow: str) -> Iterator[tuple[ScopeKind, str, Budget]]:
    compiled = bundle.workflows.get(workflow)
    if compiled is None:
        return
    document, organisation = compiled.document, organisation_of(bundle)
    if document.budget is not None:
        yield ScopeKind.WORKFLOW, document.name, document.budget
    agent = bundle.agents.get(document.agent)
    if agent is not None and agent.budget is not None:
        yield ScopeKind.AGENT, agent.name, agent.budget
    for name in teams_of(bundle, workflow):
        if (budget := bundle.teams[name].budget) is not None:
            yield ScopeKind.TEAM, name, budget
    if organisation is not None and organisation.budget is not None:
        yield ScopeKind.ORGANISATION, organisation.name, organisation.budget


def _windows(
    kind: ScopeKind, name: str, budget: Budget, run: str, now: int
) -> Iterator[tuple[AccountKey, int]]:
    """Return the accounts of one budget. A workflow's limit per run is the account of the run itself."""
    if budget.run is not None:
        own = kind is ScopeKind.WORKFLOW
        yield (
            AccountKey(
                kind=ScopeKind.RUN if own else kind, name=run if own else f"{name}/{run}", window=Window.RUN
            ),
            budget.run,
        )
    for window, limit in ((Window.HOUR, budget.hour), (Window.DAY, budget.day), (Window.MONTH, budget.month)):
        if limit is not None:
            yield AccountKey(kind=kind, name=name, window=window, start=opened(window, now)), limit
