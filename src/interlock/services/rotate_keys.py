"""Rotate the signing key without downtime (H2): the next is published, then signs; the old retires last."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.model import MINUTE
from interlock.errors import UsageError
from interlock.store.database import Store, Transaction
from interlock.store.keyring import Keyring
from interlock.store.people import Person
from interlock.store.signing_keys import RETIRE_AFTER

PUBLISH_AHEAD = 10 * MINUTE
_LONGEST = 24 * 60 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation does and when, in microseconds since the epoch."""

    kid: str
    signs_at: int
    old_retires_at: int


async def rotate_keys(
    *, store: Store, keyring: Keyring, by: Person, publish_ahead: int = PUBLISH_AHEAD
) -> Rotation:
    """Publish the next key, which signs after `publish_ahead`: two lifetimes of a verifier's JWKS cache.

    The key before it verifies until the last token it could have signed is over. Raises `StateConflict`
    while a rotation is under way.
    """
    if not 0 <= publish_ahead <= _LONGEST:
        raise UsageError("A key is published at most a day before it signs.")

    def work(transaction: Transaction) -> Rotation:
        kid = keyring.rotate(transaction, publish_ahead=publish_ahead)
        signs_at = transaction.now + publish_ahead
        body = {"kid": kid, "signs_at": signs_at}
        transaction.audit("key.rotated", person=by.name, body=body)
        return Rotation(kid=kid, signs_at=signs_at, old_retires_at=signs_at + RETIRE_AFTER)

    return await store.transact(work)
