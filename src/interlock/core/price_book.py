"""Which price a call is charged at (B1, B8): the manifest's own, then the list's, then a ceiling, or none.

A call that counts against money is never charged nothing because nobody knew its price: without a price
and without a ceiling it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from interlock.core.document.provider import (
    DeclaredPrice,
    DeclaredRates,
    DeclaredTier,
    Provider,
    ProviderModel,
)
from interlock.core.model import value
from interlock.core.model_name import Pattern, matches, spellings
from interlock.core.pricing import CEILING, MANIFEST, Price, Rates, Tier

_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One model of a price list: the names that mean it, and its prices in the order of `valid_from`."""

    provider: str
    model: str
    names: Pattern
    prices: tuple[Price, ...]

    def at(self, now: int) -> Price:
        """Return the price at `now`; before the first begins, the first."""
        begun = [price for price in self.prices if price.valid_from <= now]
        return begun[-1] if begun else self.prices[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProvider:
    """A provider of a price list: the URLs it is reached at, and whose models it sells as well."""

    name: str
    urls: str
    sells: tuple[str, ...] = ()


@value
class Unpriced:
    """No price is known for a model, for the `tool` of its provider that a call may use, or for the `tier`
    that it asks to be served in.

    `refused`: the call counts against money and must not be made.
    """

    provider: str
    model: str
    refused: bool
    tool: str = ""
    tier: str = ""

    @property
    def code(self) -> str:
        """The stable code of the refusal."""
        if self.tier:
            return "tier_without_price"
        return "tool_without_price" if self.tool else "model_without_price"

    @property
    def message(self) -> str:
        """What a caller and an operator are told."""
        what = f"a call of the tool {self.tool!r} with " if self.tool else ""
        what = f"the service {self.tier[:40]!r} of " if self.tier else what
        return (
            f"No price is known for {what}the model {self.model!r} of the provider {self.provider!r}, "
            "and this call counts against a budget."
        )

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.tier:
            return (
                "Ask for the standard service, or declare a ceiling for the model in the Provider document."
            )
        if self.tool:
            return (
                f"Declare it in the Provider document, as price: {{..., tools: {{{self.tool}: DOLLARS}}}}; "
                "0 where it costs nothing but tokens."
            )
        return (
            "Declare a price or a ceiling for it in the Provider document, or take a newer price list: "
            "interlock prices diff"
        )


def lists_for(provider: Provider, listed: Iterable[ListedProvider]) -> tuple[str, ...]:
    """Return the lists that hold for a declared provider: of its name, else of its URL; its own one first."""
    every = list(listed)
    own = [each for each in every if each.name == provider.name]
    own = own or [each for each in every if re.match(each.urls, provider.base_url)]
    return tuple(dict.fromkeys([each.name for each in own] + [other for each in own for other in each.sells]))


class PriceBook:
    """Every price that can be needed, ready to be charged; a new bundle or list is a new book."""

    __slots__ = ("_declared", "_found", "_listings", "_lists", "_models")

    def __init__(
        self,
        *,
        listings: Iterable[Listing] = (),
        lists: Mapping[str, tuple[str, ...]] | None = None,
        providers: Iterable[Provider] = (),
        versions: Mapping[str, int] | None = None,
    ) -> None:
        """`lists` names by declared provider the price lists that hold for it, `versions` the version of
        its document. `listings` keep the order of their list: the first that matches a name is meant."""
        self._lists = lists or {}
        self._listings: dict[str, list[Listing]] = {}
        for listing in listings:
            self._listings.setdefault(listing.provider, []).append(listing)
        self._models = {
            (provider.name, model.name): model for provider in providers for model in provider.models
        }
        self._declared = {
            (provider, name): _declared(provider, model, (versions or {}).get(provider, 0))
            for (provider, name), model in self._models.items()
        }
        self._found: dict[tuple[str, str], Listing | None] = {}

    def find(self, provider: str, model: str, *, now: int) -> Price | None:
        """Return what a model costs at a declared provider at `now`, or None. A ceiling is no price."""
        own = self._declared.get((provider, model))
        if own is not None and own.source == MANIFEST:
            return own
        listing = self._listing(provider, model)
        return None if listing is None else self._sized(provider, model, listing.at(now))

    def ceiling(self, provider: str, model: str) -> Price | None:
        """Return the most that the manifest says a model without a price costs, or None."""
        own = self._declared.get((provider, model))
        return own if own is not None and own.source == CEILING else None

    def declared(self) -> list[Price]:
        """Return what the manifest says itself: prices and ceilings."""
        return [price for price in self._declared.values() if price is not None]

    def _listing(self, provider: str, model: str) -> Listing | None:
        key = (provider, model)
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = self._search(provider, model)
        return self._found[key]

    def _search(self, provider: str, model: str) -> Listing | None:
        for name in spellings(model):
            for price_list in self._lists.get(provider, ()):
                for listing in self._listings.get(price_list, ()):
                    if matches(listing.names, name):
                        return listing
        return None

    def _sized(self, provider: str, model: str, price: Price) -> Price:
        declared = self._models.get((provider, model))
        if declared is None or (declared.window is None and declared.max_output is None):
            return price
        return replace(
            price,
            window=declared.window or price.window,
            max_output=declared.max_output or price.max_output,
        )


def price_for(book: PriceBook, provider: str, model: str, *, now: int, budgeted: bool) -> Price | Unpriced:
    """Return the price of a call, or that there is none; `budgeted` says that it counts against money."""
    price = book.find(provider, model, now=now) or book.ceiling(provider, model)
    return price or Unpriced(provider=provider, model=model, refused=budgeted)


def _declared(provider: str, model: ProviderModel, version: int) -> Price | None:
    said = model.price or model.ceiling
    if said is None:
        return None
    return Price(
        provider=provider,
        model=model.name,
        version=version,
        source=MANIFEST if model.price is not None else CEILING,
        valid_from=0,
        rates=_rates(said.rates),
        tiers=_tiers(said),
        tools=said.tools,
        window=model.window,
        max_output=model.max_output,
    )


def _tiers(said: DeclaredPrice) -> tuple[Tier, ...]:
    ordered: Sequence[DeclaredTier] = sorted(said.tiers, key=lambda tier: tier.above)
    return tuple(Tier(above=tier.above, rates=_rates(tier.rates)) for tier in ordered)


def _rates(said: DeclaredRates) -> Rates:
    return Rates.of(
        input=said.input,
        output=said.output,
        cache_read=said.cache_read,
        cache_write_5m=said.cache_write_5m,
        cache_write_1h=said.cache_write_1h,
        reasoning=said.reasoning,
    )
