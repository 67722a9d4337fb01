"""A whole server, real tool servers, SDK clients of both eras: how calls, messages and servers come and go.

What expires is told apart from what is rejected; a client hears what it asked to hear and nothing else; a
tool server may go and come back; a credential that has ended says whose it is (A3, F4, H2).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.client.subscriptions import ResourceUpdated

from mcp import Client
from support.gateway import WORKSHOP, workshop_over_http
from support.served import (
    SHOP,
    Served,
    apply,
    approval,
    read_tool,
    served,
    status,
    text,
    tool,
    until,
    workflow,
)
from support.warm import PYTHON

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
WAYS = pytest.mark.parametrize("way", ["http", "stdio"])
READS = (
    "shop.echo",
    "shop.log",
    "shop.touch",
    "twin.touch",
    "twin.asked",
    "shop.asked",
    "old.echo",
    "away.echo",
    "shop.slow",
    "shop.slowed",
    "shop.cancelled",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def a_server(name: str, spec: str) -> str:
    return f"""---
apiVersion: interlock/v1
kind: ToolServer
metadata: {{name: {name}}}
spec: {{{spec}, source: internal}}
"""


def a_day(*, days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days, hours=1)).date().isoformat()


def manifest(port: int, *, ended: bool = False) -> str:
    """The whole manifest; `ended`: the credential of the server `old` has expired."""
    key = 'env: {KEY: "secret://env/SHOP_KEY"}, owner: maria'
    old = f"credentials: {{{key}, expires: {a_day(days=-2 if ended else 30)}}}"
    ending = f"credentials: {{{key}, expires: {a_day(days=5)}}}"
    stdio = f"transport: stdio, command: [{', '.join(PYTHON)}, {WORKSHOP}, --name"
    return "".join(
        [
            SHOP,
            a_server("twin", f"{stdio}, twin]"),
            a_server("old", f"{stdio}, old], {old}"),
            a_server("ending", f"transport: stdio, command: [/no/such/program], {ending}"),
            a_server("away", f"transport: http, url: http://127.0.0.1:{port}/mcp"),
            *map(read_tool, READS),
            tool("shop.note"),
            workflow(
                *READS,
                "shop.note",
                more=', resources: ["shop://*"], approvals: {expire_after: 3s},'
                " breaker: {identical_calls: 1000000}",
            ),
        ]
    )


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Served]:
    settings = {"INTERLOCK_INLINE_WAIT": "30", "INTERLOCK_SELF_APPROVE": "1", "SHOP_KEY": "a key"}
    with served(tmp_path_factory.mktemp("whole") / "d", manifest(port), **settings) as running:
        until(lambda: all(pinned(running, f"{each}.echo") for each in ("shop", "old")), seconds=60)
        until(lambda: pinned(running, "twin.touch"), seconds=60)
        yield running


def pinned(server: Served, tool: str) -> bool:
    return any(each["tool"] == tool for each in server.api("tools/pins")["items"])


@asynccontextmanager
async def clients(
    server: Served, *modes: str, way: str = "http", **options: Any
) -> AsyncGenerator[list[Client]]:
    """Yield clients: over HTTP all of one run, over stdio each of a run of its own."""
    async with AsyncExitStack() as stack:
        if way == "stdio":
            yield [await stack.enter_async_context(server.over_stdio(mode, **options)) for mode in modes]
            return
        token = await asyncio.to_thread(server.token, "work")
        yield [await stack.enter_async_context(server.over_http(token, mode, **options)) for mode in modes]


async def comes_true(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return what `ask` says as soon as it says something."""
    async with asyncio.timeout(60):
        while not (found := await ask()):  # noqa: ASYNC110 - it happens in other processes
            await asyncio.sleep(0.05)
        return found


