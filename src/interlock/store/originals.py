"""The originals of shortened tool results: kept for their run, capped, forgotten after a while (B7)."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa

from interlock.core.model import Json
from interlock.store.schema import originals
from interlock.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many bytes are kept, of one result and of all of a run: for a newer one the oldest make room."""

    one: int = 8 * 1024 * 1024
    run: int = 64 * 1024 * 1024


ROOM = Room()


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A tool's whole result, and whose it is."""

    id: str
    run: str
    agent: str
    tool: str
    payload: dict[str, Json]


def keep(
    transaction: Transaction,
    *,
    run: str,
    agent: str,
    tool: str,
    payload: Json,
    expires_at: int,
    room: Room = ROOM,
) -> str | None:
    """Keep a result and return its reference; None where it is too large to be kept."""
    body = json.dumps(payload)
    if len(body) > room.one:
        return None
    _make_room(transaction, run, room.run - len(body))
    reference = transaction.ids.new("res")
    transaction.execute(
        sa.insert(originals),
        {
            "id": reference,
            "run": run,
            "agent": agent,
            "tool": tool,
            "size": len(body),
            "body": body,
            "kept_at": transaction.now,
            "expires_at": expires_at,
        },
    )
    return reference


def find(connection: sa.Connection, reference: str) -> Original | None:
    """Return what is kept under a reference."""
    columns = originals.c
    query = sa.select(columns.id, columns.run, columns.agent, columns.tool, columns.body)
    row = connection.execute(query.where(columns.id == reference)).mappings().one_or_none()
    if row is None:
        return None
    return Original(
        id=row["id"],
        run=row["run"],
        agent=row["agent"],
        tool=row["tool"],
        payload=json.loads(row["body"]),
    )


def forget(transaction: Transaction) -> int:
    """Forget what has been kept for long enough; return how many that were."""
    return transaction.execute(sa.delete(originals).where(originals.c.expires_at <= transaction.now)).rowcount


def _make_room(transaction: Transaction, run: str, most: int) -> None:
    """Forget the oldest results of a run until `most` bytes of them are left."""
    kept = sa.select(originals.c.id, originals.c.size).where(originals.c.run == run)
    rows = list(transaction.connection.execute(kept.order_by(originals.c.id)))
    excess = sum(held for _, held in rows) - most
    for reference, held in rows:
        if excess <= 0:
            break
        transaction.execute(sa.delete(originals).where(originals.c.id == reference))
        excess -= held
