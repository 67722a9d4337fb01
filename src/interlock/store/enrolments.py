"""How an agent proves itself once or again (H2): one-time codes, kept hashed, and registered public keys.

A code is bound to its agent, and to a workflow where one was named; it works once and not for long.
An assertion signed by a registered key works once as well: its `jti` is remembered until it expires.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from interlock.errors import StateConflict
from interlock.store.database import Transaction
from interlock.store.people import hashed
from interlock.store.schema import enrolments, seen_assertions

CODE_PREFIX = "ilc_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """One way in. `jwk` is set for a registered key; `workflow` "" means any workflow of the agent."""

    id: str
    agent: str
    kind: str
    workflow: str
    created_by: str
    created_at: int
    expires_at: int | None
    used_at: int | None
    run: str | None
    jwk: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A one-time code just made. `code` is shown once and kept nowhere."""

    id: str
    code: str
    expires_at: int


def add_code(
    transaction: Transaction, agent: str, *, workflow: str, created_by: str, expires_at: int
) -> NewCode:
    """Make a one-time code for `agent`; expired ones that nobody used are cleared away."""
    transaction.execute(
        sa.delete(enrolments).where(
            enrolments.c.kind == "code",
            enrolments.c.used_at.is_(None),
            enrolments.c.expires_at < transaction.now,
        )
    )
    made = NewCode(
        id=transaction.ids.new("enr"), code=CODE_PREFIX + secrets.token_urlsafe(32), expires_at=expires_at
    )
    transaction.execute(
        sa.insert(enrolments).values(
            id=made.id,
            agent=agent,
            kind="code",
            hash=hashed(made.code),
            workflow=workflow,
            created_by=created_by,
            created_at=transaction.now,
            expires_at=expires_at,
        )
    )
    return made


def add_key(
    transaction: Transaction,
    agent: str,
    *,
    jwk: Mapping[str, str],
    thumbprint: str,
    created_by: str,
    expires_at: int | None,
) -> str:
    """Register a public key of `agent`; return the enrolment's id.

    Raises `StateConflict` when the key is registered already, for this agent or another (H1).
    """
    taken = transaction.execute(sa.select(enrolments.c.agent).where(enrolments.c.hash == thumbprint)).first()
    if taken is not None:
        raise StateConflict(
            f"This key is registered already, for the agent {taken.agent!r}.",
            hint="Every agent has its own key: make a new one.",
        )
    enrolment = transaction.ids.new("enr")
    transaction.execute(
        sa.insert(enrolments).values(
            id=enrolment,
            agent=agent,
            kind="key",
            hash=thumbprint,
            jwk=msgspec.json.encode(jwk).decode(),
            workflow="",
            created_by=created_by,
            created_at=transaction.now,
            expires_at=expires_at,
        )
    )
    return enrolment


def by_code(connection: sa.Connection, code: str) -> Enrolment | None:
    """Return the enrolment that a one-time code opens, used or not; None for an unknown code."""
    row = (
        connection.execute(
            sa.select(enrolments).where(enrolments.c.kind == "code", enrolments.c.hash == hashed(code))
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else _enrolment(row)


def of_agent(connection: sa.Connection, agent: str) -> list[Enrolment]:
    """Return the enrolments of an agent, newest first."""
    rows = connection.execute(
        sa.select(enrolments).where(enrolments.c.agent == agent).order_by(enrolments.c.created_at.desc())
    )
    return [_enrolment(row) for row in rows.mappings()]


def keys_of(connection: sa.Connection, agent: str, now: int) -> list[Enrolment]:
    """Return the registered keys of an agent that have not expired."""
    return [
        each
        for each in of_agent(connection, agent)
        if each.jwk is not None and (each.expires_at is None or now < each.expires_at)
    ]


def use_code(transaction: Transaction, enrolment: str, run: str) -> None:
    """Spend a one-time code on `run`. Raises `StateConflict` when it was spent before."""
    done = transaction.execute(
        sa.update(enrolments)
        .where(enrolments.c.id == enrolment, enrolments.c.used_at.is_(None))
        .values(used_at=transaction.now, run=run)
    )
    if done.rowcount == 0:
        raise StateConflict("The enrolment code was used already.", hint="interlock agents enroll")


def use_assertion(transaction: Transaction, agent: str, jti: str, expires_at: int) -> bool:
    """Remember an assertion's `jti` until it expires; False when it was presented before (RFC 7523)."""
    transaction.execute(sa.delete(seen_assertions).where(seen_assertions.c.expires_at < transaction.now))
    seen = transaction.execute(
        sa.select(seen_assertions.c.jti).where(seen_assertions.c.agent == agent, seen_assertions.c.jti == jti)
    ).first()
    if seen is not None:
        return False
    transaction.execute(sa.insert(seen_assertions).values(agent=agent, jti=jti, expires_at=expires_at))
    return True


def delete_of_agent(transaction: Transaction, agent: str) -> tuple[int, int]:
    """Delete every way in of an agent; return how many unused codes and how many keys there were."""
    open_codes = sum(
        each.kind == "code" and each.used_at is None for each in of_agent(transaction.connection, agent)
    )
    keys = sum(each.kind == "key" for each in of_agent(transaction.connection, agent))
    transaction.execute(sa.delete(enrolments).where(enrolments.c.agent == agent))
    return open_codes, keys


def _enrolment(row: sa.RowMapping) -> Enrolment:
    return Enrolment(
        id=row["id"],
        agent=row["agent"],
        kind=row["kind"],
        workflow=row["workflow"] or "",
        created_by=row["created_by"] or "",
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        used_at=row["used_at"],
        run=row["run"],
        jwk=None if not row["jwk"] else msgspec.json.decode(row["jwk"], type=dict[str, str]),
    )
