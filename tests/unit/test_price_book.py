"""A call is charged at the manifest's price, the list's or a ceiling, and never at nothing by mistake."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.core.document.provider import (
    DeclaredPrice,
    DeclaredRates,
    DeclaredTier,
    Provider,
    ProviderModel,
)
from interlock.core.model import WireFamily
from interlock.core.price_book import (
    ListedProvider,
    Listing,
    PriceBook,
    Unpriced,
    lists_for,
    price_for,
)
from interlock.core.pricing import Price, Rates

LISTED = (
    ListedProvider(name="openai", urls=r"https://api\.openai\.com"),
    ListedProvider(name="azure", urls=r"https://[a-z]+\.azure\.com", sells=("openai", "azure")),
)


def a_listing(model: str, *starts: int, provider: str = "openai", names: Any = None) -> Listing:
    """Return a model whose input rate is 1, 2, ... from each of `starts` on."""
    prices = tuple(
        Price(
            provider=provider,
            model=model,
            version=1,
            source="list",
            valid_from=start,
            rates=Rates.of(input=number, output=number),
            window=1_000,
        )
        for number, start in enumerate(starts or (0,), 1)
    )
    return Listing(provider=provider, model=model, names=names or {"equals": model}, prices=prices)


def a_provider(*models: ProviderModel, name: str = "openai", url: str = "http://127.0.0.1") -> Provider:
    """Return a declared provider of `models`."""
    return Provider(name=name, base_url=url, wire_formats=tuple(WireFamily)[:1], models=models)


def a_book(*listings: Listing, provider: Provider | None = None) -> PriceBook:
    """Return a book of `listings` for one declared provider, whose document has version 7."""
    declared = provider or a_provider()
    return PriceBook(
        listings=listings,
        lists={declared.name: lists_for(declared, LISTED)},
        providers=[declared],
        versions={declared.name: 7},
    )


def test_a_list_is_found_by_the_name_of_the_provider_or_by_its_url() -> None:
    assert lists_for(a_provider(name="openai"), LISTED) == ("openai",)
    assert lists_for(a_provider(name="ours", url="https://api.openai.com/v1"), LISTED) == ("openai",)
    assert lists_for(a_provider(name="eu", url="https://eu.azure.com"), LISTED) == ("azure", "openai")
    assert lists_for(a_provider(name="local"), LISTED) == ()


def test_a_model_is_found_by_any_name_its_pattern_fits_the_first_listing_first() -> None:
    book = a_book(
        a_listing("gpt-5-mini", names={"starts_with": "gpt-5-mini"}),
        a_listing("gpt-5", names={"starts_with": "gpt-5"}),
    )
    found = [book.find("openai", name, now=0) for name in ("gpt-5-mini-2026-08-01", "GPT-5", "o3")]
    assert [None if each is None else each.model for each in found] == ["gpt-5-mini", "gpt-5", None]
    assert book.find("unheard_of", "gpt-5", now=0) is None


def test_a_price_holds_from_its_day_on() -> None:
    book = a_book(a_listing("gpt-5", 100, 200))
    rates = [book.find("openai", "gpt-5", now=now) for now in (0, 100, 199, 200)]
    assert [each.rates.input for each in rates if each] == [1, 1, 1, 2]


def test_the_manifest_goes_before_the_list() -> None:
    said = DeclaredPrice(
        rates=DeclaredRates(input=5, output=6, cache_read=1),
        tiers=(
            DeclaredTier(above=200, rates=DeclaredRates(input=9, output=9)),
            DeclaredTier(above=100, rates=DeclaredRates(input=8, output=8)),
        ),
        tools={"web_search": 3},
    )
    model = ProviderModel(name="gpt-5", price=said, ceiling=said, window=50, max_output=10)
    price = a_book(a_listing("gpt-5"), provider=a_provider(model)).find("openai", "gpt-5", now=0)
    assert price is not None
    assert price.rates == Rates.of(input=5, output=6, cache_read=1)
    assert [tier.above for tier in price.tiers] == [100, 200]
    assert (price.tools, price.window, price.max_output) == ({"web_search": 3}, 50, 10)
    assert price.label == "openai/gpt-5@manifest-7"


def test_a_ceiling_stands_in_only_where_no_price_is_known() -> None:
    ceiling = DeclaredPrice(rates=DeclaredRates(input=5, output=6))
    models = [ProviderModel(name=name, ceiling=ceiling) for name in ("gpt-5", "gpt-6")]
    book = a_book(a_listing("gpt-5"), provider=a_provider(*models))
    listed = price_for(book, "openai", "gpt-5", now=0, budgeted=True)
    unknown = price_for(book, "openai", "gpt-6", now=0, budgeted=True)
    assert isinstance(listed, Price)
    assert isinstance(unknown, Price)
    assert [each.label for each in book.declared()] == ["openai/gpt-5@ceiling-7", "openai/gpt-6@ceiling-7"]
    assert (listed.label, unknown.label) == ("openai/gpt-5@1", "openai/gpt-6@ceiling-7")


@pytest.mark.parametrize("budgeted", [True, False])
def test_a_model_without_a_price_is_refused_where_it_counts_against_money(budgeted: bool) -> None:
    answer = price_for(a_book(), "openai", "gpt-6", now=0, budgeted=budgeted)
    assert isinstance(answer, Unpriced)
    assert answer.refused is budgeted
    assert "'gpt-6'" in answer.message
    assert "ceiling" in answer.hint


def test_a_declared_size_is_believed_before_the_listed_one() -> None:
    models = (ProviderModel(name="gpt-5", max_output=10), ProviderModel(name="gpt-6", window=20))
    book = a_book(a_listing("gpt-5"), a_listing("gpt-6"), provider=a_provider(*models))
    found = [book.find("openai", name, now=0) for name in ("gpt-5", "gpt-6")]
    assert [(each.window, each.max_output) for each in found if each] == [(1_000, 10), (20, None)]


def test_a_book_remembers_only_so_many_names() -> None:
    book = a_book(a_listing("gpt-5"))
    for number in range(5_000):
        assert book.find("openai", f"made-up-{number}", now=0) is None
    assert len(book._found) <= 4_096
    assert book.find("openai", "gpt-5", now=0) is not None


def test_a_tool_without_a_price_is_named_with_what_to_declare() -> None:
    said = Unpriced(provider="acme", model="gpt", refused=True, tool="image_generation")
    assert said.code == "tool_without_price"
    assert "the tool 'image_generation' with the model 'gpt'" in said.message
    assert "tools: {image_generation: DOLLARS}" in said.hint
    assert Unpriced(provider="acme", model="gpt", refused=True).code == "model_without_price"


def test_a_service_without_a_price_is_named_and_so_is_what_to_do() -> None:
    said = Unpriced(provider="acme", model="gpt", refused=True, tier="priority")
    assert said.code == "tier_without_price"
    assert "the service 'priority' of the model 'gpt'" in said.message
    assert "standard service" in said.hint
