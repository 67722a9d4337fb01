"""The prices in force, and taking a newer list (B8): shown first, applied by a person, never silently.

Only the very first list is taken without one, from the package that is installed, so that a fresh
installation works with no network. Prices wait in memory as ready values; no call looks one up elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from interlock.core.document.provider import Provider
from interlock.core.price_book import PriceBook, lists_for
from interlock.core.price_change import PriceChange, differences
from interlock.errors import SnapshotMoved, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.store import documents, prices
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.store.news import Topic
from interlock.store.transaction import Transaction

if TYPE_CHECKING:
    from interlock.upstream.price_list import PriceList

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A price list that could be taken, and what that changes. `base` is the list in force, 0 for none."""

    list: PriceList
    base: int
    changes: tuple[PriceChange, ...]


class Prices:
    """Keeps the prices of the declared providers at hand; `book` is what a call is priced by.

    `takes` says whether this process takes the packaged list where there is none, or leaves it to another.
    """

    def __init__(self, *, store: Store, memory: Memory, runtime: Runtime, takes: bool = True) -> None:
        self._store = store
        self._takes = takes
        self._memory = memory
        self._runtime = runtime
        self._turn = asyncio.Lock()
        self._wanted = 1
        self._loaded = 0
        self.book = PriceBook()

    async def start(self) -> None:
        """Load what the bundle in force needs, and follow it from now on."""
        self._memory.on_bundle.append(self._bundle_changed)
        await self.ready()

    async def ready(self) -> PriceBook:
        """Return the book once it fits the bundle in force; at once when it does already."""
        while self._loaded != self._wanted:
            async with self._turn:
                wanted = self._wanted
                if self._loaded != wanted:
                    self.book = await self._load()
                    self._loaded = wanted
        return self.book

    async def first(self) -> None:
        """Take the packaged list if there is none yet. Without one, only declared prices are known."""
        if await self._store.read(prices.current_list) is None:
            try:
                offer = await self.offer()
                await self._store.transact(lambda transaction: _put(transaction, offer, "interlock"))
                self._wanted += 1
            except UpstreamUnavailable as error:
                log.error("%s", error.message)
            except SnapshotMoved:
                return  # another process was first

    async def offer(self, url: str = "") -> Offer:
        """Return the list of the installed package, or the one at `url`, and what it would change.

        Raises `UpstreamUnavailable`.
        """
        from interlock.upstream.price_list import read_list  # a gateway never needs what reads one

        offered = await read_list(url)
        return await self._store.read(lambda connection: compared(connection, offered))

    async def take(self, offer: Offer, *, by: str) -> int:
        """Put an offered list in force and return its version. Raises `SnapshotMoved` if another was."""
        version = await self._store.transact(lambda transaction: _put(transaction, offer, by))
        self._wanted += 1
        await self.ready()
        return version

    async def reload(self) -> None:
        """Know the prices as they are on disk: another process may have taken a list."""
        self._wanted += 1
        await self.ready()

    def _bundle_changed(self) -> None:
        self._wanted += 1
        self._runtime.scheduler.spawn(self.ready(), name="load prices")

    async def _load(self) -> PriceBook:
        providers = self._providers()
        if not providers:
            return PriceBook()
        if self._takes and any(map(_needs_list, providers)):
            await self.first()
        return await self._store.read(lambda connection: _book(connection, providers))

    def _providers(self) -> list[Provider]:
        bundle = self._memory.bundle
        declared = () if bundle is None else bundle.documents
        return [each for each in declared if isinstance(each, Provider)]


def compared(connection: sa.Connection, offered: PriceList) -> Offer:
    """Return what `offered` would change of the list in force."""
    imported = prices.current_list(connection)
    listed = {} if imported is None else imported.order
    before = [each for each in prices.in_force(connection) if each.model in listed.get(each.provider, ())]
    return Offer(
        list=offered,
        base=0 if imported is None else imported.version,
        changes=tuple(differences(before, offered.listings)),
    )


def _put(transaction: Transaction, offer: Offer, by: str) -> int:
    imported = prices.current_list(transaction.connection)
    if offer.base != (0 if imported is None else imported.version):
        raise SnapshotMoved("Another price list was taken meanwhile.", hint="interlock prices diff")
    version, new = offer.base + 1, offer.list
    prices.put_list(
        transaction,
        new.listings,
        version=version,
        source=new.source,
        digest=new.digest,
        providers=new.providers,
        by=by,
    )
    changed = [each.after for each in offer.changes if each.after is not None]
    prices.put(transaction, changed, version=version, source=new.source)
    counts = Counter(each.kind.value for each in offer.changes)
    body = {"list": version, "source": new.source, "digest": new.digest, **counts}
    transaction.audit("prices.taken", person=by, body=body)
    transaction.tell(Topic.PRICES)
    return version


def _needs_list(provider: Provider) -> bool:
    """Whether a model of the provider has no price of its own in the manifest."""
    return any(model.price is None for model in provider.models)


def _book(connection: sa.Connection, providers: list[Provider]) -> PriceBook:
    imported = prices.current_list(connection)
    listed = () if imported is None else imported.providers
    lists = {each.name: lists_for(each, listed) for each in providers if _needs_list(each)}
    needed = {name for names in lists.values() for name in names}
    known = documents.last_versions(connection)
    return PriceBook(
        listings=prices.in_force(connection, needed),
        lists=lists,
        providers=providers,
        versions={each.name: known.get(("Provider", each.name), (0, ""))[0] for each in providers},
    )
