"""Hold a provider's bill against the ledger, and book what it says more or less (B8).

Nothing in the ledger is changed: a correction is a further row, on the day and model that it corrects, and it
is charged to the accounts that paid for the calls in the same commit. What was booked counts as recorded, so
the same bill held against it again books nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.model import DAY
from interlock.core.reconciliation import Key, Line, Standing, Totals, compared
from interlock.errors import UsageError
from interlock.store import accounts, corrections
from interlock.store.database import Store
from interlock.store.transaction import Transaction
from interlock.upstream.usage_export import read_export


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a bill and the ledger say of one provider, how many rows were booked, and on which accounts."""

    provider: str
    lines: tuple[Line, ...]
    booked: int = 0
    accounts: frozenset[str] = frozenset()


async def reconcile(store: Store, export: str, *, provider: str, now: int) -> Reconciled:
    """Return what a bill and the ledger say; write nothing. Without a `provider`, the ledger's only one.

    Raises `UsageError` for an export that cannot be read, or when it is not clear whose bill it is.
    """
    billed = read_export(export)
    return await store.read(lambda connection: _compared(connection, billed, provider, now))


async def book(store: Store, export: str, *, provider: str, environment: str, by: str) -> Reconciled:
    """Book what a bill says more or less than the ledger, by a person; return what both said before."""
    billed = read_export(export)

    def work(transaction: Transaction) -> Reconciled:
        found = _compared(transaction.connection, billed, provider, transaction.now)
        owing = [line for line in found.lines if line.standing is Standing.DIFFERS]
        rows = [
            row
            for line in owing
            for row in corrections.book(transaction, line, provider=found.provider, environment=environment)
        ]
        moved = Counter[str]()
        for row in rows:
            moved.update(dict.fromkeys(row.accounts, row.cost))
        if rows:
            accounts.charge(transaction, {account: (amount, 0) for account, amount in moved.items()})
            amount = sum(line.owed for line in owing)
            body = {"provider": found.provider, "rows": len(rows), "amount": amount}
            transaction.audit("spend.corrected", person=by, body=body)
        return Reconciled(
            provider=found.provider, lines=found.lines, booked=len(rows), accounts=frozenset(moved)
        )

    return await store.transact(work)


def _compared(connection: sa.Connection, billed: Mapping[Key, Totals], provider: str, now: int) -> Reconciled:
    first, last = min(day for day, _ in billed), max(day for day, _ in billed)
    whose = provider or _only_one(corrections.providers(connection, first=first, last=last))
    recorded = corrections.recorded(connection, whose, first=first, last=last)
    lines = tuple(compared(billed, recorded, today=now // DAY))
    return Reconciled(provider=whose, lines=lines)


def _only_one(names: list[str]) -> str:
    if len(names) != 1:
        said = f"It has {', '.join(names)}." if names else "It has no model call of these days."
        raise UsageError(
            f"Whose bill this is does not follow from the ledger. {said}", hint="Say it: --provider NAME"
        )
    return names[0]
