"""The price list of the genai-prices package, as listings of our own (B8).

The library holds its list in 80 MB of objects, so it is read in a process of its own (`python -m
interlock.upstream.price_list [URL]`), which prints what it comes to. Every price is rounded up to a whole
pico-dollar; a price that holds for hours of the day only counts as the dearest of that day. A model that
is not sold by the token is left out, as is one whose pictures cost more than its words.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from interlock.core.model import SECOND
from interlock.core.model_name import Pattern
from interlock.core.price_book import ListedProvider, Listing
from interlock.core.pricing import Price, Rates, Tariff, Tier
from interlock.core.usage import INPUT_AUDIO, OUTPUT_AUDIO
from interlock.errors import UpstreamUnavailable

if TYPE_CHECKING:
    from genai_prices import types

_TOKEN = Decimal(1_000_000)
_CALL = Decimal(1_000_000_000)
_NOISE = Decimal("0.001")
_LONG_AGO = date(2000, 1, 1)
_RATES: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}
_TOOLS: Mapping[str, str] = {
    "web_search": "web_searches_kcount",
    "file_search": "storage_searches_kcount",
    "code_execution": "code_executions_kcount",
}
_SURCHARGES: Mapping[str, tuple[str, str]] = {
    INPUT_AUDIO: ("input_audio_mtok", "input_mtok"),
    OUTPUT_AUDIO: ("output_audio_mtok", "output_mtok"),
}
_PAINTED = ("output_image_mtok", "output_video_mtok")
_SERVICES = ("service_tier", "speed")
_WORDS: Mapping[str, str] = {
    "ClauseEquals": "equals",
    "ClauseStartsWith": "starts_with",
    "ClauseEndsWith": "ends_with",
    "ClauseContains": "contains",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """A whole list: where it comes from, its providers, and its models in the order in which they match."""

    source: str
    providers: tuple[ListedProvider, ...]
    listings: tuple[Listing, ...]
    digest: str = ""


async def read_list(url: str = "") -> PriceList:
    """Return the list that the installed genai-prices carries, or the one at `url`.

    Raises `UpstreamUnavailable`.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "interlock.upstream.price_list", *([url] if url else [])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await child.communicate()
    if child.returncode != 0:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise UpstreamUnavailable(
            f"The price list could not be read: {last[:300]}",
            hint="Look at INTERLOCK_PRICES_URL." if url else "Reinstall the package genai-prices.",
        )
    found = msgspec.json.decode(printed, type=PriceList)
    return replace(found, digest=hashlib.sha256(printed).hexdigest())


def converted(providers: Sequence[types.Provider], source: str) -> PriceList:
    """Return a list of the library as ours."""
    return PriceList(
        source=source,
        providers=tuple(
            ListedProvider(
                name=each.id, urls=each.api_pattern, sells=tuple(each.fallback_model_providers or ())
            )
            for each in providers
        ),
        listings=tuple(
            listing for each in providers for model in each.models for listing in _listings(each.id, model)
        ),
    )


def _listings(provider: str, model: types.ModelInfo) -> Iterator[Listing]:
    prices: list[Price] = []
    for day in _days(model):
        price = _price(provider, model, day)
        if price is not None and _lowest(price) < 0:
            raise ValueError(
                f"{provider}/{model.id} has a negative price: a call would make room in a budget"
            )
        if price is not None and (not prices or not _same(prices[-1], price)):
            prices.append(price)
    if prices:
        yield Listing(provider=provider, model=model.id, names=_names(model.match), prices=tuple(prices))


def _lowest(price: Price) -> int:
    """Return the lowest of all rates of a price."""
    tariffs = (price, *price.service_tiers.values())
    rates = [rates for each in tariffs for rates in (each.rates, *(tier.rates for tier in each.tiers))]
    return min(price.request, *(rate for each in rates for rate in astuple(each)))


def _days(model: types.ModelInfo) -> list[date]:
    """Return the days on which a price of the model begins."""
    conditions = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    starts = {getattr(each.constraint, "start_date", _LONG_AGO) for each in conditions}
    return sorted(starts | {_LONG_AGO})


