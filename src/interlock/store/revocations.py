"""What no longer counts, on disk and at once in memory (H2, H5): runs, agents' epochs, tokens, keys.

Only what could still count is loaded: a run token outlives its revocation by ten minutes at most,
an agent's epoch stands in its own row, a revoked key in the keyring's.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import sqlalchemy as sa

from interlock.core.identity import Revocations
from interlock.core.token import MAX_LIFE, SKEW
from interlock.store import agents
from interlock.store.database import Transaction
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.schema import revocations, signing_keys


class Revoked(StrEnum):
    """What a revocation is about."""

    RUN = "run"
    AGENT = "agent"
    TOKEN = "token"
    KEY = "key"


def add(transaction: Transaction, memory: Memory, kind: Revoked, subject: str, *, epoch: int = 0) -> None:
    """Revoke `subject`; on commit this process refuses it at once. `epoch` is for agents only."""
    transaction.execute(
        sa.insert(revocations).values(kind=kind.value, subject=subject, at=transaction.now, epoch=epoch)
    )
    transaction.tell(Topic.REVOKED, f"{kind.value} {epoch} {subject}")
    transaction.on_commit(lambda: _remember(memory, kind, subject, epoch))


def hear(memory: Memory, told: str) -> None:
    """Refuse at once what another process revoked, as the news say it."""
    kind, epoch, subject = told.split(" ", 2)
    _remember(memory, Revoked(kind), subject, int(epoch))


def merge(memory: Memory, loaded: Revocations) -> None:
    """Refuse what was loaded beside what is refused already: nothing revoked ever counts again."""
    known = memory.revoked
    epochs = {name: max(epoch, known.agents.get(name, 0)) for name, epoch in loaded.agents.items()}
    memory.revoked = Revocations(
        agents={**known.agents, **epochs},
        runs=known.runs | loaded.runs,
        tokens=known.tokens | loaded.tokens,
        keys=known.keys | loaded.keys,
    )


def load(connection: sa.Connection, now: int) -> Revocations:
    """Return everything revoked that could still count at `now`.

    A run token cannot be presented for longer than it lives, but a call that it proposed may wait for a
    person for days, and must not run when the token was revoked meanwhile: so those are never forgotten.
    """
    recent = connection.execute(
        sa.select(revocations.c.kind, revocations.c.subject).where(
            sa.or_(revocations.c.kind == Revoked.TOKEN.value, revocations.c.at > now - MAX_LIFE - 2 * SKEW)
        )
    ).all()
    keys = connection.execute(
        sa.select(signing_keys.c.kid).where(signing_keys.c.revoked_at.is_not(None))
    ).scalars()
    return Revocations(
        agents=agents.lowest_epochs(connection),
        runs=frozenset(row.subject for row in recent if row.kind == Revoked.RUN),
        tokens=frozenset(row.subject for row in recent if row.kind == Revoked.TOKEN),
        keys=frozenset(keys),
    )


def _remember(memory: Memory, kind: Revoked, subject: str, epoch: int) -> None:
    known = memory.revoked
    match kind:
        case Revoked.RUN:
            memory.revoked = replace(known, runs=known.runs | {subject})
        case Revoked.AGENT:
            lowest = max(epoch, known.agents.get(subject, 0))
            memory.revoked = replace(known, agents={**known.agents, subject: lowest})
        case Revoked.TOKEN:
            memory.revoked = replace(known, tokens=known.tokens | {subject})
        case Revoked.KEY:
            memory.revoked = replace(known, keys=known.keys | {subject})
