"""How many calls a provider gets at once: never more than its slots, and none is lost (B1)."""

from __future__ import annotations

import asyncio
import random

import pytest

from interlock.upstream.llm.slots import Slots

MOST, CALLERS = 3, 200


def test_there_are_never_more_calls_than_slots_and_no_slot_is_lost() -> None:
    async def play() -> None:
        slots, inside, most = Slots(MOST), 0, 0
        chance = random.Random(7)

        async def call() -> None:
            nonlocal inside, most
            if not slots.take():
                await slots.wait(chance.choice((0.0, 0.001, 1.0)))
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(chance.random() / 1_000)
            finally:
                inside -= 1
                slots.release()

        calls = [asyncio.create_task(call()) for _ in range(CALLERS)]
        for each in chance.sample(calls, CALLERS // 4):
            await asyncio.sleep(0)
            each.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in ended} <= {type(None), TimeoutError, asyncio.CancelledError}
        assert (most, inside) == (MOST, 0)
        assert [slots.take() for _ in range(MOST + 1)] == [True] * MOST + [False]

    asyncio.run(play())


def test_a_slot_that_is_given_to_whoever_gives_up_at_that_moment_goes_to_the_next() -> None:
    async def play() -> None:
        slots = Slots(1)
        assert slots.take()
        first, second = (asyncio.create_task(slots.wait(1.0)) for _ in range(2))
        await asyncio.sleep(0)
        slots.release()
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not slots.take()

    asyncio.run(play())


def test_who_waits_longest_is_let_in_first() -> None:
    async def play() -> None:
        slots, let_in = Slots(1), list[int]()
        assert slots.take()

        async def call(number: int) -> None:
            await slots.wait(1.0)
            let_in.append(number)
            slots.release()

        waiting = [asyncio.create_task(call(number)) for number in range(5)]
        await asyncio.sleep(0)
        slots.release()
        await asyncio.gather(*waiting)
        assert let_in == [0, 1, 2, 3, 4]

    asyncio.run(play())
