"""The outbox: who is still to be told of what, and the log of every attempt (G3). Functions never commit.

A worker claims what is due with a lease and sends it outside of any transaction. A worker that dies leaves
a lease that lapses, so a notice is sent at least once, each time under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from interlock.core.model import MINUTE
from interlock.core.recipient import Address
from interlock.errors import NotFound
from interlock.store.schema import deliveries, delivery_attempts
from interlock.store.transaction import Transaction

LEASE = 2 * MINUTE
_BATCH = 20


class DeliveryState(StrEnum):
    """Where a delivery stands. `given_up` is for people to see: nobody was told this way."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notice on its way to one address. Its id is what a receiver knows a repetition by."""

    id: str
    event: str
    environment: str
    name: str
    channel: str
    target: str
    key_ref: str
    state: DeliveryState
    attempts: int
    created_at: int
    due_at: int
    lease_until: int
    ended_at: int | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of the delivery log. `took` is microseconds; `detail` is what the receiver's side said."""

    delivery: str
    seq: int
    at: int
    took: int
    outcome: str
    detail: str


def enqueue(transaction: Transaction, environment: str, event: str, address: Address) -> str:
    """Have an event told to an address; return the delivery's id."""
    delivery = transaction.ids.new("dlv")
    transaction.execute(
        sa.insert(deliveries).values(
            id=delivery,
            event=event,
            environment=environment,
            name=address.name,
            channel=address.channel,
            target=address.target,
            key_ref=address.key,
            state=DeliveryState.QUEUED.value,
            created_at=transaction.now,
            due_at=transaction.now,
        )
    )
    return delivery


def any_due(connection: sa.Connection, environment: str, now: int) -> bool:
    """Whether something is to be sent at `now`."""
    return (
        connection.execute(sa.select(deliveries.c.id).where(*_due(environment, now)).limit(1)).first()
        is not None
    )


def claim(transaction: Transaction, environment: str) -> list[Delivery]:
    """Take what is due, for as long as a lease; nobody else sends it meanwhile."""
    due = _due(environment, transaction.now)
    rows = transaction.execute(
        sa.select(deliveries).where(*due).order_by(deliveries.c.due_at).limit(_BATCH)
    ).mappings()
    claimed: list[Delivery] = []
    for found in [_delivery(row) for row in rows]:
        taken = transaction.execute(
            sa.update(deliveries)
            .where(deliveries.c.id == found.id, deliveries.c.lease_until == found.lease_until)
            .values(lease_until=transaction.now + LEASE)
        )
        if taken.rowcount == 1:
            claimed.append(found)
    return claimed


def settle(
    transaction: Transaction,
    delivery: Delivery,
    *,
    state: DeliveryState,
    due_at: int,
    took: int,
    outcome: str,
    detail: str,
) -> None:
    """Write down how an attempt ended; one that is `queued` is due again at `due_at`."""
    attempts = delivery.attempts + 1
    transaction.execute(
        sa.insert(delivery_attempts).values(
            delivery=delivery.id, seq=attempts, at=transaction.now, took=took, outcome=outcome, detail=detail
        )
    )
    transaction.execute(
        sa.update(deliveries)
        .where(deliveries.c.id == delivery.id)
        .values(
            state=state.value,
            attempts=attempts,
            due_at=due_at,
            lease_until=0,
            ended_at=None if state is DeliveryState.QUEUED else transaction.now,
            problem="" if state is DeliveryState.DELIVERED else detail,
        )
    )
    if state is DeliveryState.GIVEN_UP:
        body = {"delivery": delivery.id, "event": delivery.event, "channel": delivery.channel}
        transaction.audit("delivery.given_up", person=delivery.name, body=body)


def get(connection: sa.Connection, delivery: str) -> Delivery:
    """Return a delivery. Raises `NotFound`."""
    row = (
        connection.execute(sa.select(deliveries).where(deliveries.c.id == delivery)).mappings().one_or_none()
    )
    if row is None:
        raise NotFound(f"There is no delivery {delivery!r}.", hint="interlock alerts deliveries")
    return _delivery(row)


def listed(
    connection: sa.Connection,
    environment: str,
    *,
    event: str = "",
    state: str = "",
    before: str = "",
    limit: int = 50,
) -> list[Delivery]:
    """Return deliveries, newest first."""
    query = sa.select(deliveries).where(deliveries.c.environment == environment)
    query = query.where(deliveries.c.event == event) if event else query
    query = query.where(deliveries.c.state == state) if state else query
    query = query.where(deliveries.c.id < before) if before else query
    rows = connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit))
    return [_delivery(row) for row in rows.mappings()]


def attempts_of(connection: sa.Connection, of: Sequence[str]) -> dict[str, list[Attempt]]:
    """Return the log of each of these deliveries, oldest first."""
    query = sa.select(delivery_attempts).where(delivery_attempts.c.delivery.in_(of))
    found: dict[str, list[Attempt]] = {each: [] for each in of}
    for row in connection.execute(query.order_by(delivery_attempts.c.seq)).mappings():
        found[row["delivery"]].append(Attempt(**row))
    return found


def _due(environment: str, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        deliveries.c.environment == environment,
        deliveries.c.state == DeliveryState.QUEUED.value,
        deliveries.c.due_at <= now,
        deliveries.c.lease_until <= now,
    )


def _delivery(row: sa.RowMapping) -> Delivery:
    values: dict[str, Any] = dict(row)
    values["state"] = DeliveryState(row["state"])
    return Delivery(**values)
