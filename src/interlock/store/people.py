"""People and their personal API tokens (H3, H6). A token is random, kept as its SHA-256, shown once.

Functions take the transaction or the reading connection of their caller and never commit. A token's
roles only narrow the person's, whatever they were when the token was made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from interlock.core.document import identity
from interlock.errors import NotFound
from interlock.store.database import Transaction
from interlock.store.schema import api_tokens, people

PREFIX = "ilk_"
ROLES = frozenset(
    {"viewer", "auditor", "developer", "agent_owner", "approver", "policy_author", "operator", "admin"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is signed in: `roles` are those of the credential that was presented, never more than theirs.

    `narrowed` says that the person holds roles which this credential does not.
    """

    name: str
    email: str = ""
    roles: frozenset[str] = frozenset()
    token_id: str = ""
    disabled: bool = False
    narrowed: bool = False

    def may(self, *roles: str) -> bool:
        """Return whether the person holds one of `roles`."""
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """One personal API token as it may be shown: never its secret."""

    id: str
    person: str
    label: str
    roles: tuple[str, ...] | None
    created_by: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just made. `secret` is shown to its owner once and kept nowhere."""

    id: str
    secret: str


def hashed(secret: str) -> str:
    """Return what is kept of a random secret: 256 bits of chance need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def declare(transaction: Transaction, declared: Iterable[identity.Person]) -> None:
    """Make the accounts follow the manifest: new people appear, missing ones can no longer sign in.

    A person who returns keeps their password; tokens of a removed person stay unusable while removed.
    """
    wanted = {person.name: person for person in declared}
    known = set(transaction.execute(sa.select(people.c.name)).scalars())
    for name in known - wanted.keys():
        transaction.execute(sa.update(people).where(people.c.name == name).values(disabled=sa.true()))
    for name, person in wanted.items():
        values = {"email": person.email, "roles": _encoded(person.roles), "disabled": sa.false()}
        if name in known:
            transaction.execute(sa.update(people).where(people.c.name == name).values(values))
        else:
            transaction.execute(sa.insert(people).values(name=name, password_hash="", **values))


def find(connection: sa.Connection, name: str) -> Person | None:
    """Return the person of that name with all their roles, or None."""
    row = connection.execute(sa.select(people).where(people.c.name == name)).mappings().one_or_none()
    return None if row is None else _person(row)


def everyone(connection: sa.Connection) -> list[Person]:
    """Return all people, by name."""
    rows = connection.execute(sa.select(people).order_by(people.c.name)).mappings()
    return [_person(row) for row in rows]


def by_token(connection: sa.Connection, secret: str, now: int) -> Person | None:
    """Return who presents `secret`, or None when it is unknown, expired, revoked or its owner disabled."""
    query = (
        sa.select(
            people,
            api_tokens.c.id.label("token_id"),
            api_tokens.c.roles.label("token_roles"),
            api_tokens.c.expires_at,
            api_tokens.c.revoked_at,
        )
        .join(api_tokens, api_tokens.c.person == people.c.name)
        .where(api_tokens.c.hash == hashed(secret))
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None or row["disabled"] or row["revoked_at"] is not None:
        return None
    if row["expires_at"] is not None and now >= row["expires_at"]:
        return None
    return _person(row)


def password_hash(connection: sa.Connection, name: str) -> str | None:
    """Return an enabled person's argon2id hash, None if there is no such person or no password is set."""
    return connection.execute(
        sa.select(people.c.password_hash).where(people.c.name == name, people.c.disabled.is_(sa.false()))
    ).scalar_one_or_none()


def set_password_hash(transaction: Transaction, name: str, value: str) -> None:
    """Replace a person's password hash. Raises `NotFound`."""
    done = transaction.execute(sa.update(people).where(people.c.name == name).values(password_hash=value))
    if done.rowcount == 0:
        raise NotFound(f"There is no person named {name!r}.", hint="Declare the person in the manifest.")


def add_token(
    transaction: Transaction,
    person: str,
    *,
    label: str = "",
    roles: Iterable[str] | None = None,
    expires_at: int | None = None,
    created_by: str = "",
) -> NewToken:
    """Make a personal API token of `person`. `roles` None means all the person has, now and later.

    Raises `NotFound` for an unknown person.
    """
    if find(transaction.connection, person) is None:
        raise NotFound(f"There is no person named {person!r}.", hint="Declare the person in the manifest.")
    token = NewToken(id=transaction.ids.new("tok"), secret=PREFIX + secrets.token_urlsafe(32))
    transaction.execute(
        sa.insert(api_tokens).values(
            id=token.id,
            person=person,
            hash=hashed(token.secret),
            label=label,
            roles=None if roles is None else _encoded(roles),
            created_by=created_by or person,
            created_at=transaction.now,
            expires_at=expires_at,
        )
    )
    return token


def tokens(connection: sa.Connection, person: str | None = None) -> list[ApiToken]:
    """Return the tokens of one person, or of everyone, newest first."""
    query = sa.select(api_tokens).order_by(api_tokens.c.created_at.desc(), api_tokens.c.id.desc())
    rows = connection.execute(query if person is None else query.where(api_tokens.c.person == person))
    return [
        ApiToken(
            id=row.id,
            person=row.person,
            label=row.label or "",
            roles=None if row.roles is None else tuple(msgspec.json.decode(row.roles)),
            created_by=row.created_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in rows
    ]


def revoke_token(transaction: Transaction, token: str, *, person: str | None = None) -> str:
    """Revoke a token by id, of `person` only if given; return whose it was. Raises `NotFound`."""
    query = sa.select(api_tokens.c.person).where(api_tokens.c.id == token)
    owner = transaction.execute(
        query if person is None else query.where(api_tokens.c.person == person)
    ).scalar_one_or_none()
    if owner is None:
        raise NotFound(f"There is no token {token!r} that you may revoke.", hint="interlock token list")
    transaction.execute(
        sa.update(api_tokens)
        .where(api_tokens.c.id == token, api_tokens.c.revoked_at.is_(None))
        .values(revoked_at=transaction.now)
    )
    return str(owner)


def _person(row: sa.RowMapping) -> Person:
    own = roles = frozenset(msgspec.json.decode(row["roles"] or "[]", type=list[str]))
    kept = row.get("token_roles")
    if kept is not None:
        roles &= frozenset(msgspec.json.decode(kept, type=list[str]))
    return Person(
        name=row["name"],
        email=row["email"] or "",
        roles=roles,
        token_id=row.get("token_id", ""),
        disabled=bool(row["disabled"]),
        narrowed=roles != own,
    )


def _encoded(roles: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(set(roles))).decode()