@ERAS
def test_a_call_nobody_decides_expires_and_that_is_no_rejection(
    server: Served, mode: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"

    async def story() -> None:
        async with clients(server, mode) as (client,):
            expired = await client.call_tool("note", {"file": str(notes), "text": f"late {mode}"})
            assert status(expired) == "expired"
            assert "This is a timeout, not a rejection" in text(expired)
            known = approval(expired)
            resumed = await client.call_tool("interlock_resume", {"approval_id": known})
            assert (status(resumed), approval(resumed)) == ("expired", known)
            said = await asyncio.to_thread(server.cli, "approvals", "approve", known)
            assert said.returncode != 0, "what has expired cannot be approved any more"
            assert await asyncio.to_thread(sign_off, server) == ("open", "approval_expired", "closed")
            asking = asyncio.create_task(client.call_tool("note", {"file": str(notes), "text": "no"}))
            waiting = await comes_true(lambda: asyncio.to_thread(pending))
            turned = await asyncio.to_thread(
                server.cli, "approvals", "reject", waiting, "--reason", "not today"
            )
            assert turned.returncode == 0, turned.stderr
            rejected = await asking
            assert status(rejected) == "rejected"
            assert "not today" in text(rejected)
            assert "timeout" not in text(rejected)
            for each, state in ((known, "expired"), (waiting, "rejected")):
                shown = await asyncio.to_thread(server.json, "approvals", "show", each)
                assert shown["state"] == state

    def pending() -> str:
        return next((each["id"] for each in server.api("approvals")["items"]), "")

    asyncio.run(story())
    assert not notes.exists()


def sign_off(server: Served) -> tuple[str, str, str]:
    """Close the breaker that an expired call of wide reach opened; return what it was and is."""
    headers = {"Authorization": f"Bearer {server.person()}"}
    (opened,) = server.api("breakers")["items"]
    place, body = f"{server.url}/api/v1/breakers/{opened['breaker']}", {"to": "closed", "reason": "seen"}
    signed = httpx2.post(f"{place}/sign-off", json=body, headers=headers, timeout=30)
    assert signed.is_success, signed.text
    return opened["state"], opened["cause"], signed.json()["state"]


async def set_level(client: Client, level: types.LoggingLevel) -> None:
    params = types.SetLevelRequestParams(level=level)
    await client.session.send_request(types.SetLevelRequest(params=params), types.EmptyResult)


def test_a_legacy_session_hears_of_log_messages_from_the_level_it_set(server: Served) -> None:
    heard: dict[str, list[str]] = {"loud": [], "quiet": []}

    def listener(name: str) -> Any:
        async def on_log(params: types.LoggingMessageNotificationParams) -> None:
            heard[name].append(params.level)

        return on_log

    async def story() -> None:
        token = await asyncio.to_thread(server.token, "work")
        async with (
            server.over_http(token, "legacy", logging_callback=listener("loud")) as loud,
            server.over_http(token, "legacy", logging_callback=listener("quiet")) as quiet,
        ):
            await set_level(quiet, "error")
            for client in (quiet, loud):
                assert text(await client.call_tool("log", {})) == "logged"
            await comes_true(lambda: asyncio.sleep(0, heard["loud"]))
            assert heard == {"loud": ["warning"], "quiet": []}
            await set_level(quiet, "debug")
            await quiet.call_tool("log", {})
            await comes_true(lambda: asyncio.sleep(0, heard["quiet"]))
            await set_level(loud, "emergency")
            await loud.call_tool("log", {})
            assert heard == {"loud": ["warning"], "quiet": ["warning"]}

    asyncio.run(story())


@WAYS
def test_equal_uris_of_two_servers_are_told_apart_on_a_modern_stream(server: Served, way: str) -> None:
    names = ["shop+shop://a", "twin+shop://a"]

    async def story() -> None:
        async with clients(server, "auto", way=way) as (client,):
            shown = [str(each.uri) for each in (await client.list_resources()).resources]
            assert set(names) <= set(shown)
            for name in names:
                (content,) = (await client.read_resource(name)).contents
                assert str(content.uri) == name
            async with client.listen(resource_subscriptions=names) as both, asyncio.timeout(60):
                await client.call_tool("twin__touch", {"uri": "shop://a"})
                assert await anext(aiter(both)) == ResourceUpdated(uri="twin+shop://a")
                await client.call_tool("shop__touch", {"uri": "shop://b"})
                await client.call_tool("shop__touch", {"uri": "shop://a"})
                assert await anext(aiter(both)) == ResourceUpdated(uri="shop+shop://a")

    asyncio.run(story())


@WAYS
def test_equal_uris_of_two_servers_are_told_apart_in_a_legacy_session(server: Served, way: str) -> None:
    heard: list[str] = []

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.append(str(message.params.uri))

    async def story() -> None:
        async with clients(server, "legacy", way=way, message_handler=on_message) as (client,):
            follow = types.SubscribeRequestParams(uri="twin+shop://a")
            await client.session.send_request(types.SubscribeRequest(params=follow), types.EmptyResult)
            await client.call_tool("shop__touch", {"uri": "shop://a"})
            await client.call_tool("twin__touch", {"uri": "shop://a"})
            await comes_true(lambda: asyncio.sleep(0, heard))
            assert set(heard) == {"twin+shop://a"}

    asyncio.run(story())


@WAYS
@ERAS
def test_a_call_that_is_cancelled_is_cancelled_at_its_tool_server(
    server: Served, mode: str, way: str
) -> None:
    async def story() -> None:
        async with clients(server, mode, way=way) as (client,):

            async def once(tool: str) -> bool:
                return text(await client.call_tool(tool, {})) == "1"

            slow = asyncio.create_task(client.call_tool("slow", {"seconds": 600}))
            await comes_true(lambda: once("slowed"))
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            await comes_true(lambda: once("cancelled"))

    asyncio.run(story())


@ERAS
def test_a_tool_server_may_go_and_come_back_and_its_tools_are_compared(
    server: Served, port: int, mode: str
) -> None:
    async def echo(client: Client) -> str:
        return text(await client.call_tool("away__echo", {"text": "here"}))

    async def says(client: Client, wanted: str) -> None:
        async def asked() -> bool:
            return wanted in await echo(client)

        await comes_true(asked)

    async def listed(client: Client) -> bool:
        return "away__echo" in [each.name for each in (await client.list_tools()).tools]

    async def story(client: Client) -> None:
        said = await echo(client)
        assert "Nothing was sent" in said or "cannot be used" in said
        with workshop_over_http("away", port):
            await says(client, "here")
            assert await listed(client)
        said = await echo(client)
        assert "cannot be" in said
        assert text(await client.call_tool("shop__echo", {"text": "others work"})) == "others work"
        with workshop_over_http("away", port, "--drifted"):
            await says(client, "not what was registered")
            assert not await listed(client)
        with workshop_over_http("away", port):
            await says(client, "here")
            assert await listed(client)

    async def play() -> None:
        async with clients(server, mode) as (client,):
            await story(client)

    asyncio.run(play())


def test_an_expired_credential_is_refused_and_says_whose_it_is_until_it_is_replaced(
    server: Served, port: int
) -> None:
    async def story() -> None:
        async with clients(server, "auto", "legacy") as both:
            for client in both:
                assert text(await client.call_tool("old__echo", {"text": "in time"})) == "in time"
        await asyncio.to_thread(apply, server.data, manifest(port, ended=True), **server.settings)
        async with clients(server, "auto", "legacy") as both:
            for client in both:
                refused = await client.call_tool("old__echo", {"text": "late"})
                assert refused.is_error
                assert "expired" in text(refused)
                assert "maria" in text(refused)
        ended = await asyncio.to_thread(credentials, server)
        assert ended["ok"] is False
        assert "The credentials of the tool server old have expired" in ended["detail"]
        await asyncio.to_thread(apply, server.data, manifest(port), **server.settings)
        async with clients(server, "auto") as (client,):
            assert text(await client.call_tool("old__echo", {"text": "again"})) == "again"

    warned = credentials(server)
    assert warned["ok"] is True
    assert "The credentials of the tool server ending expire in" in warned["detail"]
    asyncio.run(story())


def credentials(server: Served) -> dict[str, Any]:
    """Return what the doctor says of credentials."""
    said = server.cli("doctor", "--json")
    (check,) = [each for each in json.loads(said.stdout)["items"] if "credential" in each["check"]]
    assert said.returncode == (0 if check["ok"] else 1)
    return check
