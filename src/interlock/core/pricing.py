"""What a model call costs (B1, B8): prices are integers, and there is one rounding, upward, per call.

A rate is pico-dollars per token (one dollar per million tokens is 1,000,000), an amount nano-dollars.
Three questions have an answer here: what a call did cost, what it can cost at most, what it will likely
cost. The first never exceeds the second while the provider honours the output cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from interlock.core.model import value
from interlock.core.usage import INPUT_AUDIO, OUTPUT_AUDIO, Usage

PICO_PER_NANO = 1000
MOST = 10**18
"""Nano-dollars that one call can cost: as much as a budget can be, and books can hold."""

MANIFEST, CEILING = "manifest", "ceiling"
DECLARED = frozenset({MANIFEST, CEILING})
"""Sources of a price that the manifest states; its version is the document's."""
STANDARD_TIERS = frozenset({"", "auto", "default", "standard", "standard_only"})
"""Names under which providers sell their standard service."""

CHEAP_TIERS = frozenset({"batch", "flex", "scale"})
"""Names of services that cost no more than the standard one."""

TOKENS_ALONE = frozenset({"compaction", "mcp", "tool_search", "web_fetch"})
"""Tools that providers run and charge for in tokens alone; to sum a history up is one."""


@value
class Rates:
    """Pico-dollars per token. `Rates.of` fills in what a price list leaves out."""

    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int

    @classmethod
    def of(
        cls,
        *,
        input: int,
        output: int,
        cache_read: int | None = None,
        cache_write_5m: int | None = None,
        cache_write_1h: int | None = None,
        reasoning: int | None = None,
    ) -> Rates:
        """Return rates; an unnamed cache rate is the input's, an unnamed reasoning rate the output's."""
        write = input if cache_write_5m is None else cache_write_5m
        return cls(
            input=input,
            cache_read=input if cache_read is None else cache_read,
            cache_write_5m=write,
            cache_write_1h=write if cache_write_1h is None else cache_write_1h,
            output=output,
            reasoning=output if reasoning is None else reasoning,
        )

    @property
    def dearest_input(self) -> int:
        """The most that one input token can cost, however it meets the cache."""
        return max(self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h)

    @property
    def dearest_output(self) -> int:
        """The most that one output token can cost."""
        return max(self.output, self.reasoning)


@value
class Tier:
    """Rates of a call whose input has more than `above` tokens; they hold for all of its tokens."""

    above: int
    rates: Rates


@value
class Tariff:
    """The rates of one service tier, and how they change with the length of the input.

    `tiers` are in ascending order of `above`.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = ()

    def at(self, input_tokens: int) -> Rates:
        """Return the rates of a call with so many input tokens."""
        rates = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above:
                rates = tier.rates
        return rates

    def up_to(self, input_tokens: int) -> Iterable[Rates]:
        """Return the rates of every call with at most so many input tokens."""
        return [self.rates, *(tier.rates for tier in self.tiers if input_tokens > tier.above)]


@value
class Price(Tariff):
    """One version of what a model costs at a provider: its standard tariff and all that may apply beside it.

    A version never changes; a new price is a new one.
    """

    provider: str
    model: str
    version: int
    source: str
    """Where it comes from: a price list with its version, `manifest`, or `ceiling`."""
    valid_from: int
    tools: Mapping[str, int] = field(default_factory=dict[str, int])
    """Pico-dollars for what `Usage.tools` counts: per call of a tool, and what an audio token costs more."""
    request: int = 0
    """Pico-dollars for the call itself."""
    service_tiers: Mapping[str, Tariff] = field(default_factory=dict[str, Tariff])
    """Tariffs other than the standard one, by the name under which a caller asks for them."""
    window: int | None = None
    """Tokens that the model can have in view; None where it is not known."""
    max_output: int | None = None

    @property
    def label(self) -> str:
        """What the ledger keeps with a call: which price it was charged at."""
        declared = f"{self.source}-" if self.source in DECLARED else ""
        return f"{self.provider}/{self.model}@{declared}{self.version}"


def cost(usage: Usage, price: Price, *, service_tier: str = "") -> int:
    """Return what the call cost, in nano-dollars. `service_tier` is the one that the provider served."""
    rates = (price.service_tiers.get(service_tier) or price).at(usage.input)
    spoken = usage.output - usage.reasoning
    return _nano(
        usage.input_uncached * rates.input
        + usage.cache_read * rates.cache_read
        + usage.cache_write_5m * rates.cache_write_5m
        + usage.cache_write_1h * rates.cache_write_1h
        + spoken * rates.output
        + usage.reasoning * rates.reasoning
        + _fees(usage.tools, price)
    )


def tier_is_priced(price: Price, service_tier: str) -> bool:
    """Whether what a call costs in a tier that it asks for is known, or cannot be more than is known."""
    known = (
        service_tier in STANDARD_TIERS or service_tier in CHEAP_TIERS or service_tier in price.service_tiers
    )
    return known or price.source == CEILING


def cost_untold(usage: Usage, price: Price, *, asked: str) -> int:
    """Return what a call cost that asked for a tier, where nobody said which one served it: the dearer."""
    return max(cost(usage, price), cost(usage, price, service_tier=asked)) if asked else cost(usage, price)


def upper_bound(
    price: Price,
    *,
    input_tokens: int,
    output_cap: int,
    n: int = 1,
    service_tier: str = "",
    tool_calls: Mapping[str, int] | None = None,
) -> int:
    """Return the most that a call can cost, in nano-dollars.

    `input_tokens` bounds the input, `output_cap` each of the `n` outputs, `tool_calls` the calls of
    server-side tools. A tier that is asked for may be refused, so the standard one counts as well; one
    that is not in the price counts as the dearest that is. Any token may be audio where that costs more.
    """
    heard, said = _dearest(price, service_tier, input_tokens)
    if price.tools:
        heard += price.tools.get(INPUT_AUDIO, 0)
        said += price.tools.get(OUTPUT_AUDIO, 0)
    return _nano(input_tokens * heard + output_cap * n * said + _fees(tool_calls or {}, price))


def expected(
    price: Price,
    *,
    input_tokens: int,
    cache_share_permille: int,
    output_tokens: int,
    n: int = 1,
    service_tier: str = "",
    tool_calls: Mapping[str, int] | None = None,
) -> int:
    """Return what a call will likely cost, in nano-dollars, when a share of its input is in a cache."""
    cached = input_tokens * cache_share_permille // 1000
    usage = Usage(
        input_uncached=input_tokens - cached,
        cache_read=cached,
        output=output_tokens * n,
        tools=tool_calls or {},
    )
    return cost(usage, price, service_tier=service_tier)


def _dearest(price: Price, service_tier: str, input_tokens: int) -> tuple[int, int]:
    """Return the most that one token of input, and one of output, can cost."""
    if not price.tiers and service_tier in STANDARD_TIERS:
        return price.rates.dearest_input, price.rates.dearest_output
    rates = [rates for tariff in _possible(price, service_tier) for rates in tariff.up_to(input_tokens)]
    return max([one.dearest_input for one in rates]), max([one.dearest_output for one in rates])


def _possible(price: Price, service_tier: str) -> list[Tariff]:
    if service_tier in STANDARD_TIERS:
        return [price]
    asked = price.service_tiers.get(service_tier)
    return [price, *([asked] if asked else price.service_tiers.values())]


def _fees(calls: Mapping[str, int], price: Price) -> int:
    fees = price.request
    for tool, count in calls.items():
        fees += count * price.tools.get(tool, 0)
    return fees


def _nano(pico: int) -> int:
    return min(-(-pico // PICO_PER_NANO), MOST)
