"""More money, a later kill, another address, one more model: each waits; less acts at once (A3, B2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.authority import compare
from interlock.core.document.identity import Organisation
from interlock.core.document.kind import AnyDocument
from interlock.core.document.provider import (
    DeclaredPrice,
    DeclaredRates,
    DeclaredTier,
    Provider,
    ProviderCredentials,
    ProviderModel,
    Timeouts,
)
from interlock.core.document.runbook import Baseline, Runbook
from interlock.core.document.spending import Budget, Compression, Customer, Degraded, Models
from interlock.core.document.tool import Companion, FollowUp, Settlement, Tool
from interlock.core.document.workflow import Autonomy, Webhook, Workflow
from interlock.core.judgement import record
from interlock.core.merge import NARROWS, NEITHER, WIDENS, Direction
from interlock.core.model import Ability, OnHard, WireFamily
from interlock.core.model_route import Route, permits
from support.policies import a_workflow

HOOK = Webhook(url="https://a/out", key="secret://env/HOOK")
LOW = Autonomy(confidence_floor=7_000, familiar_after=5)
STEP = Companion(tool="crm.last", arguments={})


@pytest.mark.parametrize(
    ("field", "said", "words"),
    [
        ("follow_up", FollowUp(tool="crm.last", arguments={}, after=7200),
         "crm.last 2h later, once a person confirms it"),
        ("settlement", Settlement(confirm=STEP, void=Companion(tool="crm.undo", arguments={}), within=600),
         "crm.last once a person confirms it within 10m, else crm.undo"),
    ],
)  # fmt: skip
def test_a_second_step_widens_and_its_absence_narrows(field: str, said: Any, words: str) -> None:
    without, having = Tool(name="crm.update"), Tool(name="crm.update", **{field: said})
    [added] = record(without, having)[1]
    [removed] = record(having, without)[1]
    label = field.replace("_", "-")
    assert (added.words, added.direction) == (f"{label} changed from nothing to {words}", WIDENS)
    assert (removed.words, removed.direction) == (f"{label} changed from {words} to nothing", NARROWS)


OPENAI, ANTHROPIC = WireFamily.OPENAI, WireFamily.ANTHROPIC
RATES = DeclaredRates(input=10, output=40, cache_read=1)
PRICE = DeclaredPrice(rates=RATES)
MODEL = ProviderModel(name="large", price=PRICE, window=100, max_output=50)
PROVIDER = Provider(
    name="openai",
    base_url="https://a/v1",
    wire_formats=(OPENAI, ANTHROPIC),
    models=(MODEL, ProviderModel(name="small")),
    credentials=ProviderCredentials(api_key="secret://env/A", owner="maria", expires=9),
    fallbacks={"large": ("azure/large",)},
)
MODELS = Models(pin={"main": "large"}, allow=("large", "small"), degrade={"large": "small"}, output_cap=100)


def provider(**changes: Any) -> Provider:
    return replace(PROVIDER, **changes)


def model(**changes: Any) -> Provider:
    return provider(models=(replace(MODEL, **changes), PROVIDER.models[1]))


def rates(**changes: Any) -> Provider:
    return model(price=DeclaredPrice(rates=replace(RATES, **changes)))


def models(**changes: Any) -> Workflow:
    return a_workflow(models=replace(MODELS, **changes))


def degraded(**changes: Any) -> Workflow:
    return models(degraded=Degraded(**changes))


FIELDS: list[tuple[AnyDocument, AnyDocument, Direction]] = [
    (PROVIDER, provider(base_url="https://b/v1"), WIDENS),
    (PROVIDER, provider(wire_formats=(OPENAI,)), NARROWS),
    (provider(wire_formats=(OPENAI,)), PROVIDER, WIDENS),
    (PROVIDER, provider(credentials=replace(PROVIDER.credentials, api_key="secret://env/B")), WIDENS),
    (PROVIDER, provider(credentials=replace(PROVIDER.credentials, headers={"x": "secret://env/X"})), WIDENS),
    (PROVIDER, provider(credentials=replace(PROVIDER.credentials, expires=8)), NARROWS),
    (PROVIDER, provider(credentials=replace(PROVIDER.credentials, expires=10)), WIDENS),
    (PROVIDER, provider(models=PROVIDER.models[:1]), NARROWS),
    (PROVIDER, provider(models=(*PROVIDER.models, ProviderModel(name="new"))), WIDENS),
    (PROVIDER, provider(timeouts=Timeouts(connect=1)), NEITHER),
    (PROVIDER, provider(concurrency=1), NARROWS),
    (PROVIDER, provider(concurrency=1_000), WIDENS),
    (PROVIDER, provider(usage_in_stream=False), NEITHER),
    (PROVIDER, provider(drain=0), NEITHER),
    (PROVIDER, provider(fallbacks={}), NARROWS),
    (PROVIDER, provider(fallbacks={"large": ("other/large",)}), WIDENS),
    (PROVIDER, provider(fallbacks={**PROVIDER.fallbacks, "small": ("azure/small",)}), WIDENS),
    (PROVIDER, model(price=None), WIDENS),
    (model(price=None), PROVIDER, WIDENS),
    (PROVIDER, rates(input=11), NARROWS),
    (PROVIDER, rates(output=39), WIDENS),
    (PROVIDER, rates(cache_read=2), NARROWS),
    (PROVIDER, rates(cache_read=None), WIDENS),
    (PROVIDER, rates(reasoning=1), WIDENS),
    (PROVIDER, model(price=replace(PRICE, tiers=(DeclaredTier(above=5, rates=RATES),))), WIDENS),
    (PROVIDER, model(ceiling=PRICE), WIDENS),
    (model(ceiling=PRICE), PROVIDER, NARROWS),
    (PROVIDER, model(window=200), WIDENS),
    (PROVIDER, model(max_output=40), NARROWS),
    (PROVIDER, model(abilities=(Ability.TOOLS,)), WIDENS),
    (PROVIDER, model(regions=("eu",)), WIDENS),
    (models(), models(pin={}), NARROWS),
    (models(), models(pin={"main": "small"}), WIDENS),
    (models(), models(pin={**MODELS.pin, "other": "small"}), WIDENS),
    (models(), models(degrade={}), NARROWS),
    (models(), models(degrade={"large": "tiny"}), WIDENS),
    (models(), models(allow=("small",)), NARROWS),
    (models(), models(allow=(*MODELS.allow, "tiny")), WIDENS),
    (models(), models(allow=(*MODELS.allow, "*")), WIDENS),
    (models(allow=("*",)), models(allow=("openai/*",)), NARROWS),
    (models(allow=("*",)), models(allow=()), NARROWS),
    (models(allow=("*",)), models(allow=("*", "small")), NEITHER),
    (models(), models(output_cap=None), WIDENS),
    (models(), models(output_cap=50), NARROWS),
    (degraded(), degraded(output_cap=500), NARROWS),
    (degraded(), degraded(server_tools="limit"), NARROWS),
    (degraded(server_tools="remove"), degraded(server_tools="limit"), WIDENS),
    (degraded(), degraded(flex=True), NEITHER),
    (degraded(), degraded(tell=False), NEITHER),
    (a_workflow(), a_workflow(customer=Customer(value="acme")), NEITHER),
    (a_workflow(), a_workflow(compression=(Compression(tool="*", above=2, to=1),)), NEITHER),
    (a_workflow(), a_workflow(autonomy=Autonomy(confidence_floor=7_000)), NARROWS),
    (a_workflow(autonomy=Autonomy(confidence_floor=7_000)), a_workflow(), WIDENS),
    (a_workflow(autonomy=LOW), a_workflow(autonomy=replace(LOW, confidence_floor=6_999)), WIDENS),
    (a_workflow(autonomy=LOW), a_workflow(autonomy=replace(LOW, confidence_floor=7_001)), NARROWS),
    (a_workflow(autonomy=LOW), a_workflow(autonomy=replace(LOW, familiar_after=6)), NARROWS),
    (a_workflow(autonomy=LOW), a_workflow(autonomy=replace(LOW, familiar_after=None)), WIDENS),
    (a_workflow(autonomy=LOW), a_workflow(autonomy=replace(LOW, audit=500)), WIDENS),
    (a_workflow(), a_workflow(webhook=HOOK), WIDENS),
    (a_workflow(webhook=HOOK), a_workflow(webhook=replace(HOOK, url="https://b/out")), WIDENS),
    (a_workflow(webhook=HOOK), a_workflow(webhook=replace(HOOK, key=None)), WIDENS),
    (a_workflow(webhook=HOOK), a_workflow(), NARROWS),
    (Organisation(name="o"), Organisation(name="o", keep_originals=1), NEITHER),
    (Organisation(name="o", budget=Budget(day=1)), Organisation(name="o", budget=Budget(day=2)), WIDENS),
    (Runbook(name="r"), Runbook(name="r", owner="maria"), NEITHER),
    (Runbook(name="r"), Runbook(name="r", rollback="apply the last version"), NEITHER),
    (Runbook(name="r"), Runbook(name="r", baseline=Baseline(latency=1)), NEITHER),
    (Runbook(name="r"), Runbook(name="r", escalation=("maria",)), NEITHER),
]


@pytest.mark.parametrize(("old", "new", "direction"), FIELDS)
def test_each_change_has_its_direction(old: AnyDocument, new: AnyDocument, direction: Direction) -> None:
    met, [change] = record(old, new)
    assert change.direction is direction
    assert met == (old if direction is WIDENS else new)


def test_changes_of_models_and_money_are_said_in_words() -> None:
    def said(old: AnyDocument, new: AnyDocument) -> str:
        return record(old, new)[1][0].words

    assert said(PROVIDER, provider(base_url="https://b/v1")) == (
        "base url changed from https://a/v1 to https://b/v1"
    )
    assert said(PROVIDER, provider(models=PROVIDER.models[:1])) == "model small removed"
    assert said(model(price=None), PROVIDER) == "model large price stated"
    assert said(PROVIDER, model(price=None)) == "model large price left to the list"
    assert said(rates(input=1_250_000), rates(input=2_000_000)) == (
        "model large price of input narrowed from 1.25 USD per million tokens to 2.00 USD per million tokens"
    )
    assert said(a_workflow(), a_workflow(webhook=HOOK)) == "outcomes told to https://a/out"
    assert said(a_workflow(webhook=HOOK), a_workflow()) == "outcomes no longer told to https://a/out"
    assert said(models(), models(pin={"main": "small"})) == "model pinned as main changed from large to small"
    assert said(models(), models(degrade={"large": "small", "small": "tiny"})) == (
        "degradation of small added: tiny"
    )
    assert said(models(allow=("*",)), models(allow=())) == "every model narrowed to no other model"
    assert said(a_workflow(budget=Budget(run=5_000_000)), a_workflow(budget=Budget(run=2 * 10**9))) == (
        "budget of a run widened from 0.005 USD to 2.00 USD"
    )


# The proof: what acts at once reaches no further model, spends no more money and stops no later.

_names = st.sampled_from(["large", "small", "openai/large", "azure/large"])
_models = st.builds(
    Models,
    pin=st.dictionaries(st.sampled_from(["main", "spare"]), _names, max_size=2),
    allow=st.lists(st.one_of(_names, st.sampled_from(["*", "azure/*"])), max_size=3).map(tuple),
    degrade=st.dictionaries(_names, _names, max_size=2),
    output_cap=st.sampled_from([None, 50, 100]),
)
_limits = st.sampled_from([None, 1, 5, 9])
_budgets = st.builds(
    Budget,
    run=_limits,
    hour=_limits,
    day=_limits,
    month=_limits,
    soft=st.sampled_from([500, 700]),
    hard=st.sampled_from([800, 1_000]),
    kill=st.sampled_from([1_100, 2_000]),
    on_hard=st.sampled_from(OnHard),
    shadow=st.booleans(),
    strict=st.booleans(),
)
_flows = st.builds(
    lambda declared, budget: a_workflow(models=declared, budget=budget),
    _models,
    st.one_of(st.none(), _budgets),
)
_ROUTES = [
    Route(provider=replace(PROVIDER, name=each), model=ProviderModel(name=name))
    for each in ("openai", "azure")
    for name in ("large", "small")
]
_NOTHING = Budget(soft=999, hard=1_000, kill=2_000, shadow=True)


def _reach(flow: AnyDocument) -> set[str]:
    assert isinstance(flow, Workflow)
    return {route.label for route in _ROUTES if permits(flow.models, route)}


def _limits_of(flow: AnyDocument) -> list[int]:
    """Return every limit as a number; a larger one lets more happen."""
    assert isinstance(flow, Workflow)
    budget, most = flow.budget or _NOTHING, 10**9
    windows = (budget.run, budget.hour, budget.day, budget.month, flow.models.output_cap)
    loose = list(OnHard).index(budget.on_hard)
    money = [most if each is None else each for each in windows]
    return [*money, budget.soft, budget.hard, budget.kill, loose, budget.shadow, not budget.strict]


@settings(max_examples=200, deadline=None)
@given(_flows, _flows)
def test_what_acts_at_once_reaches_and_spends_no_more(old: Workflow, new: Workflow) -> None:
    found = compare([old], [new])
    [met] = found.meet
    for each in (met, *([] if found.widens else [new])):
        assert _reach(each) <= _reach(old)
        assert all(now <= was for was, now in zip(_limits_of(old), _limits_of(each), strict=True))
    assert not compare([met], [new]).narrows


_rates = st.builds(
    DeclaredRates,
    input=st.integers(1, 3),
    output=st.integers(1, 3),
    cache_read=st.sampled_from([None, 1, 2]),
)
_offers = st.builds(
    ProviderModel,
    name=st.sampled_from(["large", "small", "tiny"]),
    price=st.one_of(st.none(), st.builds(DeclaredPrice, rates=_rates)),
    ceiling=st.one_of(st.none(), st.builds(DeclaredPrice, rates=_rates)),
)
_providers = st.builds(
    Provider,
    name=st.just("house"),
    base_url=st.sampled_from(["https://a/v1", "https://b/v1"]),
    wire_formats=st.sampled_from([(OPENAI,), (ANTHROPIC,), (OPENAI, ANTHROPIC)]),
    models=st.lists(_offers, max_size=3, unique_by=lambda each: each.name).map(tuple),
    fallbacks=st.dictionaries(
        st.sampled_from(["large", "small"]), st.sampled_from([("x/a",), ("x/a", "y/b")]), max_size=2
    ),
    concurrency=st.integers(1, 3),
)


@settings(max_examples=200, deadline=None)
@given(_providers, _providers)
def test_a_provider_goes_nowhere_else_and_costs_no_less_at_once(old: Provider, new: Provider) -> None:
    found = compare([old], [new])
    [met] = found.meet
    assert isinstance(met, Provider)
    for each in (met, *([] if found.widens else [new])):
        assert each.base_url == old.base_url
        assert set(each.wire_formats) <= set(old.wire_formats)
        assert each.fallbacks.items() <= old.fallbacks.items()
        assert each.concurrency <= old.concurrency
        before = {known.name: known for known in old.models}
        for kept in each.models:
            assert _no_cheaper(kept.price, before[kept.name].price)
            assert kept.ceiling is None or _no_cheaper(kept.ceiling, before[kept.name].ceiling)
    assert not compare([met], [new]).narrows


def _no_cheaper(price: DeclaredPrice | None, than: DeclaredPrice | None) -> bool:
    """Whether no token counts for less; a price is not compared with that of a list."""
    if price is None or than is None:
        return price is than
    return all(now >= was for now, was in zip(_counted(price), _counted(than), strict=True))


def _counted(price: DeclaredPrice) -> tuple[int, int, int]:
    rates = price.rates
    return rates.input, rates.output, rates.input if rates.cache_read is None else rates.cache_read
