"""What one process changes on a shared PostgreSQL, the others decide by a moment later.

Two complete processes' handles on one database, each with a data directory and connections of its own.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from interlock.app.application import application
from interlock.app.compose import wire_models
from interlock.app.roles import ALL, Role, Roles, roles_of
from interlock.core.breaker import BreakerKind
from interlock.core.bundle import compile_bundle
from interlock.core.document.identity import Agent, Person
from interlock.core.document.kind import key
from interlock.core.document.provider import Provider
from interlock.core.document.workflow import Workflow
from interlock.core.kill import KillLevel, KillOrder, KillSource
from interlock.core.model import BreakerState, Pin, WireFamily
from interlock.errors import StoreUnavailable, TokenInvalid, UsageError
from interlock.gateway.health import Health
from interlock.gateway.llm.front import LlmGateway
from interlock.runtime import Runtime
from interlock.services.close_run import close_run
from interlock.services.follow import Follow
from interlock.services.open_run import OpenedRun, open_run
from interlock.services.revoke import revoke_key, revoke_run_token
from interlock.services.rotate_keys import rotate_keys
from interlock.services.sign_off import SignOff
from interlock.services.suspend import suspend
from interlock.services.trip import trip_by_hand
from interlock.settings import Settings
from interlock.store import actions, bundles, documents, kills, news, pins, prices
from interlock.store.database import Store, Transaction
from interlock.store.news import Item, Topic
from interlock.store.people import Person as KnownPerson
from interlock.store.schema import news as news_rows
from interlock.wiring import WiredModels
from support.stores import PostgresForTests, a_settings

GATEWAY: Roles = frozenset({Role.GATEWAY})
CONTROL: Roles = frozenset({Role.CONTROL})
WITHIN = 2.0
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'interlock news' AND datname = current_database()"
)
KEY = base64.b64encode(bytes(32)).decode()
MARIA = KnownPerson(name="maria", roles=frozenset({"admin"}))


def story(told: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop."""

    @functools.wraps(told)
    def run(**fixtures: Any) -> None:
        asyncio.run(told(**fixtures))

    return run


def shared(folder: Path, name: str, url: str, **more: Any) -> Settings:
    """Return the settings of one of several processes."""
    return a_settings(folder / name, database=url, master_key=KEY, **more)


@asynccontextmanager
async def a_process(settings: Settings, roles: Roles) -> AsyncGenerator[WiredModels]:
    """Yield the handles of a process that follows the others."""
    async with wire_models(settings, roles=roles) as wired:
        await wired.prices.start()
        wired.follow.start()
        try:
            yield wired
        finally:
            wired.follow.close()


