"""News: what a commit changed that other processes on the same database decide on.

Every commit with news takes the next number, as the last thing it does and under the lock of one row, so who
has read up to a number has missed nothing below it. Whoever listens is woken by the commit; whoever was not
finds out by the number. News say what changed, not how: a follower reads that where it stands.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

import sqlalchemy as sa

from interlock.core.model import MINUTE
from interlock.store.schema import news, news_numbers

CHANNEL = "interlock_news"
KEPT = 60 * MINUTE
"""How long news are kept; a process that was out of touch for longer reads everything anew."""


class Topic(StrEnum):
    """What can change, in the order in which a follower takes it: what refuses first, then what allows."""

    KILL = "kill"
    BREAKER = "breaker"
    AUTONOMY = "autonomy"
    REVOKED = "revoked"
    KEYS = "keys"
    BUNDLE = "bundle"
    PRICES = "prices"
    PIN = "pin"
    EXERCISE = "exercise"
    RUN = "run"
    ACTION = "action"


class Item(NamedTuple):
    """One change. `environment` is empty where it concerns all, `subject` where the topic is one thing."""

    topic: Topic
    subject: str = ""
    environment: str = ""


class Heard(NamedTuple):
    """What is new up to `number`. None instead of items: too old to be known, so read everything anew."""

    number: int
    items: tuple[Item, ...] | None


_NEXT = sa.text(
    f"UPDATE news_numbers SET number = number + 1 WHERE one = 1 RETURNING number, pg_notify('{CHANNEL}', '')"
)
_NUMBER = sa.select(news_numbers.c.number)
_SINCE = (
    sa.select(news.c.number, news.c.topic, news.c.subject, news.c.environment)
    .where(news.c.number > sa.bindparam("last"))
    .order_by(news.c.number)
)


def publish(connection: sa.Connection, items: Collection[Item], now: int) -> None:
    """Tell the other processes, as the last statement before a commit. PostgreSQL only."""
    number = connection.execute(_NEXT).scalar_one()
    rows = [
        {
            "number": number,
            "topic": each.topic,
            "subject": each.subject,
            "environment": each.environment,
            "at": now,
        }
        for each in dict.fromkeys(items)
    ]
    connection.execute(sa.insert(news), rows)


def number(connection: sa.Connection) -> int:
    """Return the number of the last commit with news."""
    return connection.execute(_NUMBER).scalar_one()


def since(connection: sa.Connection, last: int, environment: str) -> Heard:
    """Return what concerns an environment and was committed after `last`."""
    now = number(connection)
    if now == last:
        return Heard(last, ())
    rows = connection.execute(_SINCE, {"last": last}).all()
    if now < last or not rows or rows[0].number != last + 1:
        return Heard(now, None)
    told = (Item(Topic(row.topic), row.subject, row.environment) for row in rows if row.topic in _KNOWN)
    return Heard(now, tuple(each for each in told if each.environment in ("", environment)))


def forget(connection: sa.Connection, now: int) -> None:
    """Delete what every process has read long ago."""
    connection.execute(sa.delete(news).where(news.c.at <= now - KEPT))


_KNOWN = frozenset(Topic)
