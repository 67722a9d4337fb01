"""A process that writes to a store until it is killed: `writer_process.py DATA DATABASE NAME`.

Says `ready`, then `ack N` after each commit that it was told of; several are always on their way. Says
`refused MESSAGE` when the store is another's.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from interlock.errors import StoreInUse
from interlock.runtime import Runtime
from interlock.settings import load
from interlock.store.database import JournalEntry, Store, Transaction
from interlock.store.schema import timers


def say(text: str) -> None:
    """Tell the parent, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def write(store: Store, name: str) -> None:
    """Write from eight callers at once, for ever."""
    numbers = count()

    async def caller() -> None:
        for number in numbers:
            ref = f"{name}-{number}"

            def work(transaction: Transaction, ref: str = ref) -> None:
                transaction.execute(sa.insert(timers).values(kind="w", ref=ref, due_at=transaction.now))
                transaction.audit("written", tool=ref, body={"name": name})

            await store.transact(work)
            say(f"ack {ref}")
            store.offer(JournalEntry(at=number, kind="read", tool=ref))

    await asyncio.gather(*(caller() for _ in range(8)))


def main(data: str, database: str, name: str, environment: str) -> None:
    """Open the store and write."""
    try:
        settings = load({}, data=Path(data), database=database, environment=environment)
        store = Store.open(settings, Runtime.real())
    except StoreInUse as error:
        say(f"refused {error.message}")
        return
    say("ready")
    asyncio.run(write(store, name))


if __name__ == "__main__":
    main(*sys.argv[1:])
