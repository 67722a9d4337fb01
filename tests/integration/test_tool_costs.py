"""A tool call with a declared cost is paid from the same accounts as model calls, unless nothing was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.spending import Budget
from interlock.core.document.tool import ToolServer
from interlock.core.document.workflow import Grant, Workflow
from interlock.core.model import EffectClass, RiskTier
from interlock.services.pay import Pay
from interlock.store import model_calls
from interlock.upstream.executor import Dispatch, NotSent, Outcome, Succeeded
from support.engine import UNKNOWN, UNSENT, Script, a_tool, done, eventually, failed
from support.money import Purse, a_principal, balanced

BUNDLE = compile_bundle(
    [
        Person(name="maria", email="maria@example.com"),
        Agent(name="bot", owner="maria"),
        ToolServer(name="shop", transport="stdio", command=("shop",)),
        a_tool("shop.read", RiskTier.READ_ONLY, EffectClass.READ, undo=None),
        a_tool("shop.search", RiskTier.READ_ONLY, EffectClass.READ, undo=None, cost_per_call=40),
        Workflow(
            name="orders",
            agent="bot",
            owner="maria",
            tools=(Grant(tool="shop.search"),),
            budget=Budget(run=100),
        ),
    ],
    environment="dev",
)


class Till:
    """A payer in front of a script of outcomes."""

    def __init__(self, purse: Purse) -> None:
        self.script = Script()
        self.pay = Pay(
            executor=self.script, memory=purse.memory, budgets=purse.budgets, runtime=purse.runtime
        )

    async def call(self, tool: str = "search", *answers: Any) -> Outcome:
        self.script.answers.extend(answers)
        dispatch = Dispatch(
            action="act_1", server="shop", tool=tool, arguments={}, principal=a_principal(), timeout=5
        )
        return await self.pay.execute(dispatch, None)


def run(tmp_path: Path, story: Any) -> None:
    async def told() -> None:
        purse = await Purse.open(tmp_path, "", BUNDLE)
        try:
            work: Coroutine[Any, Any, None] = story(purse, Till(purse))
            await work
            read = await purse.store.read(balanced(purse.store))
            assert all(spent == summed for spent, summed in read.values())
        finally:
            await purse.close()

    asyncio.run(told())


def test_what_was_sent_is_paid_for_however_it_ended_and_what_was_not_sent_is_not(tmp_path: Path) -> None:
    async def story(purse: Purse, till: Till) -> None:
        await till.call("search", done())
        await till.call("search", UNSENT)
        await till.call("search", failed())
        await till.call("read", done())
        assert (await purse.books())["run:run"].spent == 80
        rows = await purse.store.read(lambda found: model_calls.of_run(found, "run_1"))
        assert [(row.kind, row.provider, row.served_model, row.ending, row.cost) for row in rows] == [
            ("tool", "shop", "shop.search", "completed", 40),
            ("tool", "shop", "shop.search", "failed", 40),
        ]
        await till.call("search", UNKNOWN)
        last = (await _rows(purse))[-1]
        assert (last.ending, last.usage_source, last.step) == ("unknown", "uncertain", "act_1")

    run(tmp_path, story)


def test_what_the_budget_does_not_cover_is_not_sent(tmp_path: Path) -> None:
    async def story(purse: Purse, till: Till) -> None:
        outcomes = [await till.call("search", done()) for _ in range(4)]
        assert [type(each) for each in outcomes] == [Succeeded, Succeeded, Succeeded, NotSent]
        assert isinstance(outcomes[3], NotSent)
        assert outcomes[3].message == "The budget of run run_1 has less left than this call could cost."
        assert len(till.script.effects) == 3

    run(tmp_path, story)


def test_a_caller_that_leaves_has_paid_for_what_was_sent(tmp_path: Path) -> None:
    async def story(purse: Purse, till: Till) -> None:
        await till.call("search", done())
        till.script.gate = asyncio.Event()
        calling = asyncio.create_task(till.call("search", done()))
        await eventually(lambda: len(till.script.effects) == 2)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert (await _rows(purse))[-1].ending == "unknown"
        assert (await purse.books())["run:run"].spent == 80

    run(tmp_path, story)


def test_what_cannot_be_recorded_is_not_sent(tmp_path: Path) -> None:
    async def story(purse: Purse, till: Till) -> None:
        await purse.store.close()
        outcome = await till.call("search", done())
        assert isinstance(outcome, NotSent)
        assert "cannot be recorded now" in outcome.message

    async def told() -> None:
        purse = await Purse.open(tmp_path, "", BUNDLE)
        await story(purse, Till(purse))
        await purse.close()

    asyncio.run(told())


async def _rows(purse: Purse) -> list[model_calls.LedgerRow]:
    await purse.budgets.flush()
    return await purse.store.read(lambda found: model_calls.of_run(found, "run_1"))


def test_the_decision_looks_at_the_accounts_of_what_costs_money(tmp_path: Path) -> None:
    async def story(purse: Purse, till: Till) -> None:
        purse.open_run("run_1")
        await till.call("search", done())
        paid = purse.memory.snapshot(a_principal(), "shop.search").accounts
        assert [each.spent for each in paid] == [40]
        assert purse.memory.snapshot(a_principal(), "shop.read").accounts == ()

    run(tmp_path, story)
