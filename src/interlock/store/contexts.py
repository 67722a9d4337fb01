"""How large contexts were, by workflow version and model, out of the ledger (B6, C4).

What is past is counts by bucket and day, so a reading stays small however long the ledger grows. What is
newer than the mark is read from the ledger itself, so a reading is never behind. Functions never commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from interlock.core.model import DAY, HOUR
from interlock.core.sketch import Sketch, bucket_of
from interlock.store.schema import context_marks, context_sizes, model_calls
from interlock.store.transaction import Transaction

LAG = HOUR
"""Sum a call up this long after it began: by then it has ended and stands in the ledger."""

_SIZES, _CALLS, _MARKS = context_sizes.c, model_calls.c, context_marks.c
_MODEL = _CALLS.provider + "/" + _CALLS.served_model
_ADD = sa.text(
    "INSERT INTO context_sizes (environment, workflow, version, model, starts_at, bucket, calls, tokens) "
    "VALUES (:environment, :workflow, :version, :model, :starts_at, :bucket, :calls, :tokens) "
    "ON CONFLICT (environment, workflow, version, model, starts_at, bucket) DO UPDATE SET "
    "calls = context_sizes.calls + excluded.calls, tokens = context_sizes.tokens + excluded.tokens"
)
_FIRST_MARK = sa.text(
    "INSERT INTO context_marks (environment, summed_at) VALUES (:environment, 0) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The contexts of one workflow version at one model, which is named `provider/model`."""

    version: int
    model: str
    sizes: Sketch


def workflows(connection: sa.Connection, environment: str) -> list[str]:
    """Return the workflows whose contexts were measured, by name."""
    kept = sa.select(_SIZES.workflow).where(_SIZES.environment == environment)
    fresh = sa.select(_CALLS.workflow).where(*_fresh(connection, environment))
    return list(connection.execute(kept.union(fresh).order_by("workflow")).scalars())


def of_workflow(connection: sa.Connection, environment: str, workflow: str) -> list[Measured]:
    """Return the contexts of a workflow, by version and model."""
    calls, tokens = sa.func.sum(_SIZES.calls), sa.func.sum(_SIZES.tokens)
    kept = (
        sa.select(_SIZES.version, _SIZES.model, _SIZES.bucket, calls, tokens)
        .where(_SIZES.environment == environment, _SIZES.workflow == workflow)
        .group_by(_SIZES.version, _SIZES.model, _SIZES.bucket)
    )
    fresh = sa.select(_CALLS.version, _MODEL, _CALLS.context_tokens).where(
        *_fresh(connection, environment), _CALLS.workflow == workflow
    )
    return _measured([*connection.execute(kept), *_counted(connection.execute(fresh))])


def of_run(connection: sa.Connection, environment: str, run: str) -> list[Measured]:
    """Return the contexts of one run, by model."""
    query = sa.select(_CALLS.version, _MODEL, _CALLS.context_tokens).where(
        *_calls(environment), _CALLS.run == run
    )
    return _measured(_counted(connection.execute(query)))


def sum_up(transaction: Transaction, environment: str, until: int) -> int:
    """Count the calls that began after the mark, up to `until`, move the mark there, and say how many."""
    transaction.execute(_FIRST_MARK, {"environment": environment})
    mark = sa.select(_MARKS.summed_at).where(_MARKS.environment == environment).with_for_update()
    since = transaction.execute(mark).scalar_one()
    query = sa.select(_CALLS.workflow, _CALLS.version, _MODEL, _CALLS.started_at, _CALLS.context_tokens)
    query = query.where(*_calls(environment), _CALLS.started_at > since, _CALLS.started_at <= until)
    calls: Counter[tuple[str, int, str, int, int]] = Counter()
    tokens: Counter[tuple[str, int, str, int, int]] = Counter()
    for workflow, version, model, at, size in transaction.connection.execute(query):
        key = (workflow, version, model, at - at % DAY, bucket_of(size))
        calls[key] += 1
        tokens[key] += size
    names = ("workflow", "version", "model", "starts_at", "bucket")
    for key in sorted(calls):
        row = dict(zip(names, key, strict=True))
        transaction.execute(
            _ADD, {**row, "environment": environment, "calls": calls[key], "tokens": tokens[key]}
        )
    moved = sa.update(context_marks).where(_MARKS.environment == environment)
    transaction.execute(moved.values(summed_at=max(since, until)))
    return calls.total()


def _calls(environment: str) -> list[sa.ColumnElement[bool]]:
    """What makes a row of the ledger a model call whose context is known."""
    return [_CALLS.environment == environment, _CALLS.kind == "model", _CALLS.context_tokens > 0]


def _fresh(connection: sa.Connection, environment: str) -> list[sa.ColumnElement[bool]]:
    mark = sa.select(_MARKS.summed_at).where(_MARKS.environment == environment)
    since = connection.execute(mark).scalar_one_or_none() or 0
    return [*_calls(environment), _CALLS.started_at > since]


Counts = tuple[int, str, int, int, int]  # version, model, bucket, calls, tokens


def _counted(rows: Iterable[Any]) -> list[Counts]:
    return [(version, model, bucket_of(size), 1, size) for version, model, size in rows]


def _measured(rows: Iterable[Any]) -> list[Measured]:
    found: dict[tuple[int, str], Sketch] = {}
    for version, model, bucket, calls, tokens in rows:
        found.setdefault((version, model), Sketch()).take([(bucket, int(calls), int(tokens))])
    return [
        Measured(version=version, model=model, sizes=sizes)
        for (version, model), sizes in sorted(found.items(), key=lambda each: each[0])
    ]
