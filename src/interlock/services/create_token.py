"""Personal API tokens: made for oneself, or by an admin for another; they only narrow, and they end (H2)."""

from __future__ import annotations

from collections.abc import Iterable

from interlock.core.model import DAY
from interlock.errors import NotPermitted, UsageError
from interlock.store import people
from interlock.store.database import Store, Transaction
from interlock.store.people import ROLES, NewToken, Person

DEFAULT_LIFE = 90 * DAY
LONGEST_LIFE = 365 * DAY
_ADMIN = "admin"


async def create_token(
    *,
    store: Store,
    by: Person,
    person: str,
    roles: Iterable[str] | None = None,
    label: str = "",
    life: int = DEFAULT_LIFE,
) -> NewToken:
    """Return a new token of `person`, its secret shown this once. `roles` None asks for all there are.

    A token made with a narrowed token is at most as wide. Raises `NotPermitted`, `NotFound`, `UsageError`.
    """
    wanted = None if roles is None else frozenset(roles)
    if wanted is not None and (unknown := wanted - ROLES):
        raise UsageError(
            f"There is no role {sorted(unknown)[0]!r}.", hint=f"Roles: {', '.join(sorted(ROLES))}"
        )
    if not 0 < life <= LONGEST_LIFE:
        raise UsageError("A token lasts at most a year.")
    if by.name != person and not by.may(_ADMIN):
        raise NotPermitted(f"{by.name} may not make a token for {person}.", hint="An admin may.")
    if by.name == person:
        wanted = _within(by, wanted)

    def work(transaction: Transaction) -> NewToken:
        made = people.add_token(
            transaction,
            person,
            label=label[:100],
            roles=wanted,
            expires_at=transaction.now + life,
            created_by=by.name,
        )
        body = {"of": person, "token": made.id, "roles": None if wanted is None else sorted(wanted)}
        transaction.audit("person.token_created", person=by.name, body=body)
        return made

    return await store.transact(work)


async def revoke_token(*, store: Store, by: Person, token: str) -> None:
    """Revoke a personal token: one's own, or anybody's by an admin. Raises `NotFound`."""

    def work(transaction: Transaction) -> None:
        owner = people.revoke_token(transaction, token, person=None if by.may(_ADMIN) else by.name)
        body = {"of": owner, "token": token}
        transaction.audit("person.token_revoked", person=by.name, body=body)

    await store.transact(work)


def _within(by: Person, wanted: frozenset[str] | None) -> frozenset[str] | None:
    """Keep what the presented credential holds; ask for nothing it lacks."""
    if wanted is None:
        return by.roles
    if missing := wanted - by.roles:
        raise NotPermitted(f"{by.name} does not hold the role {sorted(missing)[0]} here.")
    return wanted
