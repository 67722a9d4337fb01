"""Three processes share budgets, one is killed: the error lies on the safe side, and how large it can be.

What is true of a process that dies with calls under way (acceptance test 2, B8, invariant 4):

- Never is less charged than the providers will charge, and never more than the ceiling.
- Strict: what is charged too much is at most the sum of `hold_max` of the holds that were not settled on
  disk. Their `hold_exp` is no bound, because the truth is not known: it lies between nothing and the most.
- Relaxed: the dead process's slice is charged in full.
- Once a person says what was spent of that charge, the accounts are the truth, to the last nano-dollar.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from interlock.core.budget import Refused
from interlock.core.hold import HoldState
from interlock.services.uncharge import uncharge_account
from interlock.settings import Settings
from interlock.store import accounts, epochs
from interlock.store.database import open_reader
from interlock.store.schema import holds, model_calls
from support.money import Purse, balanced
from support.sources import TESTS, with_sources
from support.spender import shared
from support.stores import a_settings

NAMES = ("one", "two", "three")
CEILING = 15_000


def test_after_a_kill_a_strict_budget_is_charged_too_much_by_at_most_the_most_of_what_was_in_flight(
    tmp_path: Path, postgres_url: str
) -> None:
    sent = spend_and_kill(tmp_path, postgres_url, "strict")

    async def story() -> None:
        purse = await recovered(tmp_path, postgres_url, strict=True)
        costs, lost = await purse.store.read(
            lambda found: (
                ledger(found),
                list(found.execute(sa.select(holds).where(holds.c.state == HoldState.EXPIRED.value))),
            )
        )
        assert lost, "nothing was in flight"
        assert all(each.cost == each.most for each in lost)
        assert all(sent[attempt] == cost for attempt, cost in costs.items())
        assert sent.keys() <= costs.keys() | {each.attempt for each in lost}
        for row in (await purse.books()).values():
            error = row.spent - sum(sent.values())
            assert error == sum(each.most - sent.get(each.attempt, 0) for each in lost)
            assert 0 <= error <= sum(each.most for each in lost)
            assert row.charged == 0
        unwritten = sum(sent.get(each.attempt, 0) for each in lost)
        account = next(iter((await purse.books()).values())).id
        await tell_the_truth(purse, account, unwritten)
        for row in (await purse.books()).values():
            assert row.spent == sum(sent.values()), "what is known of a hold is known of all its accounts"
        await purse.close()

    asyncio.run(story())


def test_after_a_kill_a_relaxed_slice_is_charged_in_full_until_the_truth_is_told_and_then_exactly_that(
    tmp_path: Path, postgres_url: str
) -> None:
    sent = spend_and_kill(tmp_path, postgres_url, "relaxed")

    async def story() -> None:
        purse = await recovered(tmp_path, postgres_url, strict=False)
        costs = await purse.store.read(ledger)
        unwritten = sum(cost for attempt, cost in sent.items() if attempt not in costs)
        assert all(sent[attempt] == cost for attempt, cost in costs.items())
        for row in (await purse.books()).values():
            error = row.spent - sum(sent.values())
            assert error == row.charged - unwritten
            assert 0 <= error <= row.charged
            if error:
                await tell_the_truth(purse, row.id, unwritten)
        for row in (await purse.books()).values():
            assert row.spent == sum(sent.values())
        read = await purse.store.read(balanced(purse.store))
        assert all(spent == summed for spent, summed in read.values())
        await purse.close()

    asyncio.run(story())


def ledger(connection: sa.Connection) -> dict[str, int]:
    """Return what the ledger says each attempt cost."""
    return {
        row.attempt: row.cost
        for row in connection.execute(sa.select(model_calls.c.attempt, model_calls.c.cost))
    }


async def tell_the_truth(purse: Purse, account: str, unwritten: int) -> None:
    """Say what was truly spent of a crash's charge."""
    await uncharge_account(
        store=purse.store, account=account, keep=unwritten, reason="the bill", person="maria"
    )


def spend_and_kill(tmp_path: Path, database: str, way: str) -> dict[str, int]:
    """Let three processes spend until nothing fits, and kill one on the way.

    Returns what the provider charges for each call that was sent, as the processes said it.
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "support.spender", str(tmp_path / name), database, name, way],
            cwd=TESTS, env=with_sources(), stdout=subprocess.PIPE, text=True,
        )
        for name in NAMES
    ]  # fmt: skip
    reading = a_settings(tmp_path / "reader", database=database)
    samples: list[tuple[int, int]] = []
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "ready"
        while not samples or samples[-1][0] < 2_000:
            samples.append(standing(reading))
        kill_in_flight(children[0], reading, calls=way == "strict")
        while any(child.poll() is None for child in children[1:]):
            samples.append(standing(reading))
            time.sleep(0.02)
    finally:
        for child in children:
            child.kill()
        said = [child.communicate()[0].splitlines() for child in children]
    assert [each[-1] for each in said[1:]] == ["done", "done"]
    assert all(leased >= 0 and spent + leased <= CEILING for spent, leased in samples)
    lines = [line.split() for each in said for line in each if line.count(" ") == 2]
    return {attempt: int(cost) for _, attempt, cost in lines}


def kill_in_flight(child: subprocess.Popen[str], reading: Settings, *, calls: bool) -> None:
    """Kill the first process; where `calls` are written down, at a moment at which one is not settled."""
    found = sa.select(sa.func.count()).where(
        holds.c.attempt.startswith(NAMES[0]), holds.c.state == HoldState.ACTIVE.value
    )
    in_flight = not calls
    while not in_flight:
        assert child.poll() is None, "it was done before it could be killed"
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.02)  # what it told the database before is done
        with open_reader(reading) as connection:
            in_flight = bool(connection.execute(found).scalar_one())
        if not in_flight:
            child.send_signal(signal.SIGCONT)
            time.sleep(0.005)
    child.kill()
    child.wait(10)


async def recovered(tmp_path: Path, database: str, *, strict: bool) -> Purse:
    """Return the purse of a process that has found what the dead one left, with nothing stuck."""
    policy = shared(strict=strict)
    purse = await Purse.open(tmp_path / "last", database, policy)
    own = purse.budgets._books.epoch
    await purse.store.transact(lambda each: epochs.recover(each, "dev", own=own, sole=True))
    await purse.close()
    purse = await Purse.open(tmp_path / "last", database, policy)
    for row in (await purse.books()).values():
        assert 0 <= row.charged <= row.spent <= row.ceiling
        assert row.leased == 0
    read = await purse.store.read(balanced(purse.store))
    assert all(spent == summed for spent, summed in read.values())
    assert isinstance(purse.hold(1, 20_000), Refused)
    return purse


def standing(reading: Settings) -> tuple[int, int]:
    """Return what the workflow has spent today and what is leased of the rest, at one instant."""
    with open_reader(reading) as connection:
        rows = accounts.listed(connection, "dev", kind="workflow")
    return (rows[0].spent, rows[0].leased) if rows else (0, 0)
