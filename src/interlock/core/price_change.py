"""What a newer price list would change, model by model, for a person to read before it is taken (B8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import cast

from interlock.core.model import Json
from interlock.core.price_book import Listing


class ChangeKind(StrEnum):
    """What happens to a model's prices."""

    ADDED = "added"
    CHANGED = "changed"
    GONE = "gone"
    """The new list does not have it any more; its last prices stay in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """One model of which two lists say different things; one of the two may have nothing to say."""

    kind: ChangeKind
    provider: str
    model: str
    before: Listing | None = None
    after: Listing | None = None


def differences(current: Iterable[Listing], offered: Iterable[Listing]) -> list[PriceChange]:
    """Return what differs, by provider and model. Where a price comes from, and its version, do not count."""
    old = {(each.provider, each.model): each for each in current}
    new = {(each.provider, each.model): each for each in offered}
    return [
        PriceChange(
            kind=_kind(old.get(key), new.get(key)),
            provider=key[0],
            model=key[1],
            before=old.get(key),
            after=new.get(key),
        )
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or stamped(old[key]) != stamped(new[key])
    ]


def stamped(listing: Listing, *, version: int = 0, source: str = "") -> Listing:
    """Return `listing` as one version of its prices, from one source."""
    prices = tuple(replace(price, version=version, source=source) for price in listing.prices)
    return replace(listing, prices=prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One number of a model's prices that differs, such as `rates.input` or `0.tiers.0.rates.output`."""

    what: str
    before: int | None
    after: int | None


def details(change: PriceChange) -> list[Detail]:
    """Return every number that a change moves; that of a single price is named without its place."""
    old, new = _numbers(change.before), _numbers(change.after)
    return [
        Detail(what=what, before=old.get(what), after=new.get(what))
        for what in dict.fromkeys([*old, *new])
        if old.get(what) != new.get(what)
    ]


def _numbers(listing: Listing | None) -> dict[str, int]:
    prices = () if listing is None else stamped(listing).prices
    whole: Json = asdict(prices[0]) if len(prices) == 1 else dict(enumerate(map(asdict, prices)))
    return dict(_flat(whole, ""))


def _flat(node: Json, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, Mapping):
        for name, inner in cast(Mapping[object, Json], node).items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(node, tuple):
        yield from _flat(dict(enumerate(cast(tuple[Json, ...], node))), path)
    elif isinstance(node, int) and node:
        yield path, node


def _kind(old: Listing | None, new: Listing | None) -> ChangeKind:
    if old is None:
        return ChangeKind.ADDED
    return ChangeKind.GONE if new is None else ChangeKind.CHANGED
