"""Reading the ledger beside a bill, and booking what the bill says more or less as further rows (B8).

Functions never commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from interlock.core.model import DAY
from interlock.core.reconciliation import Key, Line, Totals, shares
from interlock.store import model_calls as ledger
from interlock.store.model_calls import LedgerRow
from interlock.store.schema import model_calls
from interlock.store.spendings import CORRECTION, spendings
from interlock.store.transaction import Transaction

_rows = model_calls.c
_EPOCH = date(1970, 1, 1).toordinal()
_BEARERS = (_rows.workflow, _rows.version, _rows.agent, _rows.team, _rows.organisation, _rows.customer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bearer:
    """Who a part of a correction is attributed to, and what their calls in doubt were charged at."""

    names: Mapping[str, str | int]
    charged: int


_NOBODY = _Bearer(
    names={"workflow": "", "version": 0, "agent": "", "team": "", "organisation": "", "customer": ""},
    charged=0,
)


def providers(connection: sa.Connection, *, first: int, last: int) -> list[str]:
    """Return the providers of models that the ledger has on the days from `first` to `last`."""
    query = sa.select(_rows.provider).where(_rows.kind == "model", *_between(first, last)).distinct()
    return sorted(connection.execute(query).scalars())


def recorded(connection: sa.Connection, provider: str, *, first: int, last: int) -> dict[Key, Totals]:
    """Return what the ledger says per day and model, corrections included."""
    found = spendings(
        connection,
        ("day", "model"),
        since=first * DAY,
        until=(last + 1) * DAY,
        only={"provider": provider},
    )
    return {
        (_number(each.group[0]), each.group[1]): Totals(
            calls=each.calls, input=each.input, cached=each.cached, output=each.output, cost=each.cost
        )
        for each in found
    }


def book(transaction: Transaction, line: Line, *, provider: str, environment: str) -> int:
    """Append what a line owes, shared by who made its calls in doubt; return the number of rows.

    A correction is money only: the tokens of the calls stay what they were reported as.
    """
    bearers = _bearers(transaction.connection, provider, line) or [_NOBODY]
    parts = shares(line.owed, [each.charged for each in bearers])
    rows = [
        _row(transaction, line, names=bearer.names, cost=part, provider=provider, environment=environment)
        for bearer, part in zip(bearers, parts, strict=True)
        if part
    ]
    ledger.insert(transaction.connection, rows)
    return len(rows)


def _bearers(connection: sa.Connection, provider: str, line: Line) -> list[_Bearer]:
    charged = sa.cast(sa.func.sum(_rows.cost), sa.BigInteger).label("charged")
    query = (
        sa.select(*_BEARERS, charged)
        .where(
            _rows.provider == provider,
            _rows.served_model == line.model,
            _rows.kind == "model",
            _rows.usage_source != "provider",
            *_between(line.day, line.day),
        )
        .group_by(*_BEARERS)
        .having(charged > 0)
        .order_by(*_BEARERS)
    )
    return [
        _Bearer(names={column.name: row[column.name] for column in _BEARERS}, charged=row["charged"])
        for row in connection.execute(query).mappings()
    ]


def _number(day: str) -> int:
    """Return a day counted from 1970."""
    return date.fromisoformat(day).toordinal() - _EPOCH


def _between(first: int, last: int) -> tuple[sa.ColumnElement[bool], ...]:
    return _rows.started_at >= first * DAY, _rows.started_at < (last + 1) * DAY


def _row(
    transaction: Transaction,
    line: Line,
    *,
    names: Mapping[str, str | int],
    cost: int,
    provider: str,
    environment: str,
) -> LedgerRow:
    return LedgerRow(
        attempt=transaction.ids.new("cor"),
        kind=CORRECTION,
        environment=environment,
        run="",
        root_run="",
        provider=provider,
        requested_model=line.model,
        served_model=line.model,
        ending="reconciled",
        cost=cost,
        started_at=line.day * DAY,
        ended_at=transaction.now,
        **names,  # pyright: ignore[reportArgumentType]
    )
