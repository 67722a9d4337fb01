"""Price lists as they were imported, and every version of every model's prices (B8). Functions never commit.

Rows are only ever added: the ledger names the version that a call was charged at, and it stays readable.
A model keeps its version while its prices stay the same. What a newer list leaves out stays in force.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from interlock.core.price_book import ListedProvider, Listing
from interlock.core.price_change import stamped
from interlock.store.schema import price_lists, prices
from interlock.store.transaction import Transaction

_json = msgspec.json.Encoder().encode
_LISTING = msgspec.json.Decoder(Listing)
_PROVIDERS = msgspec.json.Decoder(tuple[ListedProvider, ...])
_ORDER = msgspec.json.Decoder(dict[str, list[str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedList:
    """A price list that is or was in force. `order` says by provider in which order its models match."""

    version: int
    source: str
    digest: str
    providers: tuple[ListedProvider, ...]
    order: dict[str, list[str]]
    imported_at: int
    imported_by: str


def current_list(connection: sa.Connection) -> ImportedList | None:
    """Return the list in force, or None where none was imported yet."""
    newest = sa.select(price_lists).order_by(price_lists.c.version.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return None
    return ImportedList(
        version=row.version,
        source=row.source,
        digest=row.digest,
        providers=_PROVIDERS.decode(row.providers),
        order=_ORDER.decode(row.models),
        imported_at=row.imported_at,
        imported_by=row.imported_by,
    )


def in_force(connection: sa.Connection, providers: Collection[str] | None = None) -> list[Listing]:
    """Return the last version of every model's prices, in the order of the list in force."""
    last = (
        sa.select(prices.c.provider, prices.c.model, sa.func.max(prices.c.version).label("version"))
        .group_by(prices.c.provider, prices.c.model)
        .subquery()
    )
    query = sa.select(prices.c.body).join(
        last,
        sa.and_(
            prices.c.provider == last.c.provider,
            prices.c.model == last.c.model,
            prices.c.version == last.c.version,
        ),
    )
    if providers is not None:
        query = query.where(prices.c.provider.in_(list(providers)))
    found = [_LISTING.decode(body) for body in connection.execute(query).scalars()]
    place = _places(current_list(connection))
    return sorted(found, key=lambda each: (each.provider, place.get((each.provider, each.model), len(place))))


def versions(connection: sa.Connection, provider: str, model: str) -> list[Listing]:
    """Return every version of a model's prices, the newest first."""
    query = sa.select(prices.c.body).where(prices.c.provider == provider, prices.c.model == model)
    rows = connection.execute(query.order_by(prices.c.version.desc()))
    return [_LISTING.decode(body) for body in rows.scalars()]


def put_list(
    transaction: Transaction,
    listings: Iterable[Listing],
    *,
    version: int,
    source: str,
    digest: str,
    providers: tuple[ListedProvider, ...],
    by: str,
) -> None:
    """Put a list in force; `put` what it changes beside it."""
    order: dict[str, list[str]] = {}
    for listing in listings:
        order.setdefault(listing.provider, []).append(listing.model)
    transaction.execute(
        sa.insert(price_lists).values(
            version=version,
            source=source,
            digest=digest,
            providers=_json(providers).decode(),
            models=_json(order).decode(),
            imported_at=transaction.now,
            imported_by=by,
        )
    )


def put(transaction: Transaction, listings: Iterable[Listing], *, version: int, source: str) -> None:
    """Add a version of the prices of each of `listings`, as the list of that `version` has them."""
    known = _last_versions(transaction.connection)
    rows: list[dict[str, object]] = []
    for listing in listings:
        following = known.get((listing.provider, listing.model), 0) + 1
        body = _json(stamped(listing, version=following, source=source)).decode()
        rows.append(
            {
                "provider": listing.provider,
                "model": listing.model,
                "version": following,
                "list": version,
                "body": body,
            }
        )
    if rows:
        transaction.execute(sa.insert(prices), rows)


def _last_versions(connection: sa.Connection) -> dict[tuple[str, str], int]:
    query = sa.select(prices.c.provider, prices.c.model, sa.func.max(prices.c.version))
    rows = connection.execute(query.group_by(prices.c.provider, prices.c.model))
    return {(provider, model): version for provider, model, version in rows}


def _places(imported: ImportedList | None) -> dict[tuple[str, str], int]:
    if imported is None:
        return {}
    named = [(provider, model) for provider, models in imported.order.items() for model in models]
    return {key: place for place, key in enumerate(named)}
