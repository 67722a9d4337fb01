"""The ladder knows its run: how many calls it made, whose habit counts, what the models can do (B4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from interlock.core.bundle import compile_bundle
from interlock.core.document.spending import Budget, Degraded, Models
from interlock.core.habit import Habits
from interlock.core.model import Principal
from interlock.core.model_route import Route
from interlock.core.price_book import Unpriced
from interlock.core.pricing import Price, Rates
from interlock.services.degrade import USUAL_CALLS, Degrade, Stepped
from interlock.store.memory import Memory
from interlock.upstream.llm.ask import Ask
from interlock.upstream.llm.body import read
from interlock.upstream.llm.surface import SURFACES
from support.model_gateway import GPT, SMALL, a_model, a_provider, manifest
from support.money import a_principal

CHAT = SURFACES["/v1/chat/completions"]
MODELS = Models(allow=("*",), degrade={GPT: SMALL}, degraded=Degraded(output_cap=100, tell=False))
DEAR = Rates.of(input=2_000_000, output=8_000_000)
CHEAP = Rates.of(input=200_000, output=800_000)


class House:
    """A ladder over one policy; `window` is what the price row says of the small model."""

    def __init__(
        self, models: Models = MODELS, *, window: int | None = None, max_output: int | None = None
    ) -> None:
        serving = a_provider(
            "acme",
            "http://127.0.0.1:1/v1",
            *(a_model(each, window=None, max_output=None) for each in (GPT, SMALL)),
        )
        documents = manifest((serving,), Budget(run=10_000_000_000), models=models)
        self.models = models
        self.habits: Habits[tuple[str, str]] = Habits()
        self.facts = {"window": window, "max_output": max_output}
        memory = Memory(environment="dev", bundle=compile_bundle(documents, environment="dev"))
        self.degrade = Degrade(memory=memory, price=self.price, habits=self.habits)

    def price(self, principal: Principal, route: Route) -> Price | Unpriced:
        assert principal.run
        small = route.model.name == SMALL
        row = Price(
            provider="acme", model=route.model.name, version=1, source="list", valid_from=0,
            rates=CHEAP if small else DEAR,
        )  # fmt: skip
        return replace(row, **self.facts) if small else row

    def ask(self, attempt: str, *, size: int = 0, **body: Any) -> Ask:
        sent = {"model": GPT, "messages": [{"role": "user", "content": "x" * size}], **body}
        return Ask(
            attempt=attempt, principal=a_principal(workflow="chat"), surface=CHAT,
            body=read(msgspec.json.encode(sent), CHAT), requested=GPT, models=self.models,
        )  # fmt: skip

    def down(self, ask: Ask, slack: int | None) -> Stepped:
        bundle = self.degrade._memory.bundle
        assert bundle is not None
        found = bundle.routes.choose(self.models, ask.body.model, CHAT.family)
        assert isinstance(found, tuple), found
        return self.degrade.down(ask, found[0], slack=slack)


def test_a_call_that_is_tried_more_than_once_counts_once_towards_those_its_run_still_makes() -> None:
    house = House(Models(allow=("*",), degraded=Degraded(output_cap=100, tell=False)))
    cost = 1_000 * 8_000 + 30 * 2_000
    slack = cost * (USUAL_CALLS - 5)
    for call in range(3):
        for attempt in ("1", "1", "2"):
            house.down(house.ask(f"mcl_{call}.{attempt}"), slack=slack * USUAL_CALLS)
    assert "max_tokens" in house.down(house.ask("mcl_3.1"), slack=slack).degraded
    for call in range(4, 2 * USUAL_CALLS):
        house.down(house.ask(f"mcl_{call}.1"), slack=slack * USUAL_CALLS)
    assert house.down(house.ask("mcl_last.1"), slack=cost * 2).degraded == (), (
        "one more call is thought to come"
    )


def test_a_run_on_a_swapped_model_is_estimated_by_the_habit_of_the_model_that_serves_it() -> None:
    house = House(replace(MODELS, degraded=Degraded(output_cap=4_000, tell=False)))
    house.habits.of(("bot", GPT)).learn(size=100, input=30, cached=0, output=4_000, reasoning=0)
    assert "model" in house.down(house.ask("mcl_0.1"), slack=0).degraded
    assert house.down(house.ask("mcl_1.1"), slack=10_000_000_000).degraded == ("model",)
    house.habits.of(("bot", SMALL)).learn(size=100, input=30, cached=0, output=10, reasoning=0)
    tight = 100 * 800 * USUAL_CALLS  # enough for a hundred tokens a call, and not for four thousand
    assert house.down(house.ask("mcl_2.1"), slack=tight).degraded == ("model",)


def test_the_window_of_a_models_price_row_speaks_against_a_swap_as_the_one_of_its_document_does() -> None:
    wide, narrow = House(window=100_000), House(window=1_000)
    assert "model" in wide.down(wide.ask("mcl_0.1", size=10_000), slack=0).degraded
    stepped = narrow.down(narrow.ask("mcl_0.1", size=10_000), slack=0)
    assert "model" not in stepped.degraded
    assert stepped.route.model.name == GPT


def test_a_swapped_model_is_asked_for_no_more_than_its_price_row_says_it_can_write() -> None:
    house = House(replace(MODELS, degraded=Degraded(output_cap=4_000, tell=False)), max_output=2_000)
    stepped = house.down(house.ask("mcl_0.1", max_tokens=3_000), slack=0)
    assert stepped.route.model.name == SMALL
    assert stepped.ask.body.output_cap == 2_000
