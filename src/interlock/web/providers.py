"""Model providers over HTTP: what each serves, at whose price, and how its credentials stand (B1, H2)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.core import rotation
from interlock.core.document.provider import Provider, ProviderModel
from interlock.core.model import Json
from interlock.core.price_book import PriceBook
from interlock.web.auth import person_of
from interlock.web.page import list_response
from interlock.wiring import Wired


async def listing(request: Request) -> Response:
    """List every provider of the manifest: its models, whose prices they have, its credentials' state."""
    await person_of(request)
    wired: Wired = request.app.state.wired
    bundle, book = wired.memory.bundle, await wired.prices.ready()
    providers = bundle.providers.values() if bundle else ()
    return list_response(_provider(wired, each, book) for each in providers)


def _provider(wired: Wired, provider: Provider, book: PriceBook) -> dict[str, Json]:
    given, now = provider.credentials, wired.runtime.clock.now()
    validity = rotation.validity(given.expires, now=now)
    return {
        "provider": provider.name,
        "base_url": provider.base_url,
        "wire_formats": [each.value for each in provider.wire_formats],
        "models": [
            {"model": model.name, "price": _price(book, provider, model, now)} for model in provider.models
        ],
        "owner": given.owner,
        "expires_at": given.expires,
        "expired": not validity.usable,
        "warning": rotation.warning(rotation.called(provider), given.owner, validity),
        "unset": list(wired.models.providers.unset(provider)),
    }


def _price(book: PriceBook, provider: Provider, model: ProviderModel, now: int) -> str | None:
    """Return where a model's price comes from; None where it has none and counts against no budget."""
    found = book.find(provider.name, model.name, now=now) or book.ceiling(provider.name, model.name)
    return None if found is None else found.source


routes = [Route("/api/v1/providers", listing, methods=["GET"])]
