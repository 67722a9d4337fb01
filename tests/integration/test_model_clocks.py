"""A clock that steps, an hour back or forth: windows, tokens, holds and waits stay right (B3, B8, H2).

The gateway runs on a clock that a test moves; real time passes beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.core.document.spending import Budget
from interlock.core.model import HOUR
from interlock.runtime import Runtime, SystemClock, TimeOrderedIds
from interlock.testing import ModelServer, Reply
from support.model_gateway import CLAUDE, ModelGateway, a_model_gateway, manifest, providers
from support.money import dollars

pytestmark = pytest.mark.anyio
DAY = 24 * HOUR
NOON = 20_800 * DAY + DAY // 2
USED = 12 * 2_000 + 7 * 8_000


class SteppedClock(SystemClock):
    """A wall clock that starts at noon and can be set; monotonic time is real."""

    def __init__(self) -> None:
        self.offset = NOON - super().now()

    def now(self) -> int:
        return super().now() + self.offset

    def step(self, hours: float) -> None:
        """Set the clock, as an administrator or a time server does."""
        self.offset += round(hours * HOUR)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def world(clock: SteppedClock) -> Runtime:
    return replace(Runtime.real(), clock=clock, ids=TimeOrderedIds(clock))


@pytest.fixture
def upstream() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def windows(running: ModelGateway, spent: dict[str, int], per: str) -> list[int]:
    """Return what was spent in each window of a workflow, the earliest first."""
    return [amount for id_, amount in sorted(spent.items()) if id_.startswith(f"dev:workflow:{per}:")]


@pytest.mark.parametrize("strict", [False, True], ids=["relaxed", "strict"])
async def test_a_call_counts_in_the_window_that_the_clock_says_and_no_step_gives_money_back(
    upstream: ModelServer, tmp_path: Path, clock: SteppedClock, world: Runtime, *, strict: bool
) -> None:
    budget = Budget(run=dollars(1), hour=dollars(1), day=dollars(2), strict=strict)
    documents = manifest(providers(upstream, upstream), budget)
    async with a_model_gateway(documents, tmp_path, runtime=world) as running:
        for hours in (0, 1, -1, -1, 13, -13):
            clock.step(hours)
            assert (await running.ask(await running.token())).status_code == 200
        spent = await running.spent()
        assert sum(windows(running, spent, "hour")) == 6 * USED
        assert sum(windows(running, spent, "day")) == 6 * USED
        assert windows(running, spent, "day") == [5 * USED, USED]


async def test_a_spent_window_stays_spent_when_the_clock_is_set_back_into_it(
    upstream: ModelServer, tmp_path: Path, clock: SteppedClock, world: Runtime
) -> None:
    budget = Budget(hour=1_000_000, soft=900, hard=1_000, kill=1_000)
    upstream.script(Reply(output_tokens=100))
    documents = manifest(providers(upstream, upstream), budget)
    async with a_model_gateway(documents, tmp_path, runtime=world) as running:
        first = await running.ask(await running.token(), max_tokens=100)
        full = await running.ask(await running.token(), max_tokens=100)
        clock.step(1)
        later = await running.ask(await running.token(), max_tokens=100)
        clock.step(-1)
        again = await running.ask(await running.token(), max_tokens=100)
        spent = await running.spent()
    assert [each.status_code for each in (first, full, later, again)] == [200, 402, 200, 402]
    resets = full.json()["error"]["interlock"]["resets_at_us"]
    assert resets == NOON + HOUR == again.json()["error"]["interlock"]["resets_at_us"]
    assert windows(running, spent, "hour") == [824_000, 824_000]


async def test_a_token_that_has_expired_stays_so_and_a_fresh_one_counts_wherever_the_clock_was_set(
    upstream: ModelServer, tmp_path: Path, clock: SteppedClock, world: Runtime
) -> None:
    documents = manifest(providers(upstream, upstream), Budget(run=dollars(1)))
    async with a_model_gateway(documents, tmp_path, runtime=world) as running:
        old = await running.token()
        said: list[tuple[int, int]] = []
        for hours in (0, -1, 2, -2, -24, 48):
            clock.step(hours)
            fresh = await running.ask(await running.token())
            said.append(((await running.ask(old)).status_code, fresh.status_code))
        expired = await running.ask(old, "/v1/messages", model=CLAUDE)
        spent = await running.spent()
    assert said == [(200, 200), (200, 200), *[(401, 200)] * 4]
    assert (expired.status_code, expired.json()["error"]["type"]) == (401, "authentication_error")
    assert sum(spent.values()) == 8 * USED


async def test_steps_while_calls_wait_keep_nobody_waiting_and_holds_are_settled_once(
    upstream: ModelServer, tmp_path: Path, clock: SteppedClock, world: Runtime
) -> None:
    upstream.script(Reply(wait=3), Reply())
    budget = Budget(run=20_000_000, kill=1_000, hard=1_000, soft=900, strict=True)
    documents = manifest(providers(upstream, upstream), budget)
    async with a_model_gateway(documents, tmp_path, runtime=world) as running:
        token = await running.token()
        slow = asyncio.create_task(running.ask(token, max_tokens=2_400))
        while not running.held:  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0.01)
        busy = asyncio.create_task(running.ask(token, max_tokens=250))
        await asyncio.sleep(0.2)
        began = clock.monotonic()
        clock.step(-1)
        await asyncio.sleep(0.2)
        clock.step(2)
        answer = await busy
        waited = clock.monotonic() - began
        clock.step(-1)
        assert (await slow).status_code == 200
        spent, rows = await running.spent(), await running.rows(running.run(token))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert 1 < waited < 2.8, "as long as a call may wait for others, by the time that passes"
    assert [(row.ending, row.cost) for row in rows] == [("answered", USED)]
    assert list(spent.values()) == [USED]
