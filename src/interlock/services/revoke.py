"""Stop one token or one signing key from counting, at once on this process (H2)."""

from __future__ import annotations

from interlock.errors import UsageError
from interlock.store import revocations
from interlock.store.database import Store, Transaction
from interlock.store.keyring import Keyring
from interlock.store.memory import Memory
from interlock.store.people import Person
from interlock.store.revocations import Revoked


async def revoke_run_token(*, store: Store, memory: Memory, token_id: str, by: Person, reason: str) -> None:
    """Revoke one run token by its `jti`; its run goes on. Raises `UsageError` for no id of a token."""
    if not token_id.startswith("jti_") or len(token_id) > 64:
        raise UsageError("This is not the id of a run token.", hint="It begins with jti_; see the audit log.")

    def work(transaction: Transaction) -> None:
        revocations.add(transaction, memory, Revoked.TOKEN, token_id)
        transaction.audit("token.revoked", person=by.name, body={"token": token_id, "reason": reason})

    await store.transact(work)


async def revoke_key(
    *, store: Store, memory: Memory, keyring: Keyring, kid: str, by: Person, reason: str
) -> str:
    """Revoke a signing key: every token it signed stops counting. Return the kid that signs from now on.

    Raises `NotFound`, `StateConflict`, and `UsageError` without a reason.
    """
    if not reason.strip():
        raise UsageError("Revoking a key needs a reason.", hint="--reason TEXT")

    def work(transaction: Transaction) -> None:
        keyring.revoke(transaction, kid)
        revocations.add(transaction, memory, Revoked.KEY, kid)
        transaction.audit("key.revoked", person=by.name, body={"kid": kid, "reason": reason})

    await store.transact(work)
    return keyring.current().kid
