"""What passes between a client and its tool servers beside arguments, and what is said when it cannot."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
import sqlalchemy as sa

from interlock.core.approval import Decider
from interlock.core.document.kind import AnyDocument
from interlock.core.document.tool import Credentials, ToolServer
from interlock.core.effect import key_of
from interlock.core.model import EffectClass, RiskTier
from interlock.services.approve import Approve
from interlock.store import actions
from interlock.store.schema import metadata
from mcp import Client
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop, workshop_over_http

ERAS = pytest.mark.parametrize("era", [[], ["--legacy"]], ids=["modern", "legacy"])
TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
    "baggage": "tenant=7",
}


def play(
    documents: tuple[AnyDocument, ...],
    data: Path,
    story: Callable[[Gateway], Awaitable[None]],
    **settings: Any,
) -> None:
    async def run() -> None:
        async with a_gateway(documents, data, **{"inline_wait": 0, "call_timeout": 5, **settings}) as gateway:
            await story(gateway)

    asyncio.run(run())


async def said(client: Client, tool: str, **arguments: Any) -> str:
    return (await client.call_tool(tool, arguments)).content[0].text  # pyright: ignore[reportAttributeAccessIssue]


async def until(ask: Callable[[], Awaitable[Any]], true: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(60):
        while not true(await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@ERAS
def test_what_the_client_says_in_meta_reaches_the_server_but_for_our_own(
    era: list[str], tmp_path: Path
) -> None:
    foreign = {"interlock/approved": True, "io.modelcontextprotocol/forged": 1}

    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            meta: Any = {**TRACE, "example.com/tenant": {"id": 7}, **foreign}
            result = await client.call_tool("meta", {}, meta=meta)
            heard = (result.structured_content or {})["meta"]
            assert TRACE.items() <= heard.items()
            assert heard["example.com/tenant"] == {"id": 7}
            assert not foreign.keys() & heard.keys()
            assert (heard.get("io.modelcontextprotocol/clientInfo") or {"name": "interlock"})[
                "name"
            ] == "interlock"

    play(a_manifest([workshop("shop", *era)], [a_tool("shop.meta")]), tmp_path, story)


def test_what_a_person_approved_is_not_varied_by_meta(tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            call = asyncio.create_task(
                client.call_tool("meta", {}, meta={**TRACE, "example.com/dry-run": False})  # pyright: ignore[reportArgumentType]
            )
            approve = await _approver(gateway)
            await approve()
            heard = ((await call).structured_content or {})["meta"]
            assert TRACE.items() <= heard.items()
            assert "example.com/dry-run" not in heard

    high = a_tool("shop.meta", RiskTier.HIGH_BLAST_RADIUS)
    play(a_manifest([workshop("shop")], [high]), tmp_path, story, inline_wait=20)


@ERAS
def test_a_tool_that_knows_its_calls_by_their_keys_is_handed_the_key(era: list[str], tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            call = asyncio.create_task(client.call_tool("meta", {}, meta=TRACE))  # pyright: ignore[reportArgumentType]
            approve = await _approver(gateway)
            await approve()
            heard = ((await call).structured_content or {})["meta"]
            [action] = await gateway.wired.store.read(actions.listed)
            assert heard["interlock/idempotencyKey"] == key_of(action)
            assert TRACE.items() <= heard.items()

    keyed = replace(a_tool("shop.meta", RiskTier.LIMITED_WRITE), effect=EffectClass.IDEMPOTENT)
    play(a_manifest([workshop("shop", *era)], [keyed]), tmp_path, story, inline_wait=20)


async def _approver(gateway: Gateway) -> Callable[[], Awaitable[Any]]:
    """Return what approves the one call that waits."""
    wired = gateway.wired
    async with asyncio.timeout(10):
        while not (waiting := [each for each in wired.memory.actions.values() if each.approval]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    people = Approve(store=wired.store, memory=wired.memory, runtime=wired.runtime)
    return lambda: people.approve(waiting[0].approval, Decider(name="deng", roles=frozenset({"approver"})))


@ERAS
def test_a_session_that_was_lost_is_said_once_in_the_next_result(era: list[str], tmp_path: Path) -> None:
    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            assert [await said(client, "count") for _ in range(2)] == ["1", "2"]
            died = await client.call_tool("die", {})
            assert died.is_error is True
            first = await client.call_tool("count", {})
            assert first.content[0].text == "1"  # pyright: ignore[reportAttributeAccessIssue]
            lost = (first.meta or {})["interlock/session_lost"]
            assert lost == {"server": "shop", "reason": "its process ended"}
            second = await client.call_tool("count", {})
            assert "interlock/session_lost" not in (second.meta or {})

    play(a_manifest([workshop("shop", *era)], [a_tool("shop.count"), a_tool("shop.die")]), tmp_path, story)


def test_a_legacy_http_server_that_forgot_the_session_is_said_too(tmp_path: Path) -> None:
    port = free_port()
    server = ToolServer(name="shop", transport="http", url=f"http://127.0.0.1:{port}/mcp")

    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            assert await said(client, "count") == "1"
            first.close()
            with workshop_over_http("shop", port, "--legacy"):
                result = await client.call_tool("count", {})
                assert result.content[0].text == "1"  # pyright: ignore[reportAttributeAccessIssue]
                assert (result.meta or {})["interlock/session_lost"]["server"] == "shop"

    with ExitStack() as first:
        first.enter_context(workshop_over_http("shop", port, "--legacy"))
        play(a_manifest([server], [a_tool("shop.count")]), tmp_path, story)


@pytest.mark.parametrize("stateless", [False, True], ids=["own", "shared"])
@ERAS
def test_updates_reach_who_follows_until_the_last_one_leaves(
    era: list[str], stateless: bool, tmp_path: Path
) -> None:
    heard: dict[str, list[str]] = {"one": [], "two": []}

    def listener(name: str) -> Any:
        async def on_message(message: Any) -> None:
            if isinstance(message, types.ResourceUpdatedNotification):
                heard[name].append(str(message.params.uri))

        return on_message

    follow = types.SubscribeRequestParams(uri="shop://a")
    leave = types.UnsubscribeRequestParams(uri="shop://a")

    async def story(gateway: Gateway) -> None:
        token, other = await gateway.token(), await gateway.token("other")
        async with (
            gateway.client(token, mode="legacy", message_handler=listener("one")) as one,
            gateway.client(other, mode="legacy", message_handler=listener("two")) as two,
        ):
            await one.session.send_request(types.SubscribeRequest(params=follow), types.EmptyResult)
            await one.session.send_request(types.SubscribeRequest(params=follow), types.EmptyResult)
            await until(lambda: said(one, "asked"), lambda found: found == "+shop://a")
            assert await said(two, "count") == "1"
            await one.call_tool("touch", {"uri": "shop://a"})
            await one.call_tool("touch", {"uri": "shop://b"})
            await until(lambda: asyncio.sleep(0, heard["one"]), bool)
            await one.session.send_request(types.UnsubscribeRequest(params=leave), types.EmptyResult)
            await until(lambda: said(one, "asked"), lambda found: found == "+shop://a -shop://a")
            await one.call_tool("touch", {"uri": "shop://a"})
            await asyncio.sleep(0.2)
        assert {name: set(uris) for name, uris in heard.items()} == {"one": {"shop://a"}, "two": set()}

    tools = [a_tool(f"shop.{each}") for each in ("count", "touch", "asked")]
    server = workshop("shop", *era, stateless=stateless)
    play(a_manifest([server], tools, resources=("shop://*",)), tmp_path, story)


@ERAS
def test_a_secret_in_a_header_reaches_its_server_and_nothing_else(
    era: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "Bearer tok_5f1d9c7e_never_shown"
    monkeypatch.setenv("SHOP_KEY", secret)
    caplog.set_level(logging.DEBUG)
    port = free_port()
    server = ToolServer(
        name="shop",
        transport="http",
        url=f"http://127.0.0.1:{port}/mcp",
        credentials=Credentials(headers={"Authorization": "secret://env/SHOP_KEY"}, owner="deng"),
    )
    shown: list[str] = []

    async def story(gateway: Gateway) -> None:
        async with gateway.client(await gateway.token()) as client:
            expected = hashlib.sha256(secret.encode()).hexdigest()
            assert await said(client, "header", name="authorization") == expected
            shown.extend([repr(await client.call_tool(each, {})) for each in names[1:]])
        for table in metadata.sorted_tables:
            rows = await gateway.wired.store.read(lambda each, t=table: each.execute(sa.select(t)).fetchall())
            shown.append(repr(rows))

    names = ("header", "fail", "die", "echo")
    with workshop_over_http("shop", port, *era):
        play(a_manifest([server], [a_tool(f"shop.{each}") for each in names]), tmp_path, story)
    assert all("is_error=True" in each for each in shown[:3])
    leaked = [each[:200] for each in [*shown, caplog.text] if "never_shown" in each]
    assert leaked == []
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert not [each for each in files if b"never_shown" in each.read_bytes()]
