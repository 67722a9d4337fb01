"""A person sees every model whose prices a new list would change, and no other."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.price_book import Listing
from interlock.core.price_change import ChangeKind, Detail, PriceChange, details, differences, stamped
from interlock.core.pricing import Price, Rates, Tier


def a_listing(model: str, rate: int = 1) -> Listing:
    """Return a model at `rate` pico-dollars for every token."""
    price = Price(
        provider="openai",
        model=model,
        version=0,
        source="",
        valid_from=0,
        rates=Rates.of(input=rate, output=rate),
    )
    return Listing(provider="openai", model=model, names={"equals": model}, prices=(price,))


def test_what_differs_is_added_changed_or_gone() -> None:
    current = [a_listing("kept"), a_listing("dearer"), a_listing("dropped")]
    offered = [a_listing("dearer", 2), a_listing("new"), a_listing("kept")]
    found = {each.model: each.kind for each in differences(current, offered)}
    assert found == {"dearer": ChangeKind.CHANGED, "dropped": ChangeKind.GONE, "new": ChangeKind.ADDED}


def test_a_version_and_a_source_are_no_difference() -> None:
    listing = a_listing("kept")
    assert differences([stamped(listing, version=4, source="list 4")], [listing]) == []


def test_other_names_are_a_difference() -> None:
    listing = a_listing("kept")
    (found,) = differences([listing], [replace(listing, names={"starts_with": "kept"})])
    assert (found.kind, found.before, found.after is not None) == (ChangeKind.CHANGED, listing, True)


def test_a_change_names_every_number_that_it_moves() -> None:
    before, after = a_listing("gpt", 2), a_listing("gpt", 2)
    tier = Tier(above=100, rates=Rates.of(input=3, output=2))
    after = replace(after, prices=(replace(after.prices[0], tiers=(tier,), tools={"web_search": 7}),))
    after = replace(after, prices=(replace(after.prices[0], rates=Rates.of(input=2, output=9)),))
    change = PriceChange(kind=ChangeKind.CHANGED, provider="openai", model="gpt", before=before, after=after)
    moved = {each.what: (each.before, each.after) for each in details(change)}
    assert moved["rates.output"] == (2, 9)
    assert moved["tiers.0.rates.input"] == (None, 3)
    assert moved["tools.web_search"] == (None, 7)
    assert "rates.input" not in moved


def test_a_model_that_comes_or_goes_moves_all_of_its_numbers() -> None:
    later = replace(a_listing("gpt").prices[0], valid_from=5)
    listing = replace(a_listing("gpt"), prices=(*a_listing("gpt").prices, later))
    change = PriceChange(kind=ChangeKind.GONE, provider="openai", model="gpt", before=listing)
    assert Detail(what="1.valid_from", before=5, after=None) in details(change)