def _price(provider: str, model: types.ModelInfo, day: date) -> Price | None:
    standard = _prices(model, day, {})
    if getattr(standard, "input_mtok") is None or _paints(standard):  # noqa: B009 - fields made at run time
        return None
    tariff = _tariff(standard)
    asked = {
        name: _tariff(_prices(model, day, {key: name}))
        for variant in model.price_variants or ()
        for key, name in variant.when.items()
        if key in _SERVICES
    }
    return Price(
        provider=provider,
        model=model.id,
        version=0,
        source="",
        valid_from=0 if day == _LONG_AGO else _instant(day, time()),
        rates=tariff.rates,
        tiers=tariff.tiers,
        tools=_tools(standard),
        request=_pico(_at(standard, "requests_kcount", 0) or Decimal(0), _CALL),
        service_tiers={name: each for name, each in asked.items() if each != tariff},
        window=model.context_window,
    )


def _paints(prices: types.ModelPrice) -> bool:
    """Whether pictures or films that it makes cost more than text: no answer tells them apart for sure."""
    said = _at(prices, "output_mtok", 0) or Decimal(0)
    return any((_at(prices, name, 0) or said) > said for name in _PAINTED)


def _prices(model: types.ModelInfo, day: date, context: Mapping[str, str]) -> types.ModelPrice:
    """Return the prices of `day`; where they change with the hour, the dearest."""
    conditions = model.prices if isinstance(model.prices, list) else []
    hours = [getattr(each.constraint, "start_time", time()) for each in conditions]
    found = [
        model.get_prices(datetime.combine(day, hour.replace(tzinfo=UTC)), context)
        for hour in (time(), *hours)
    ]
    return max(found, key=lambda each: (_at(each, "input_mtok", 0) or 0, _at(each, "output_mtok", 0) or 0))


def _tariff(prices: types.ModelPrice) -> Tariff:
    steps = {tier.start for name in _RATES.values() for tier in getattr(getattr(prices, name), "tiers", ())}
    return Tariff(
        rates=_rates(prices, 0),
        tiers=tuple(Tier(above=above, rates=_rates(prices, above + 1)) for above in sorted(steps)),
    )


def _rates(prices: types.ModelPrice, input_tokens: int) -> Rates:
    found = {ours: _at(prices, theirs, input_tokens) for ours, theirs in _RATES.items()}
    pico = {ours: _pico(price, _TOKEN) for ours, price in found.items() if price is not None}
    return Rates.of(**{"output": 0, **pico})


def _at(prices: types.ModelPrice, name: str, input_tokens: int) -> Decimal | None:
    """Return a price of the library for a call with so many input tokens."""
    price = getattr(prices, name)
    if price is None or isinstance(price, Decimal):
        return price
    passed = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return passed[-1] if passed else price.base


def _tools(prices: types.ModelPrice) -> dict[str, int]:
    found = {ours: _pico(_at(prices, theirs, 0) or Decimal(0), _CALL) for ours, theirs in _TOOLS.items()}
    for ours, (dear, usual) in _SURCHARGES.items():
        more = (_at(prices, dear, 0) or Decimal(0)) - (_at(prices, usual, 0) or Decimal(0))
        found[ours] = _pico(more, _TOKEN)
    return {name: price for name, price in found.items() if price > 0}


def _pico(dollars: Decimal, unit: Decimal) -> int:
    """Return pico-dollars, rounded up; what a float left behind the third decimal is no price."""
    return int((dollars * unit).quantize(_NOISE).to_integral_value(ROUND_CEILING))


def _names(clause: types.MatchLogic) -> Pattern:
    kind = type(clause).__name__
    if kind in ("ClauseOr", "ClauseAnd"):
        word = "or_" if kind == "ClauseOr" else "and_"
        return {"any" if kind == "ClauseOr" else "all": [_names(each) for each in getattr(clause, word)]}
    if kind == "ClauseRegex":
        return {"regex": getattr(clause, "regex")}  # noqa: B009 - told apart by name
    word = _WORDS[kind]
    return {word: getattr(clause, word).lower()}


def _same(earlier: Price, later: Price) -> bool:
    return replace(later, valid_from=earlier.valid_from) == earlier


def _instant(day: date, hour: time) -> int:
    return int(datetime.combine(day, hour, tzinfo=UTC).timestamp()) * SECOND


def _main(url: str = "") -> None:
    found = _fetched(url) if url else _installed()
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _installed() -> PriceList:
    from genai_prices import __version__
    from genai_prices.data import providers

    return converted(providers, f"genai-prices {__version__}")


def _fetched(url: str) -> PriceList:
    from genai_prices import UpdatePrices

    fetched = UpdatePrices(url=url).fetch()
    return converted([] if fetched is None else fetched.providers, f"genai-prices at {urlsplit(url).netloc}")


if __name__ == "__main__":
    _main(*sys.argv[1:2])
