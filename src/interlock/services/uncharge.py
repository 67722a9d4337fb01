"""Take back what a crash charged to an account beyond what was truly spent, once a person knows that (B8)."""

from __future__ import annotations

from interlock.errors import NotFound, StateConflict
from interlock.store import accounts, epochs
from interlock.store.accounts import AccountRow
from interlock.store.database import Store, Transaction


async def uncharge_account(*, store: Store, account: str, keep: int, reason: str, person: str) -> AccountRow:
    """Leave `keep` nano-dollars of what crashes charged to `account`, and return it as it is then.

    Raises `NotFound` for an unknown account, `StateConflict` when no more than `keep` is charged.
    """

    def work(transaction: Transaction) -> AccountRow:
        if not accounts.named(transaction.connection, [account]):
            raise NotFound(f"There is no account {account[:200]!r}.", hint="interlock budget show --json")
        taken = epochs.uncharge(transaction, account, keep)
        if not taken:
            raise StateConflict("No crash has charged more than that to this account.")
        body = {"account": account, "kept": keep, "taken_back": taken, "reason": reason}
        transaction.audit("budget.uncharged", person=person, body=body)
        return accounts.named(transaction.connection, [account])[0]

    return await store.transact(work)