@asynccontextmanager
async def two(folder: Path, url: str) -> AsyncGenerator[tuple[WiredModels, WiredModels]]:
    """Yield a process that changes things and one that serves, when a manifest is in force in both."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(a_process(shared(folder, "control", url), CONTROL))
        other = await stack.enter_async_context(a_process(shared(folder, "gateway", url), GATEWAY))
        await apply(one)
        await seen(lambda: other.memory.bundle)
        yield one, other


async def apply(wired: WiredModels, *workflows: str) -> None:
    """Put a manifest with these workflows in force."""
    named = workflows or ("chat",)
    listed: list[Any] = [
        Person(name="maria", email="maria@example.com", roles=("admin",)),
        Agent(name="bot", owner="maria"),
        Provider(name="openai", base_url="https://api.openai.com/v1", wire_formats=(WireFamily.OPENAI,)),
        *(Workflow(name=each, agent="bot", owner="maria") for each in named),
    ]
    memory, bundle = wired.memory, compile_bundle(listed, environment="dev")
    versions = {key(each)[:2]: 1 for each in bundle.documents}
    base = await wired.store.read(lambda found: documents.head_version(found, "dev"))
    await wired.store.transact(
        lambda each: bundles.put_in_force(each, memory, bundle, versions, base=base, by="maria")
    )


async def opened(wired: WiredModels) -> OpenedRun:
    """Open a run."""
    return await open_run(
        store=wired.store,
        memory=wired.memory,
        keyring=wired.keyring,
        settings=wired.settings,
        workflow="chat",
        started_by="test",
    )


async def seen(found: Callable[[], object], *, within: float = WITHIN) -> float:
    """Return after how many seconds something was true; it must be in time."""
    began = time.monotonic()
    while not found():
        assert time.monotonic() - began < within, "it was not followed in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def refused(wired: WiredModels, token: str) -> str:
    """Return why a token does not count in a process, "" where it does."""
    try:
        wired.authenticator.verify(token)
    except TokenInvalid as error:
        return error.message
    return ""


@story
async def test_policies_runs_tokens_agents_keys_and_prices_of_one_process_count_in_the_other(
    tmp_path: Path, postgres_url: str
) -> None:
    async with two(tmp_path, postgres_url) as (one, other):
        await apply(one, "chat", "more")
        await seen(lambda: other.memory.bundle and "more" in other.memory.bundle.workflows)
        await apply(one, "chat")
        await seen(lambda: other.memory.bundle and "more" not in other.memory.bundle.workflows)
        assert other.memory.bundle_version == one.memory.bundle_version == 3

        first, second = await opened(one), await opened(one)
        principal = await other.authenticator.recognise(first.token.token)  # without a pause
        assert principal.run == first.run.id
        await close_run(store=one.store, memory=one.memory, run=first.run.id, reason="done", by="bot")
        await seen(lambda: "run" in refused(other, first.token.token))

        assert not refused(other, second.token.token)
        token_id = other.authenticator.verify(second.token.token).token_id
        await revoke_run_token(store=one.store, memory=one.memory, token_id=token_id, by=MARIA, reason="lost")
        await seen(lambda: "revoked" in refused(other, second.token.token))

        third = await opened(one)
        await other.authenticator.recognise(third.token.token)
        kid = (await rotate_keys(store=one.store, keyring=one.keyring, by=MARIA, publish_ahead=0)).kid
        await seen(lambda: kid in {each.kid for each in other.keyring.known()})
        old = third.token.token
        signed = other.authenticator.verify(old).key_id
        await revoke_key(
            store=one.store, memory=one.memory, keyring=one.keyring, kid=signed, by=MARIA, reason="leaked"
        )
        await seen(lambda: "revoked" in refused(other, old))

        fourth = await opened(one)
        await other.authenticator.recognise(fourth.token.token)
        await suspend(store=one.store, memory=one.memory, agent="bot", by=MARIA, reason="odd")
        await seen(lambda: refused(other, fourth.token.token))

        offer = await one.prices.offer()
        await one.prices.take(offer, by="maria")
        current = await other.store.read(prices.current_list)
        assert current is not None
        await seen(lambda: other.prices._loaded == other.prices._wanted > 3)


@story
async def test_what_a_run_has_read_in_one_process_taints_it_in_all_and_nothing_takes_it_away(
    tmp_path: Path, postgres_url: str
) -> None:
    async with two(tmp_path, postgres_url) as (one, other):
        run = (await opened(one)).run.id
        await seen(lambda: run in other.memory.runs)
        await asyncio.gather(
            one.store.transact(lambda each: actions.label_run(each, run, ["web"])),
            other.store.transact(lambda each: actions.label_run(each, run, ["email"])),
        )
        for each in (one, other):
            await seen(lambda each=each: each.memory.runs[run].labels == frozenset({"web", "email"}))


@story
async def test_a_kill_is_obeyed_by_the_other_process_and_lifted_there(
    tmp_path: Path, postgres_url: str
) -> None:
    async with two(tmp_path, postgres_url) as (one, other):
        order = KillOrder(
            id="kil_1", subject="all", level=KillLevel.FREEZE, reason="fire", by="maria", at=1,
            source=KillSource.API,
        )  # fmt: skip
        one.kill.press(order)
        await one.kill.record()
        took = await seen(lambda: other.memory.kill)
        assert took < 1.0
        kill = await one.store.read(lambda found: kills.get(found, "kil_1"))
        await one.store.transact(
            lambda each: kills.resume(each, one.memory, kill, by="deng", reason="out", alone="a drill")
        )
        await seen(lambda: not other.memory.kill)


@story
async def test_what_is_committed_while_nobody_listens_is_found_by_the_next_look(
    tmp_path: Path, postgres_url: str
) -> None:
    async with two(tmp_path, postgres_url) as (one, other):
        await seen(lambda: other.follow.listening)
        await one.store.transact(lambda each: each.execute(sa.text(_CUT)))
        await seen(lambda: not other.follow.listening)
        first = await opened(one)
        await seen(lambda: first.run.id in other.memory.runs)
        await seen(lambda: other.follow.listening, within=5)
        assert not other.follow.problem


@story
async def test_without_the_database_a_gateway_refuses_until_it_has_caught_up(
    tmp_path: Path, postgres_url: str, postgres_server: PostgresForTests
) -> None:
    name = sa.make_url(postgres_url).database
    async with two(tmp_path, postgres_url) as (_, other):
        other.follow._bound = 0.3
        await seen(lambda: not other.follow.problem)
        postgres_server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        postgres_server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        await seen(lambda: other.follow.problem)
        other.follow._bound = 3.0
        postgres_server.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        await seen(lambda: other.follow.listening and not other.follow.problem, within=5)


@story
async def test_news_too_old_to_be_known_are_made_good_by_reading_everything(
    tmp_path: Path, postgres_url: str
) -> None:
    async with two(tmp_path, postgres_url) as (one, other):
        kept, ends = await opened(one), await opened(one)
        await other.authenticator.recognise(ends.token.token)
        other.follow.close()
        await asyncio.sleep(0)
        await apply(one, "chat", "more")
        await close_run(store=one.store, memory=one.memory, run=ends.run.id, reason="done", by="bot")
        fresh = await opened(one)
        await one.store.transact(lambda each: each.execute(sa.delete(news_rows)))
        await other.follow.catch_up()
        assert other.memory.bundle is not None
        assert "more" in other.memory.bundle.workflows
        assert refused(other, ends.token.token)
        assert not refused(other, fresh.token.token)
        assert not refused(other, kept.token.token)


@story
async def test_what_is_followed_from_the_middle_of_a_look_is_followed_by_the_next(
    tmp_path: Path, postgres_url: str
) -> None:
    store = Store.open(shared(tmp_path, "one", postgres_url), Runtime.real())
    follow = Follow(store=store, runtime=Runtime.real(), environment="dev")
    heard: list[str] = []

    async def more(_: object) -> None:
        follow.on(Topic.RUN, lambda subjects: asyncio.sleep(0, heard.extend(subjects or ())))

    await follow.begin()
    follow.on(Topic.BUNDLE, more)
    follow.start()
    await store.transact(lambda each: each.tell(Topic.BUNDLE))
    await seen(lambda: Topic.RUN in follow._handlers)
    await store.transact(lambda each: each.tell(Topic.RUN, "run_1"))
    await seen(lambda: heard == ["run_1"], within=0.9)
    assert not follow.problem
    follow.close()
    await store.close()


@story
async def test_a_process_that_cannot_look_for_news_decides_nothing(tmp_path: Path, postgres_url: str) -> None:
    store = Store.open(shared(tmp_path, "one", postgres_url), Runtime.real())
    follow = Follow(store=store, runtime=Runtime.real(), environment="dev", bound=0.2)

    async def fails(_: object) -> None:
        raise StoreUnavailable("The database is away.")

    await follow.begin()
    follow.on(Topic.PRICES, fails)
    follow.start()
    await asyncio.sleep(0.05)
    assert not follow.problem
    await store.transact(lambda each: each.tell(Topic.PRICES))
    await seen(lambda: follow.problem)
    follow.on(Topic.PRICES, lambda _: asyncio.sleep(0))
    await seen(lambda: not follow.problem)
    follow.close()
    await store.close()


@story
async def test_a_gateway_that_is_behind_says_so_in_the_callers_format(
    tmp_path: Path, postgres_url: str
) -> None:
    async with a_process(shared(tmp_path, "gateway", postgres_url), GATEWAY) as wired:
        wired.follow._bound = -1
        for app, path, kind in (
            (LlmGateway(wired), "/v1/chat/completions", "server_error"),
            (LlmGateway(wired), "/v1/messages", "api_error"),
            (Health(wired, role="gateway"), "/readyz", ""),
        ):
            client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://here")
            async with client as http:
                said = await http.post(path, json={}) if kind else await http.get(path)
            assert said.status_code == 503
            assert "could not be read for some seconds" in said.text
            if kind:
                assert said.headers["retry-after"] == "2"
                assert said.json()["error"]["type"] == kind


def test_news_are_numbered_by_commit_and_say_nothing_twice(tmp_path: Path, postgres_url: str) -> None:
    async def story() -> None:
        store = Store.open(shared(tmp_path, "one", postgres_url), Runtime.real())
        began = await store.read(news.number)

        def twice(transaction: Any) -> None:
            transaction.tell(Topic.RUN, "run_1", environment="dev")
            transaction.tell(Topic.RUN, "run_1", environment="dev")
            transaction.tell(Topic.RUN, "run_2", environment="staging")
            transaction.tell(Topic.KILL, "kil_1")

        await store.transact(twice)
        heard = await store.read(lambda found: news.since(found, began, "dev"))
        assert heard.number == began + 1
        assert set(heard.items or ()) == {Item(Topic.RUN, "run_1", "dev"), Item(Topic.KILL, "kil_1")}
        with pytest.raises(RuntimeError):
            await store.transact(_fails)
        assert await store.read(news.number) == began + 1
        await store.close()

    asyncio.run(story())


def _fails(transaction: Any) -> None:
    transaction.tell(Topic.PRICES)
    raise RuntimeError("no")


@story
async def test_a_tool_that_two_processes_find_at_once_is_registered_by_one(
    tmp_path: Path, postgres_url: str
) -> None:
    stores = [Store.open(shared(tmp_path, name, postgres_url), Runtime.real()) for name in ("one", "two")]

    def register(transaction: Transaction) -> Pin | None:
        return pins.register(transaction, "shop.echo", digest="d", name="echo", description="", schema={})

    found = await asyncio.gather(*(each.transact(register) for each in stores))
    assert sorted(found, key=lambda pin: pin is None) == [Pin(tool="shop.echo", digest="d", seen="d"), None]
    for each in stores:
        await each.close()


def test_roles_are_said_in_words() -> None:
    assert roles_of("gateway, Worker") == {Role.GATEWAY, Role.WORKER}
    assert roles_of("") == ALL
    with pytest.raises(UsageError, match="no role 'gatewy'"):
        roles_of("gatewy")


def test_roles_are_split_on_postgres_only(tmp_path: Path) -> None:
    async def start() -> None:
        async with application(a_settings(tmp_path), roles=GATEWAY):
            pass

    with pytest.raises(UsageError, match="PostgreSQL only") as caught:
        asyncio.run(start())
    assert "INTERLOCK_DATABASE" in caught.value.hint


@story
async def test_a_breaker_that_opens_in_one_process_refuses_in_the_other_until_it_is_signed(
    tmp_path: Path, postgres_url: str
) -> None:
    async with two(tmp_path, postgres_url) as (one, other):
        workflow, signer = BreakerKind.WORKFLOW, KnownPerson(name="maria", roles=frozenset({"operator"}))
        await trip_by_hand(
            store=one.store, memory=one.memory, kind=workflow, name="chat", by="maria", reason="odd"
        )
        await seen(lambda: other.memory.breakers == {("workflow", "chat"): BreakerState.OPEN})
        assert other.memory.tripped == {("workflow", "chat"): "maria opened it"}
        sign = SignOff(store=one.store, memory=one.memory, runtime=one.runtime, settings=one.settings)
        await sign(workflow, "chat", BreakerState.CLOSED, by=signer, reason="a drill")
        await seen(lambda: not other.memory.breakers)
