"""Accounts on disk: what each scope has spent, and how much of it each process may spend unasked (B8).

Whoever changes accounts locks them in the order of their ids, so that no two processes wait for each other.
At every commit `leased` is the sum of an account's slices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.budget import AccountKey, Limits, ScopeKind
from interlock.core.payer import Payer
from interlock.core.slice import Position
from interlock.core.window import Window
from interlock.store.database import Transaction
from interlock.store.schema import accounts, slices


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One account on disk. `charged` is what crashes left charged until the truth is known."""

    id: str
    key: AccountKey
    allowance: int
    ceiling: int
    spent: int
    leased: int
    charged: int


_CREATE = sa.text(
    "INSERT INTO accounts (id, environment, kind, name, per, starts_at, allowance, ceiling, spent, leased) "
    "VALUES (:id, :environment, :kind, :name, :per, :starts_at, :allowance, :ceiling, 0, 0) "
    "ON CONFLICT (id) DO NOTHING"
)
_WRITE = sa.text(
    "UPDATE accounts SET spent = :spent, leased = :leased, allowance = :allowance, ceiling = :ceiling "
    "WHERE id = :id"
)
_WRITE_SLICE = sa.text(
    "INSERT INTO slices (epoch, account, amount, charged, journaled) "
    "VALUES (:epoch, :id, :amount, 0, :journaled) ON CONFLICT (epoch, account) DO UPDATE SET "
    "amount = excluded.amount, "  # a slice that once covered a hold nobody wrote down stays of that kind
    "journaled = CASE WHEN excluded.journaled < slices.journaled THEN excluded.journaled "
    "ELSE slices.journaled END"
)
_CHARGED = (
    sa.select(sa.func.coalesce(sa.func.sum(slices.c.charged), 0))
    .where(slices.c.account == accounts.c.id)
    .scalar_subquery()
)
_COLUMNS = (*accounts.c, _CHARGED.label("charged"))


def id_of(environment: str, key: AccountKey) -> str:
    """Return the id of an account: readable, with the name last because it may hold any character."""
    return f"{environment}:{key.kind}:{key.window}:{key.start}:{key.name}"


def create(transaction: Transaction, environment: str, payers: Mapping[str, Payer]) -> None:
    """Make those accounts that do not exist yet."""
    if payers:
        rows = [_new(environment, each, payers[each]) for each in sorted(payers)]
        transaction.execute(_CREATE, rows)


_STANDING = (
    sa.select(accounts.c.id, accounts.c.spent, accounts.c.leased)
    .where(accounts.c.id.in_(sa.bindparam("wanted", expanding=True)))
    .order_by(accounts.c.id)
    .with_for_update()
)
_OWN_SLICES = sa.select(slices.c.account, slices.c.amount).where(
    slices.c.epoch == sa.bindparam("own"), slices.c.account.in_(sa.bindparam("wanted", expanding=True))
)


def lock(transaction: Transaction, epoch: str, limits: Mapping[str, Limits]) -> dict[str, Position]:
    """Return how accounts and the slices that `epoch` has of them stand, locked until the commit."""
    if not limits:
        return {}
    wanted = list(limits)
    found = transaction.execute(_STANDING, {"wanted": wanted}).all()
    own = transaction.execute(_OWN_SLICES, {"own": epoch, "wanted": wanted})
    amounts = {row.account: row.amount for row in own}
    return {
        row.id: Position(
            spent=row.spent,
            leased=row.leased,
            ceiling=None if limits[row.id].shadow else limits[row.id].ceiling,
            amount=amounts.get(row.id, 0),
        )
        for row in found
    }


def write(
    transaction: Transaction, epoch: str, positions: Mapping[str, Position], payers: Mapping[str, Payer]
) -> None:
    """Write accounts and slices that `lock` returned back as they are now."""
    rows = [
        {
            "epoch": epoch,
            "id": each,
            "spent": position.spent,
            "leased": position.leased,
            "amount": position.amount,
            "allowance": payers[each].limits.limit,
            "ceiling": payers[each].limits.ceiling,
            "journaled": int(payers[each].strict),
        }
        for each, position in positions.items()
    ]
    if rows:
        transaction.execute(_WRITE, rows)
        transaction.execute(_WRITE_SLICE, rows)


def charge(transaction: Transaction, amounts: Mapping[str, tuple[int, int]]) -> None:
    """Add to `spent` and to `leased` of accounts, in the order of their ids."""
    for account in sorted(amounts):
        spent, leased = amounts[account]
        transaction.execute(
            sa.update(accounts)
            .where(accounts.c.id == account)
            .values(spent=accounts.c.spent + spent, leased=accounts.c.leased + leased)
        )


def current(connection: sa.Connection, environment: str, starts: Collection[int]) -> list[AccountRow]:
    """Return the accounts of the windows that opened at `starts`; 0 stands for runs."""
    query = sa.select(*_COLUMNS).where(
        accounts.c.environment == environment, accounts.c.starts_at.in_(list(starts))
    )
    return [_row(row) for row in connection.execute(query).mappings()]


def listed(
    connection: sa.Connection,
    environment: str,
    *,
    kind: str = "",
    name: str = "",
    limit: int = 50,
    before: str = "",
) -> list[AccountRow]:
    """Return accounts, the newest window first; `before` is the id of the last one of the page before."""
    query = sa.select(*_COLUMNS).where(accounts.c.environment == environment)
    for column, wanted in ((accounts.c.kind, kind), (accounts.c.name, name)):
        query = query.where(column == wanted) if wanted else query
    if before:
        last = sa.select(accounts.c.starts_at).where(accounts.c.id == before).scalar_subquery()
        query = query.where(
            sa.tuple_(accounts.c.starts_at, accounts.c.id) < sa.tuple_(last, sa.literal(before))
        )
    rows = connection.execute(query.order_by(accounts.c.starts_at.desc(), accounts.c.id.desc()).limit(limit))
    return [_row(row) for row in rows.mappings()]


def named(connection: sa.Connection, ids: Iterable[str]) -> list[AccountRow]:
    """Return accounts by their ids, in the order of these."""
    query = sa.select(*_COLUMNS).where(accounts.c.id.in_(list(ids))).order_by(accounts.c.id)
    return [_row(row) for row in connection.execute(query).mappings()]


def _new(environment: str, account: str, payer: Payer) -> dict[str, object]:
    return {
        "id": account,
        "environment": environment,
        "kind": payer.key.kind.value,
        "name": payer.key.name,
        "per": payer.key.window.value,
        "starts_at": payer.key.start,
        "allowance": payer.limits.limit,
        "ceiling": payer.limits.ceiling,
    }


def _row(row: sa.RowMapping) -> AccountRow:
    key = AccountKey(
        kind=ScopeKind(row["kind"]), name=row["name"], window=Window(row["per"]), start=row["starts_at"]
    )
    return AccountRow(
        id=row["id"],
        key=key,
        allowance=row["allowance"],
        ceiling=row["ceiling"],
        spent=row["spent"],
        leased=row["leased"],
        charged=int(row["charged"]),
    )
