"""Reading the ledger beside a bill, and booking what the bill says more or less as further rows (B8).

Functions never commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import msgspec
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
_TEXTS = msgspec.json.Decoder(tuple[str, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bearer:
    """Who a part of a correction is attributed to, and what their calls in doubt come to by now.

    `accounts` are those that paid for the calls, which the correction is charged to as well.
    """

    names: Mapping[str, str | int]
    accounts: tuple[str, ...]
    charged: int


_NOBODY: Mapping[str, str | int] = {
    "workflow": "", "version": 0, "agent": "", "team": "", "organisation": "", "customer": "",
}  # fmt: skip


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


def book(transaction: Transaction, line: Line, *, provider: str, environment: str) -> list[LedgerRow]:
    """Append what a line owes, shared by who made its calls in doubt; return the rows.

    A correction is money only: the tokens of the calls stay what they were reported as. It is charged to the
    accounts that paid for the calls, by whoever calls this. What the calls in doubt do not explain, for they
    cost nothing at the least, is nobody's, and charged to the accounts that all calls of the line share.
    """
    connection = transaction.connection
    doubted = _bearers(connection, provider, line)
    most_back = sum(each.charged for each in doubted)
    explained = max(line.owed, -most_back) if doubted else 0
    shared = _Bearer(names=_NOBODY, accounts=_shared(connection, provider, line), charged=0)
    parts = shares(explained, [each.charged for each in doubted]) if doubted else []
    rows = [
        _row(transaction, line, bearer, cost=part, provider=provider, environment=environment)
        for bearer, part in [*zip(doubted, parts, strict=True), (shared, line.owed - explained)]
        if part
    ]
    ledger.insert(connection, rows)
    return rows


def _bearers(connection: sa.Connection, provider: str, line: Line) -> list[_Bearer]:
    """Return who made the calls in doubt, with what was corrected of them before."""
    charged = sa.cast(sa.func.sum(_rows.cost), sa.BigInteger).label("charged")
    in_doubt = sa.and_(_rows.kind == "model", _rows.usage_source != "provider")
    corrected = sa.and_(_rows.kind == CORRECTION, _rows.workflow != "")
    query = (
        sa.select(*_BEARERS, _rows.accounts, charged)
        .where(*_of_line(provider, line), sa.or_(in_doubt, corrected))
        .group_by(*_BEARERS, _rows.accounts)
        .having(charged > 0)
        .order_by(*_BEARERS, _rows.accounts)
    )
    return [
        _Bearer(
            names={column.name: row[column.name] for column in _BEARERS},
            accounts=_TEXTS.decode(row["accounts"]),
            charged=row["charged"],
        )
        for row in connection.execute(query).mappings()
    ]


def _shared(connection: sa.Connection, provider: str, line: Line) -> tuple[str, ...]:
    """Return the accounts that every call of a line was charged to."""
    query = sa.select(_rows.accounts).where(*_of_line(provider, line), _rows.kind == "model").distinct()
    paid = [set(_TEXTS.decode(accounts)) for accounts in connection.execute(query).scalars()]
    return tuple(sorted(set[str].intersection(*paid))) if paid else ()


def _of_line(provider: str, line: Line) -> tuple[sa.ColumnElement[bool], ...]:
    return (_rows.provider == provider, _rows.served_model == line.model, *_between(line.day, line.day))


def _number(day: str) -> int:
    """Return a day counted from 1970."""
    return date.fromisoformat(day).toordinal() - _EPOCH


def _between(first: int, last: int) -> tuple[sa.ColumnElement[bool], ...]:
    return _rows.started_at >= first * DAY, _rows.started_at < (last + 1) * DAY


def _row(
    transaction: Transaction,
    line: Line,
    bearer: _Bearer,
    *,
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
        accounts=bearer.accounts,
        **bearer.names,  # pyright: ignore[reportArgumentType]
    )
