"""Changes that wait for a person: the whole of the new documents, and the version they were compared with.

A waiting change is superseded when something else is applied, for what was agreed to would no longer be
what was shown. Functions never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa

from interlock.core.authority import Difference
from interlock.core.document.kind import AnyDocument
from interlock.errors import NotFound, StateConflict
from interlock.store.documents import decode, encode
from interlock.store.schema import changes
from interlock.store.transaction import Transaction


class ChangeState(StrEnum):
    """Where a change stands. Only `waiting` can still be decided."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: what differs in words, from which version, by whom, and who decided.

    `restores` is the deployment that it brings back, where it is a rollback.
    """

    id: str
    author: str
    created_at: int
    state: ChangeState
    base_version: int
    differences: tuple[Difference, ...]
    decided_by: str | None = None
    decided_at: int | None = None
    reason: str | None = None
    restores: str = ""


def propose(
    transaction: Transaction,
    declared: Iterable[AnyDocument],
    differences: Sequence[Difference],
    *,
    author: str,
    base: int,
    restores: str = "",
) -> str:
    """Write a waiting change and return its id; an older one of the same author is superseded."""
    supersede(transaction, by=author, reason="its author applied again", author=author)
    change = transaction.ids.new("chg")
    transaction.execute(
        sa.insert(changes).values(
            id=change,
            author=author,
            created_at=transaction.now,
            state=ChangeState.WAITING,
            base_version=base,
            body=encode(declared),
            summary=msgspec.json.encode(list(differences)).decode(),
            restores=restores,
        )
    )
    return change


def supersede(transaction: Transaction, *, by: str, reason: str, author: str | None = None) -> None:
    """End the changes that wait, of one author or of all, each on record: `by` applied something else."""
    here = changes.c.state == ChangeState.WAITING
    if author is not None:
        here = sa.and_(here, changes.c.author == author)
    waiting = sa.select(changes.c.id, changes.c.author).where(here).order_by(changes.c.id)
    ended = transaction.execute(waiting).all()
    if not ended:
        return
    values = {"state": ChangeState.SUPERSEDED, "decided_at": transaction.now, "reason": reason}
    transaction.execute(sa.update(changes).where(here).values(values))
    for row in ended:
        body = {"change": str(row.id), "author": str(row.author), "reason": reason}
        transaction.audit("change.superseded", person=by, body=body)


def decide(transaction: Transaction, change: str, state: ChangeState, *, by: str, reason: str) -> None:
    """Settle a waiting change, once. Raises `StateConflict` when it no longer waits."""
    done = transaction.execute(
        sa.update(changes)
        .where(changes.c.id == change, changes.c.state == ChangeState.WAITING)
        .values(state=state, decided_by=by, decided_at=transaction.now, reason=reason)
    )
    if done.rowcount != 1:
        raise StateConflict(f"The change {change} was decided already.", hint="interlock changes list")


def get(connection: sa.Connection, change: str) -> Change:
    """Return one change. Raises `NotFound`."""
    row = connection.execute(sa.select(changes).where(changes.c.id == change)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no change {change!r}.", hint="interlock changes list")
    return _change(row)


def body(connection: sa.Connection, change: str) -> tuple[AnyDocument, ...]:
    """Return the documents that a change would put in force. Raises `NotFound`."""
    text = connection.execute(sa.select(changes.c.body).where(changes.c.id == change)).scalar_one_or_none()
    if text is None:
        raise NotFound(f"There is no change {change!r}.", hint="interlock changes list")
    return decode(text)[0]


def listed(
    connection: sa.Connection, *, waiting: bool = False, before: str = "", limit: int = 100
) -> list[Change]:
    """Return changes, newest first, only those that wait where asked; `before` is the id of a later one."""
    query = sa.select(changes).order_by(changes.c.id.desc()).limit(limit)
    query = query.where(changes.c.state == ChangeState.WAITING) if waiting else query
    query = query.where(changes.c.id < before) if before else query
    return [_change(row) for row in connection.execute(query).mappings()]


def same_waiting(
    connection: sa.Connection, declared: Iterable[AnyDocument], *, author: str, base: int, restores: str = ""
) -> str | None:
    """Return the change of this author that waits for exactly this, if there is one."""
    return connection.execute(
        sa.select(changes.c.id).where(
            changes.c.state == ChangeState.WAITING,
            changes.c.author == author,
            changes.c.base_version == base,
            changes.c.body == encode(declared),
            changes.c.restores == restores,
        )
    ).scalar()


def _change(row: Mapping[Any, Any]) -> Change:
    return Change(
        id=row["id"],
        author=row["author"],
        created_at=row["created_at"],
        state=ChangeState(row["state"]),
        base_version=row["base_version"],
        differences=tuple(msgspec.json.decode(row["summary"], type=list[Difference])),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        reason=row["reason"],
        restores=row["restores"],
    )
