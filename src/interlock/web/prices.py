"""Prices over HTTP: what is in force, its earlier versions, and taking a newer list after seeing it (B8)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core.model import Json
from interlock.core.price_change import PriceChange, details
from interlock.core.pricing import Price
from interlock.errors import NotFound, StateConflict
from interlock.services.import_prices import Offer
from interlock.store import prices
from interlock.web.auth import person_of
from interlock.web.body import read_body
from interlock.web.errors import json_response
from interlock.web.near import meant
from interlock.web.page import list_response, page_of
from interlock.wiring import Wired


class TakeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of the list that was shown: another one is not taken. `latest` says where it came from."""

    digest: str
    latest: bool = False


async def listing(request: Request) -> Response:
    """List the prices that hold now: what the manifest declares, then the list; by provider and model."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    page = page_of(request)
    await wired.prices.first()
    book, now = await wired.prices.ready(), wired.runtime.clock.now()
    listed = await wired.store.read(prices.in_force)
    every = [*book.declared(), *(each.at(now) for each in listed)]
    asked = [(_cursor(each), each) for each in every if _wanted(each, request)]
    rest = [each for each in sorted(asked, key=lambda each: each[0]) if each[0] > page.before]
    kept, following = page.cut(rest, lambda each: each[0])
    return list_response((_price(each) for _, each in kept), following)


async def versions(request: Request) -> Response:
    """List every version of one model's prices, the newest first. Raises `NotFound`."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    provider, model = request.path_params["provider"], request.query_params.get("model", "")
    await wired.prices.first()
    found = await wired.store.read(lambda connection: prices.versions(connection, provider, model))
    if not found:
        listed = await wired.store.read(prices.in_force)
        names = [f"{each.provider}/{each.model}" for each in listed]
        hint = meant(f"{provider}/{model}", names, "interlock prices list")
        raise NotFound(f"No price list names {provider}/{model}.", hint=hint)
    return list_response(_price(price) for each in found for price in reversed(each.prices))


async def offered(request: Request) -> Response:
    """Show what a newer price list would change: the installed package's, or the `latest` that is published.

    Fetching one calls out, so that is for administrators.
    """
    wired: Wired = request.app.state.wired
    latest = request.query_params.get("latest", "") == "true"
    await person_of(request, *(["admin"] if latest else []))
    return json_response(_offer(await wired.prices.offer(_url(wired, latest=latest))))


async def update(request: Request) -> Response:
    """Take the list that was shown. Raises `StateConflict` when it is another one by now."""
    person = await person_of(request, "admin")
    wired: Wired = request.app.state.wired
    body = await read_body(request, TakeBody)
    offer = await wired.prices.offer(_url(wired, latest=body.latest))
    if body.digest != offer.list.digest:
        raise StateConflict("The price list is not the one that was shown.", hint="interlock prices diff")
    version = await wired.prices.take(offer, by=person.name)
    return json_response({**_offer(offer), "version": version, "taken_by": person.name})


def _url(wired: Wired, *, latest: bool) -> str:
    return wired.settings.prices_url if latest else ""


def _wanted(price: Price, request: Request) -> bool:
    provider, model = (request.query_params.get(name, "") for name in ("provider", "model"))
    return provider in ("", price.provider) and model.lower() in price.model.lower()


def _cursor(price: Price) -> str:
    return f"{price.provider}/{price.model}@{price.source}"


def _price(price: Price) -> dict[str, Json]:
    return {"label": price.label, **msgspec.to_builtins(price)}


def _offer(offer: Offer) -> dict[str, Json]:
    return {
        "source": offer.list.source,
        "digest": offer.list.digest,
        "base": offer.base,
        "changes": [_change(each) for each in offer.changes],
    }


def _change(change: PriceChange) -> dict[str, Json]:
    return {
        "kind": change.kind,
        "provider": change.provider,
        "model": change.model,
        "names": None if change.after is None else change.after.names,
        "details": [msgspec.to_builtins(each) for each in details(change)],
    }


routes = [
    Route("/api/v1/prices", listing, methods=["GET"]),
    Route("/api/v1/prices/offer", offered, methods=["GET"]),
    Route("/api/v1/prices/update", update, methods=["POST"]),
    Route("/api/v1/prices/{provider}/versions", versions, methods=["GET"]),
]
