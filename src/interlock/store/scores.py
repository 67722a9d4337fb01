"""Scores that evaluators gave runs (E2). A key counts once; a score is never changed. Never commits."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from interlock.store.schema import run_scores
from interlock.store.transaction import Transaction

COUNTED = ("quality", "confidence")
"""The names of scores that the floor of a workflow is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One score. `value` in basis points; `source` and `evaluator` say who judged, and in which version."""

    run: str
    key: str
    name: str
    value: int
    source: str
    evaluator: str
    by: str
    at: int


def insert(transaction: Transaction, score: Score) -> None:
    """Write a score down."""
    values = {each: getattr(score, each) for each in Score.__slots__}
    transaction.execute(sa.insert(run_scores).values(values))


def find(connection: sa.Connection, run: str, key: str) -> Score | None:
    """Return the score of a run that was given under a key, or None."""
    query = sa.select(run_scores).where(run_scores.c.run == run, run_scores.c.key == key)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Score(**row)


def of(connection: sa.Connection, run: str) -> list[Score]:
    """Return the scores of a run, oldest first."""
    query = sa.select(run_scores).where(run_scores.c.run == run).order_by(run_scores.c.at, run_scores.c.key)
    return [Score(**row) for row in connection.execute(query).mappings()]


def lowest(connection: sa.Connection, run: str) -> int | None:
    """Return the lowest of what counts: of each name and source the latest score. None without any."""
    latest = {(each.name, each.source): each.value for each in of(connection, run) if each.name in COUNTED}
    return min(latest.values(), default=None)
