"""A person sees every model whose prices a new list would change, and no other."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.price_book import Listing
from interlock.core.price_change import ChangeKind, differences, stamped
from interlock.core.pricing import Price, Rates


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
