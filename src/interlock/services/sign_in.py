"""People prove who they are (H6): a password once, for a personal API token that lasts half a day.

Passwords are kept as argon2id hashes. An unknown name costs as much time as a wrong password, and
both get the same answer; repeated failures must wait.
"""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from interlock.core.model import HOUR, SECOND
from interlock.core.throttle import Throttle
from interlock.errors import NotPermitted, TokenInvalid, UsageError
from interlock.store import people
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.people import NewToken, Person

SIGNED_IN_FOR = 12 * HOUR
SHORTEST_PASSWORD = 12
_LONGEST_PASSWORD = 1_024
_ADMIN = "admin"


async def sign_in(
    *, store: Store, throttle: Throttle, name: str, password: str, caller: str, now: int
) -> NewToken:
    """Return a personal token for a name and its password. Raises `TokenInvalid`; refusals are audited."""
    keys = (f"person:{name}", f"sign-in:{caller}")
    wait = max(throttle.wait(key, now) for key in keys)
    if wait:
        raise TokenInvalid(f"Too many failed attempts; try again in {wait // SECOND + 1} seconds.")
    for key in keys:  # before it is looked at: a hundred guesses at once are a hundred failures
        throttle.failed(key, now)
    known = await store.read(lambda connection: people.password_hash(connection, name))
    if not await asyncio.to_thread(_matches, known or "", password[:_LONGEST_PASSWORD]):
        store.note(JournalEntry(at=now, kind="person.sign_in_refused", person=name, body={"caller": caller}))
        raise TokenInvalid(
            "The name or the password is wrong.", hint="A password is set with: interlock token passwd"
        )
    throttle.succeeded(keys[0])
    throttle.forgive(keys[1])

    def work(transaction: Transaction) -> NewToken:
        made = people.add_token(
            transaction, name, label="sign-in", expires_at=transaction.now + SIGNED_IN_FOR
        )
        transaction.audit("person.signed_in", person=name, body={"token": made.id, "caller": caller})
        return made

    return await store.transact(work)


async def set_password(*, store: Store, by: Person, name: str, password: str, current: str = "") -> None:
    """Set the password of `name`: their own, with the current one if there is one, or anybody's by an admin.

    Raises `NotPermitted`, `UsageError` for a short password, `NotFound` for an unknown person.
    """
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise UsageError(f"A password has at least {SHORTEST_PASSWORD} characters.")
    if by.name != name and not by.may(_ADMIN):
        raise NotPermitted(f"{by.name} may not set the password of {name}.")
    if by.name == name:
        await _prove_current(store, name, current)
    hashed = await asyncio.to_thread(_HASHER.hash, password)

    def work(transaction: Transaction) -> None:
        people.set_password_hash(transaction, name, hashed)
        transaction.audit("person.password_set", person=by.name, body={"of": name})

    await store.transact(work)


async def _prove_current(store: Store, name: str, current: str) -> None:
    known = await store.read(lambda connection: people.password_hash(connection, name))
    if known and not await asyncio.to_thread(_matches, known, current[:_LONGEST_PASSWORD]):
        raise NotPermitted("The current password is wrong.", hint="An admin can set a new one.")


def _matches(known: str, password: str) -> bool:
    """Whether the password is the one of the hash. An empty hash matches nothing, in the same time."""
    try:
        return _HASHER.verify(known or _NOBODY, password) and bool(known)
    except (VerificationError, InvalidHashError):
        return False


_HASHER = PasswordHasher()
# The hash of a random password that nobody knows, so that an unknown name takes as long as a known one.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$a1/Yzonu8oYxax9ulUcqjQ$khFZqKjVrXG6WDH1UX3vANyvo4MOLpugnlSfOmV6n74"
