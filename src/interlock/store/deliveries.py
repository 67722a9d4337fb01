"""The outbox: who is still to be told of what, and the log of every attempt (G3). Functions never commit.

A delivery tells a person of an alert, or a program what became of an action: of exactly one of them, as the
database enforces. A worker claims what is due with a lease and sends it outside of any transaction. A worker
that dies leaves a lease that lapses, so all is sent at least once, each time under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from interlock.core.model import MINUTE, Json
from interlock.core.recipient import Address
from interlock.errors import NotFound
from interlock.store.schema import deliveries, delivery_attempts
from interlock.store.transaction import Transaction

LEASE = 2 * MINUTE
BATCH = 20


class About(StrEnum):
    """What a delivery tells of."""

    ALERT = "alert"
    OUTCOME = "outcome"


class DeliveryState(StrEnum):
    """Where a delivery stands. `given_up` is for people to see: nobody was told this way."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way to one address. Its id is what a receiver knows a repetition by.

    It tells of the alert event `event`, or of the move `move` of the action `action`.
    """

    id: str
    event: str | None
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
    action: str | None = None
    move: int | None = None

    @property
    def about(self) -> About:
        """What it tells of."""
        return About.OUTCOME if self.event is None else About.ALERT


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
    """Have an alert event told to an address; return the delivery's id."""
    return _enqueue(transaction, environment, address, event=event)


def enqueue_outcome(
    transaction: Transaction, environment: str, action: str, move: int, address: Address
) -> str:
    """Have it told what a move of an action came to; return the delivery's id."""
    return _enqueue(transaction, environment, address, action=action, move=move)


def _enqueue(transaction: Transaction, environment: str, address: Address, **of: str | int) -> str:
    delivery = transaction.ids.new("dlv")
    transaction.execute(
        sa.insert(deliveries).values(
            **of,
            id=delivery,
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


def any_due(connection: sa.Connection, environment: str, now: int, about: About = About.ALERT) -> bool:
    """Whether something is to be sent at `now`."""
    query = sa.select(deliveries.c.id).where(*_due(environment, now, about))
    return connection.execute(query.limit(1)).first() is not None


def claim(transaction: Transaction, environment: str, about: About = About.ALERT) -> list[Delivery]:
    """Take what is due, for as long as a lease; nobody else sends it meanwhile. At most `BATCH`.

    Each name has its turn: one that has much to be told does not keep the others waiting.
    """
    due, order = _due(environment, transaction.now, about), (deliveries.c.due_at, deliveries.c.id)
    turn = sa.func.row_number().over(partition_by=deliveries.c.name, order_by=order)
    rows = transaction.execute(
        sa.select(deliveries).where(*due).order_by(turn, *order).limit(BATCH)
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
        _record_given_up(transaction, delivery)


def _record_given_up(transaction: Transaction, delivery: Delivery) -> None:
    body: dict[str, Json] = {"delivery": delivery.id, "event": delivery.event, "channel": delivery.channel}
    if delivery.about is About.ALERT:
        transaction.audit("delivery.given_up", person=delivery.name, body=body)
    else:
        body["event"] = f"{delivery.action}.{delivery.move}"
        of = {"workflow": delivery.name, "action": delivery.action or ""}
        transaction.audit("delivery.given_up", **of, body=body)


def get(connection: sa.Connection, delivery: str) -> Delivery:
    """Return a delivery. Raises `NotFound`."""
    row = (
        connection.execute(sa.select(deliveries).where(deliveries.c.id == delivery)).mappings().one_or_none()
    )
    if row is None:
        raise NotFound(
            f"There is no delivery {delivery!r}.",
            hint="interlock alerts deliveries, interlock actions deliveries",
        )
    return _delivery(row)


def listed(
    connection: sa.Connection,
    environment: str,
    *,
    about: About = About.ALERT,
    before: str = "",
    limit: int = 50,
    **of: str,
) -> list[Delivery]:
    """Return deliveries, newest first; `of` says which `event`, `action`, `name` or `state`, "" means any."""
    query = sa.select(deliveries).where(deliveries.c.environment == environment, _is(about))
    for name, value in of.items():
        query = query.where(deliveries.c[name] == value) if value else query
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


def _is(about: About) -> sa.ColumnElement[bool]:
    return deliveries.c.event.is_not(None) if about is About.ALERT else deliveries.c.event.is_(None)


def _due(environment: str, now: int, about: About) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        deliveries.c.environment == environment,
        _is(about),
        deliveries.c.state == DeliveryState.QUEUED.value,
        deliveries.c.due_at <= now,
        deliveries.c.lease_until <= now,
    )


def _delivery(row: sa.RowMapping) -> Delivery:
    values: dict[str, Any] = dict(row)
    values["state"] = DeliveryState(row["state"])
    return Delivery(**values)
