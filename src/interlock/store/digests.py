"""Daily digests: what ran without a person asked first, one list for each owner (F1). Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from interlock.core.bundle import Bundle
from interlock.core.digest import next_at
from interlock.core.document.identity import DigestTime
from interlock.errors import NotFound
from interlock.store.deliveries import DeliveryState
from interlock.store.schema import deliveries, digests
from interlock.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One list. `event` is the notice of it; `opened_at` says when somebody who answers first opened it."""

    id: str
    owner: str
    made_at: int
    items: int
    event: str | None
    opened_at: int | None
    opened_by: str | None


def kind(environment: str) -> str:
    """Return the kind of timer by which digests are made; its reference is their owner."""
    return f"digest:{environment}"


def next_for(bundle: Bundle, owner: str, now: int) -> int:
    """Return when the next digest of an owner is due; teams and rotas get theirs at the usual time."""
    person = bundle.people.get(owner)
    told = DigestTime() if person is None else person.digest
    return next_at(told.hour, ZoneInfo(told.tz), now)


def put(transaction: Transaction, environment: str, *, owner: str, items: int) -> str:
    """Write a new digest and return its id."""
    digest = transaction.ids.new("dig")
    transaction.execute(
        sa.insert(digests).values(
            id=digest, environment=environment, owner=owner, made_at=transaction.now, items=items
        )
    )
    return digest


def announce(transaction: Transaction, digest: str, event: str) -> None:
    """Note by which notice its owner is told."""
    transaction.execute(sa.update(digests).where(digests.c.id == digest).values(event=event))


def opened(transaction: Transaction, digest: str, by: str) -> None:
    """Note that somebody who answers for it has seen it; the first time counts."""
    first = sa.update(digests).where(digests.c.id == digest, digests.c.opened_at.is_(None))
    transaction.execute(first.values(opened_at=transaction.now, opened_by=by))


def reached(connection: sa.Connection, digest: str) -> bool:
    """Whether its owner can have seen it: it was opened, or a notice of it was taken."""
    told = sa.exists().where(
        deliveries.c.event == digests.c.event, deliveries.c.state == DeliveryState.DELIVERED.value
    )
    query = sa.select(digests.c.id).where(digests.c.id == digest, digests.c.opened_at.is_not(None) | told)
    return connection.execute(query).first() is not None


def get(connection: sa.Connection, environment: str, digest: str) -> Digest:
    """Return a digest. Raises `NotFound`."""
    query = _COLUMNS.where(digests.c.environment == environment, digests.c.id == digest)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no digest {digest[:60]!r}.", hint="interlock digest list")
    return Digest(**row)


def listed(
    connection: sa.Connection, environment: str, *, owner: str = "", before: str = "", limit: int = 50
) -> list[Digest]:
    """Return digests, newest first."""
    query = _COLUMNS.where(digests.c.environment == environment)
    query = query.where(digests.c.owner == owner) if owner else query
    query = query.where(digests.c.id < before) if before else query
    rows = connection.execute(query.order_by(digests.c.id.desc()).limit(limit))
    return [Digest(**row) for row in rows.mappings()]


_COLUMNS = sa.select(
    digests.c.id,
    digests.c.owner,
    digests.c.made_at,
    digests.c["items"],
    digests.c.event,
    digests.c.opened_at,
    digests.c.opened_by,
)
