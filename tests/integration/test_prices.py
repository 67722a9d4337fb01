"""A price list is taken by a person who saw it; every version of a price stays readable (B8)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from interlock.core.bundle import compile_bundle
from interlock.core.document.provider import DeclaredPrice, DeclaredRates, Provider, ProviderModel
from interlock.core.model import WireFamily
from interlock.core.price_book import ListedProvider, Listing, Unpriced, price_for
from interlock.core.price_change import ChangeKind
from interlock.core.pricing import Price, Rates
from interlock.errors import SnapshotMoved
from interlock.runtime import Runtime
from interlock.services.import_prices import Offer, Prices, compared
from interlock.store import prices
from interlock.store.database import Store
from interlock.store.memory import Memory
from interlock.upstream.price_list import PriceList

PROVIDER = Provider(
    name="acme",
    base_url="http://127.0.0.1",
    wire_formats=tuple(WireFamily)[:1],
    models=(ProviderModel(name="gpt"),),
)


def a_listing(model: str, rate: int = 1, *, starts: bool = False) -> Listing:
    price = Price(
        provider="acme",
        model=model,
        version=0,
        source="",
        valid_from=0,
        rates=Rates.of(input=rate, output=rate),
    )
    names = {"starts_with" if starts else "equals": model}
    return Listing(provider="acme", model=model, names=names, prices=(price,))


def a_list(*listings: Listing) -> PriceList:
    acme = ListedProvider(name="acme", urls="https://acme")
    return PriceList(source="acme 1", providers=(acme,), listings=listings, digest="d")


def memory_with(*declared: Provider) -> Memory:
    memory = Memory(environment="dev")
    memory.bundle = compile_bundle(declared, environment="dev")
    return memory


async def offer(store: Store, offered: PriceList) -> Offer:
    return await store.read(lambda connection: compared(connection, offered))


@pytest.fixture
def known(store: Store) -> Prices:
    return Prices(store=store, memory=memory_with(PROVIDER), runtime=Runtime.real())


def test_a_version_is_added_where_a_price_changes_and_nowhere_else(store: Store, known: Prices) -> None:
    async def story() -> None:
        first = a_list(a_listing("kept"), a_listing("dearer"), a_listing("dropped"))
        assert await known.take(await offer(store, first), by="maria") == 1
        second = a_list(a_listing("kept"), a_listing("dearer", 2), a_listing("new"))
        shown = await offer(store, second)
        assert {each.model: each.kind for each in shown.changes} == {
            "dearer": ChangeKind.CHANGED,
            "dropped": ChangeKind.GONE,
            "new": ChangeKind.ADDED,
        }
        assert await known.take(shown, by="maria") == 2
        labels = [known.book.find("acme", name, now=0) for name in ("kept", "dearer", "dropped", "new")]
        assert [each.label for each in labels if each] == [
            "acme/kept@1",
            "acme/dearer@2",
            "acme/dropped@1",
            "acme/new@1",
        ]
        old = await store.read(lambda connection: prices.versions(connection, "acme", "dearer"))
        assert [each.prices[0].rates.input for each in old] == [2, 1]
        assert (await offer(store, second)).changes == ()

    asyncio.run(story())


def test_the_order_of_the_newest_list_decides_which_model_a_name_means(store: Store, known: Prices) -> None:
    async def story() -> None:
        await known.take(await offer(store, a_list(a_listing("gpt", starts=True))), by="maria")
        newer = a_list(a_listing("gpt-mini", starts=True), a_listing("gpt", starts=True))
        await known.take(await offer(store, newer), by="maria")
        found = known.book.find("acme", "gpt-mini-2026-08-01", now=0)
        assert found is not None
        assert found.model == "gpt-mini"

    asyncio.run(story())


def test_of_two_people_who_saw_the_same_list_one_takes_the_other(store: Store, known: Prices) -> None:
    async def story() -> None:
        shown = await offer(store, a_list(a_listing("gpt")))
        await known.take(shown, by="maria")
        with pytest.raises(SnapshotMoved):
            await known.take(shown, by="deng")

    asyncio.run(story())


def test_a_fresh_installation_has_the_packaged_prices(store: Store) -> None:
    async def story() -> None:
        runtime, now = Runtime.real(), Runtime.real().clock.now()
        memory = memory_with(replace(PROVIDER, name="openai"), PROVIDER)
        known = Prices(store=store, memory=memory, runtime=runtime)
        await known.start()
        found = price_for(known.book, "openai", "gpt-5", now=now, budgeted=True)
        assert isinstance(found, Price)
        assert found.label == "openai/gpt-5@1"
        assert found.source.startswith("genai-prices ")
        assert isinstance(price_for(known.book, "acme", "gpt-5", now=now, budgeted=True), Unpriced)
        memory.put_bundle(compile_bundle([PROVIDER], environment="dev"))
        book = await known.ready()
        assert book.find("openai", "gpt-5", now=now) is None

    asyncio.run(story())


def test_where_the_manifest_has_every_price_no_list_is_read(store: Store) -> None:
    price = DeclaredPrice(rates=DeclaredRates(input=1, output=1))
    priced = replace(PROVIDER, models=(ProviderModel(name="gpt", price=price),))

    async def story() -> None:
        for memory in (memory_with(), memory_with(priced)):
            known = Prices(store=store, memory=memory, runtime=Runtime.real())
            await known.start()
            assert await store.read(prices.current_list) is None
        assert known.book.find("acme", "gpt", now=0) is not None

    asyncio.run(story())


def test_a_provider_that_was_just_declared_has_its_prices_before_its_first_call(store: Store) -> None:
    async def story() -> None:
        memory = memory_with()
        known = Prices(store=store, memory=memory, runtime=Runtime.real())
        await known.start()
        await known.take(await offer(store, a_list(a_listing("gpt"))), by="maria")
        memory.put_bundle(compile_bundle([PROVIDER], environment="dev"))
        assert known.book.find("acme", "gpt", now=0) is None
        book = await known.ready()
        assert book.find("acme", "gpt", now=0) is not None

    asyncio.run(story())
