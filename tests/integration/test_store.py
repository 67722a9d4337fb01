"""The store commits units of work in groups; a unit that fails rolls back alone."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from interlock.errors import StateConflict
from interlock.store.database import Store, Transaction
from interlock.store.schema import audit, timers


def put(ref: str):
    def work(transaction: Transaction) -> str:
        transaction.execute(sa.insert(timers).values(kind="t", ref=ref, due_at=transaction.now))
        transaction.audit("timer.set", tool=ref, body={"ref": ref})
        return ref

    return work


def test_a_unit_that_fails_rolls_back_alone(store: Store) -> None:
    def fails(transaction: Transaction) -> None:
        put("lost")(transaction)
        raise StateConflict("no")

    async def story() -> list[str]:
        outcomes = await asyncio.gather(
            store.transact(put("a")),
            store.transact(fails),
            store.transact(put("a")),
            store.transact(put("b")),
            return_exceptions=True,
        )
        assert outcomes[0] == "a"
        assert isinstance(outcomes[1], StateConflict)
        assert isinstance(outcomes[2], IntegrityError)
        assert outcomes[3] == "b"
        assert (
            await store.read(
                lambda c: c.execute(sa.select(audit.c.tool).order_by(audit.c.seq)).scalars().all()
            )
        ) == ["a", "b"]
        return await store.read(lambda c: list(c.execute(sa.select(timers.c.ref)).scalars()))

    assert sorted(asyncio.run(story())) == ["a", "b"]


def test_effects_run_in_commit_order_before_the_awaiter_wakes(store: Store) -> None:
    seen: list[str] = []

    async def one(ref: str) -> None:
        def work(transaction: Transaction) -> None:
            transaction.on_commit(lambda: seen.append(f"effect {ref}"))

        await store.transact(work)
        seen.append(f"awake {ref}")

    async def story() -> None:
        await asyncio.gather(*(one(str(number)) for number in range(20)))

    asyncio.run(story())
    effects = [each for each in seen if each.startswith("effect")]
    assert effects == [f"effect {number}" for number in range(20)]
    assert all(seen.index(f"effect {number}") < seen.index(f"awake {number}") for number in range(20))
