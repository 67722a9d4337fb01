"""The ledger: one row for every attempt that was paid for, never changed and never deleted (B1, B8).

A row is written in the commit that charges its accounts. What is learnt later is a further row with the
difference. So what was spent from an account is the sum of its rows, and of what crashes left charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
import sqlalchemy as sa

from interlock.store.schema import model_calls

_TEXTS = msgspec.json.Decoder(list[str])
_COUNTS = msgspec.json.Decoder(dict[str, int])
_json = msgspec.json.Encoder().encode
CUT_DOWN = sa.and_(model_calls.c.degraded != "[]", model_calls.c.degraded.not_like('["shadow:%'))
"""A step of the ladder was taken: what only budgets in shadow would have done was not."""


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt: who called what for whom, what it used and what it cost. Amounts are nano-dollars.

    `kind` is "model", or "tool" for a tool call with a declared cost; then `provider` is the tool server and
    both models are the tool's dotted name. `accounts` are the ids of the accounts it was charged to.
    `degraded` are the steps that were applied. Times are microseconds since the epoch.
    """

    attempt: str
    environment: str
    run: str
    root_run: str
    workflow: str
    version: int
    agent: str
    provider: str
    requested_model: str
    served_model: str
    ending: str
    started_at: int
    ended_at: int
    kind: str = "model"
    team: str = ""
    organisation: str = ""
    customer: str = ""
    price_version: str = ""
    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    tools: dict[str, int] = {}
    usage_source: str = "provider"
    cost: int = 0
    held_exp: int = 0
    held_max: int = 0
    degraded: tuple[str, ...] = ()
    context_tokens: int = 0
    step: str = ""
    accounts: tuple[str, ...] = ()


_FIELDS = LedgerRow.__struct_fields__
_LISTS = ("degraded", "accounts")
_TOOLS, *_LIST_PLACES = (_FIELDS.index(field) for field in ("tools", *_LISTS))
_CAP = 4_096
_MOST_ATTEMPTS = 64


def insert(connection: sa.Connection, rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Append `rows`; return those that are new. An attempt that is in the ledger already is left out.

    Both statements are text for the driver: SQLAlchemy would render the list of attempts anew each time.
    """
    given = {row.attempt: row for row in rows}
    if not given:
        return []
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * len(given))
    known = f"SELECT attempt FROM model_calls WHERE attempt IN ({marks})"
    for attempt in connection.exec_driver_sql(known, tuple(given)).scalars():
        del given[attempt]
    if given:
        marks = ", ".join([mark] * len(_FIELDS))
        connection.exec_driver_sql(
            f"INSERT INTO model_calls ({', '.join(_FIELDS)}) VALUES ({marks})",
            [tuple(_values(row)) for row in given.values()],
        )
    return list(given.values())


def of_run(connection: sa.Connection, run: str) -> list[LedgerRow]:
    """Return what a run and the runs below it paid for, in the order in which they began."""
    query = sa.select(model_calls).where(sa.or_(model_calls.c.run == run, model_calls.c.root_run == run))
    return _read(connection, query.order_by(model_calls.c.started_at, model_calls.c.attempt))


def partial(connection: sa.Connection, run: str) -> bool:
    """Whether a call of a run, or of the runs below it, was cut down because of a budget (B4)."""
    own = sa.or_(model_calls.c.run == run, model_calls.c.root_run == run)
    return bool(connection.execute(sa.select(sa.exists().where(own, CUT_DOWN))).scalar())


def of_call(connection: sa.Connection, call: str) -> list[LedgerRow]:
    """Return what the attempts at one call came to, in their order; nothing where none was paid for yet."""
    attempts = [f"{call}.{number}" for number in range(1, _MOST_ATTEMPTS + 1)]
    query = sa.select(model_calls).where(model_calls.c.attempt.in_(attempts))
    return _read(connection, query.order_by(model_calls.c.started_at, model_calls.c.attempt))


def sums(connection: sa.Connection) -> dict[str, int]:
    """Return what the ledger says was spent from each account: the check on `accounts.spent`."""
    spent: dict[str, int] = {}
    for cost, paid_by in connection.execute(sa.select(model_calls.c.cost, model_calls.c.accounts)):
        for account in _TEXTS.decode(paid_by):
            spent[account] = spent.get(account, 0) + cost
    return spent


def _values(row: LedgerRow) -> Sequence[object]:
    """Return a row for the driver. Some names come from outside: none may break the statement."""
    values = list(msgspec.structs.astuple(row))
    values[_TOOLS] = _json(row.tools).decode() if row.tools else "{}"
    for place in _LIST_PLACES:
        values[place] = _text(values[place])
    outside = f"{row.requested_model}{row.served_model}{row.provider}{row.customer}{row.step}"
    if len(outside) > _CAP or not outside.isascii() or "\0" in outside:
        return [_name(each) if isinstance(each, str) else each for each in values]
    return values


@lru_cache(maxsize=256)
def _text(names: tuple[str, ...]) -> str:
    """Return names as their column keeps them: many rows are charged to the same accounts."""
    return _json(names).decode()


def _name(text: str) -> str:
    """Return a name as both databases can store it, cut where it is absurd."""
    return text[:_CAP].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _read(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[LedgerRow]:
    return [_row(dict(row)) for row in connection.execute(query).mappings()]


def _row(values: dict[str, object]) -> LedgerRow:
    for field in _LISTS:
        values[field] = tuple(_TEXTS.decode(str(values[field])))
    values["tools"] = _COUNTS.decode(str(values["tools"]))
    return LedgerRow(**values)  # pyright: ignore[reportArgumentType]
