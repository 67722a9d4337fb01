"""What a client with a good token tries against other runs, other sessions and the gateway itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from interlock.gateway.mcp.templates import fits
from support.gateway import Gateway, a_gateway, a_manifest, a_tool, workshop
from support.rpc import Wire, said

TOOLS = [a_tool(f"shop.{name}") for name in ("echo", "slow", "slowed", "progress", "asked")]
DOCUMENTS = a_manifest([workshop("shop", stateless=True)], TOOLS, resources=("shop://*",))
LEGACY = "2025-11-25"


def play(
    data: Path, story: Callable[[Gateway, httpx2.AsyncClient], Awaitable[None]], **settings: Any
) -> None:
    async def run() -> None:
        async with (
            a_gateway(DOCUMENTS, data, **settings) as gateway,
            httpx2.AsyncClient(timeout=60, verify=False) as http,
        ):
            async with asyncio.timeout(90):
                await story(gateway, http)

    asyncio.run(run())


class Session:
    """One legacy session, byte for byte."""

    def __init__(self, gateway: Gateway, http: httpx2.AsyncClient, token: str, name: str = "") -> None:
        self.url = gateway.url
        self.http = http
        self.token = token
        self.name = name

    async def send(self, method: str, verb: str = "POST", **message: Any) -> httpx2.Response:
        """Send one message, or with another verb none."""
        headers = {
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": LEGACY,
            **({"mcp-session-id": self.name} if self.name else {}),
        }
        if verb != "POST":
            return await self.http.request(verb, self.url, headers=headers)
        body = {"jsonrpc": "2.0", "method": method, **message}
        return await self.http.post(self.url, json=body, headers=headers)

    async def open(self) -> Session:
        """Begin; the gateway names the session."""
        client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        begun = await self.send("initialize", id=0, params=client)
        assert begun.status_code == 200, begun.text
        self.name = begun.headers["mcp-session-id"]
        await self.send("notifications/initialized")
        return self

    async def call(self, tool: str, *, id: int | str, **arguments: Any) -> str:
        """Call a tool; return all that came back."""
        return (await self.send("tools/call", id=id, params={"name": tool, "arguments": arguments})).text


async def until_it_runs(session: Session) -> None:
    """Wait until the tool server has begun a slow call."""
    async with asyncio.timeout(30):
        number = 1_000
        while '"text":"1"' not in await session.call("slowed", id=number):
            number += 1


def test_a_session_is_worth_nothing_to_another_run_and_none_can_be_chosen(tmp_path: Path) -> None:
    async def story(gateway: Gateway, http: httpx2.AsyncClient) -> None:
        mine = await Session(gateway, http, await gateway.token()).open()
        theirs = await gateway.token("other")
        for verb in ("POST", "GET", "DELETE"):
            stolen = await Session(gateway, http, theirs, mine.name).send("tools/list", verb, id=1)
            assert stolen.status_code == 404, verb
        for name in ("chosen", mine.name[:-1], mine.name.upper(), "..%2f", "x" * 5_000):
            assert (await Session(gateway, http, theirs, name).send("ping", id=1)).status_code == 404
            fixed = Session(gateway, http, theirs, name)
            begun = await fixed.send("initialize", id=0, params={})
            assert begun.headers.get("mcp-session-id") != name
        assert "hello" in await mine.call("echo", id=2, text="hello")

    play(tmp_path, story)


def test_what_names_a_request_or_its_progress_is_its_sessions_own(tmp_path: Path) -> None:
    async def story(gateway: Gateway, http: httpx2.AsyncClient) -> None:
        token, other = await gateway.token(), await gateway.token("other")
        mine = await Session(gateway, http, token).open()
        sibling = await Session(gateway, http, token).open()
        stranger = await Session(gateway, http, other).open()
        slow = asyncio.create_task(mine.call("slow", id=7, seconds=4))
        await until_it_runs(mine)
        cancel = {"requestId": 7, "reason": "mine now"}
        for attacker in (sibling, stranger):
            await attacker.send("notifications/cancelled", params=cancel)
        modern = json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel})
        await Wire(http=http, url=gateway.url, token=other).post(modern.encode())
        assert "mine too" in await stranger.call("echo", id=7, text="mine too")
        for same in (7, "7"):
            again = await mine.call("echo", id=same, text="the same id again")
            assert "A request of this id is under way" in again
        asked = {"name": "progress", "arguments": {}, "_meta": {"progressToken": "t"}}
        reports = await asyncio.gather(
            *(each.send("tools/call", id=9, params=asked) for each in (mine, stranger))
        )
        for report in reports:
            assert [f"step {n}" in report.text for n in (1, 2, 3, 4)] == [True, True, True, False]
            assert report.text.count("notifications/progress") == 3
        assert "at last" in await asyncio.wait_for(slow, 60)
        assert "now it is free" in await mine.call("echo", id=7, text="now it is free")

    play(tmp_path, story)


URIS = (
    "shop://../b",
    "shop://items/..",
    "shop://items/%2e%2e%2fsecret",
    "shop://items/%252e%252e%252fsecret",
    "shop://items/..;/secret",
    "shop://items/..\\secret",
    "shop://items/\uff0e\uff0e/secret",
    "shop://items/a%00",
)
NAMES = (
    "\uff45cho",
    "\u0435cho",
    "echo\u200b",
    "ECHO",
    "echo ",
    "e\u0301cho",
    "shop\uff0eecho",
    "shop__\uff45cho",
)


def test_no_spelling_of_a_uri_or_a_name_reaches_what_it_does_not_say(tmp_path: Path) -> None:
    async def story(gateway: Gateway, http: httpx2.AsyncClient) -> None:
        wire = Wire(http=http, url=gateway.url, token=await gateway.token())
        for uri in URIS:
            quoted = uri.encode("ascii", "replace").decode()
            read = await wire.ask("resources/read", {"uri": uri}, mcp_name=quoted)
            assert "contents" not in read.get("result", {}), uri
        session = await Session(gateway, http, wire.token).open()
        for uri in URIS:
            for method in ("resources/read", "resources/subscribe"):
                answer = await session.send(method, id=1, params={"uri": uri})
                assert "Resource not found" in answer.text, uri
        for name in NAMES:
            assert '"status":"denied"' in await session.call(name, id=2, text="x"), name
        assert '"text":""' in await session.call("asked", id=3), "the tool server heard of none of it"
        fine = await session.send("resources/read", id=4, params={"uri": "shop://items/7"})
        assert "shop shop://items/7" in fine.text

    play(tmp_path, story)


def test_a_body_that_never_ends_is_given_up_and_holds_nobody_else_up(tmp_path: Path) -> None:
    async def story(gateway: Gateway, http: httpx2.AsyncClient) -> None:
        token = await gateway.token()
        host, port = gateway.url.removeprefix("http://").removesuffix("/mcp").split(":")
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
        slow: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(50):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head.encode())
            slow.append((reader, writer))
        wire = Wire(http=http, url=gateway.url, token=token)
        assert said(await wire.call("echo", text="meanwhile")) == "meanwhile"
        for reader, writer in slow:
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()
            await writer.wait_closed()

    play(tmp_path, story, body_seconds=1.0)


def test_a_message_that_is_too_large_is_refused_whatever_it_is(tmp_path: Path) -> None:
    async def story(gateway: Gateway, http: httpx2.AsyncClient) -> None:
        session = await Session(gateway, http, await gateway.token()).open()
        for method in ("notifications/progress", "notifications/cancelled", "tools/call"):
            refused = await session.send(method, id=1, params={"filler": "x" * 100_000})
            assert refused.status_code == 413, method
        assert "hello" in await session.call("echo", id=2, text="hello")

    play(tmp_path, story, max_body=50_000)


@pytest.mark.parametrize(
    ("template", "uri", "fit"),
    [
        ("shop://items/{id}", "shop://items/7", True),
        ("shop://items/{id}", "shop://items/7/8", False),
        ("shop://items/{id}", "shop://items/", False),
        ("shop://{a}/{b}", "shop://x/y", True),
        ("shop://{a}-{b}/c", "shop://1-2-3/c", True),
        ("shop://{+path}/end", "shop://a/b/c/end", True),
        ("shop://{+path}/end", "shop:///end", False),
        ("shop://list{?q,n}", "shop://list?q=1&n=2", True),
        ("shop://list{?q,n}", "shop://list", True),
        ("shop://list{?q,n}", "shop://listed", False),
        ("shop://(a+)+{id}", "shop://aaaa7", False),
        ("shop://" + "{a}" * 100, "shop://" + "x" * 100, False),
        ("x" + "{+a}" * 60 + "!", "x" + "a" * 1_990, False),
        ("x" + "{a}" * 60 + "!", "x" + "a" * 1_990, False),
    ],
)
def test_a_template_fits_what_it_can_expand_to_and_is_never_slow(template: str, uri: str, fit: bool) -> None:
    assert fits(uri, template) is fit
