"""Take a checkpoint: sign the heads of all chains, store it, and write it elsewhere (A6, invariant 9)."""

from __future__ import annotations

import asyncio
import hashlib

import sqlalchemy as sa

from interlock.settings import Settings
from interlock.store import audit, checkpoints
from interlock.store.checkpoints import Checkpoint, CheckpointKey, Head
from interlock.store.database import Store, Transaction


async def checkpoint(store: Store, settings: Settings, *, person: str = "") -> Checkpoint | None:
    """Sign where every chain stands now; return None when nothing happened since the last checkpoint.

    A file that could not be written earlier is written now. Raises `StoreUnavailable` when the database
    or the checkpoint directory cannot be written.
    """
    key = await asyncio.to_thread(CheckpointKey.of, settings.data)

    def take(transaction: Transaction) -> Checkpoint | None:
        return _take(transaction, key, environment=settings.environment, person=person)

    taken = await store.transact(take)
    signed = await store.read(checkpoints.tokens)
    await asyncio.to_thread(checkpoints.write_files, settings.checkpoint_directory, signed, key.public())
    return taken


def _take(
    transaction: Transaction, key: CheckpointKey, *, environment: str, person: str
) -> Checkpoint | None:
    now = _heads(transaction.connection)
    if not _moved(now, checkpoints.newest(transaction.connection)):
        return None
    taken = Checkpoint(
        id=transaction.ids.new("chk"), at=transaction.now, environment=environment, heads=tuple(now)
    )
    token = key.sign(taken)
    checkpoints.add(transaction, taken, signature=token, kid=key.kid)
    digest = hashlib.sha256(token.encode()).hexdigest()
    transaction.audit("audit.checkpoint", person=person, body={"checkpoint": taken.id, "sha256": digest})
    return taken


def _heads(connection: sa.Connection) -> list[Head]:
    return [Head(each.chain, each.seq, each.mac) for each in audit.heads(connection)]


def _moved(now: list[Head], before: tuple[Head, ...] | None) -> bool:
    """Whether more happened than the one entry that a checkpoint itself leaves."""
    if before is None:
        return bool(now)
    known = {head.chain: head.seq for head in before}
    return sum(head.seq - known.get(head.chain, 0) for head in now) > 1
