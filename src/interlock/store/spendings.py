"""What was spent, added up from the ledger's rows by whatever they are attributed to (B1). Read only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from interlock.core.model import DAY
from interlock.store.model_calls import CUT_DOWN
from interlock.store.schema import model_calls

CORRECTION = "correction"
"""The `kind` of a row that corrects others: it is money, but no call."""
_rows = model_calls.c
DIMENSIONS: Mapping[str, sa.ColumnElement[Any]] = {
    "agent": _rows.agent,
    "customer": _rows.customer,
    "day": _rows.started_at // sa.literal_column(str(DAY), sa.BigInteger),
    "environment": _rows.environment,
    "kind": _rows.kind,
    "model": _rows.served_model,
    "organisation": _rows.organisation,
    "price": _rows.price_version,
    "provider": _rows.provider,
    "requested_model": _rows.requested_model,
    "run": _rows.root_run,
    "step": _rows.step,
    "team": _rows.team,
    "version": _rows.version,
    "workflow": _rows.workflow,
}
"""What spend can be told apart by. `run` is the root run, `day` a day in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What the calls of one group used and cost, in tokens and nano-dollars.

    `input` counts every token read, `cached` those of them that came from a cache. `uncertain` calls were
    not charged at what the provider reported, `unpriced` ones had no price, `degraded` ones were cut down.
    """

    group: tuple[str, ...]
    calls: int
    input: int
    cached: int
    output: int
    reasoning: int
    cost: int
    uncertain: int
    unpriced: int
    degraded: int


def spendings(
    connection: sa.Connection,
    by: Sequence[str],
    *,
    since: int,
    until: int,
    only: Mapping[str, str] | None = None,
) -> list[Spending]:
    """Return what began from `since` to before `until`, grouped `by` dimensions; the dearest group first.

    `only` keeps the rows in which a dimension has a value; a day is asked for with `since` and `until`.
    Raises `KeyError` for what is no dimension.
    """
    groups = [DIMENSIONS[name].label(f"by_{place}") for place, name in enumerate(by)]
    call = sa.case((_rows.kind == CORRECTION, 0), else_=1)
    read = _rows.input_uncached + _rows.cache_read + _rows.cache_write_5m + _rows.cache_write_1h
    cost = _sum(_rows.cost)
    query = (
        sa.select(
            *groups,
            _sum(call).label("calls"),
            _sum(read).label("input"),
            _sum(_rows.cache_read).label("cached"),
            _sum(_rows.output).label("output"),
            _sum(_rows.reasoning).label("reasoning"),
            cost.label("cost"),
            _count(call, _rows.usage_source != "provider").label("uncertain"),
            _count(call, sa.and_(_rows.kind == "model", _rows.price_version == "")).label("unpriced"),
            _count(call, CUT_DOWN).label("degraded"),
        )
        .where(_rows.started_at >= since, _rows.started_at < until)
        .group_by(*groups)
        .order_by(cost.desc(), *groups)
    )
    for name, wanted in (only or {}).items():
        query = query.where(sa.cast(DIMENSIONS[name], sa.Text) == wanted)
    return [_spending(row, by) for row in connection.execute(query).mappings()]


def _sum(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)


def _count(call: sa.ColumnElement[int], condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return _sum(sa.case((condition, call), else_=0))


def _spending(row: Mapping[Any, Any], by: Sequence[str]) -> Spending:
    values = {name: int(row[name]) for name in Spending.__dataclass_fields__ if name != "group"}
    return Spending(group=tuple(_said(name, row[f"by_{place}"]) for place, name in enumerate(by)), **values)


def _said(name: str, found: object) -> str:
    if name != "day":
        return str(found)
    return datetime.fromtimestamp(int(str(found)) * 86_400, tz=UTC).date().isoformat()
