"""What goes out to a provider's socket, and what becomes of the connection afterwards (B1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from interlock.core.document.provider import Timeouts
from interlock.errors import OutcomeUnknown, UpstreamUnavailable
from interlock.upstream.llm.client import HttpClient
from interlock.upstream.llm.transport import Outgoing, RawHeaders

pytestmark = pytest.mark.anyio
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Script = Callable[[int], bytes]


class Provider:
    """A socket that answers request after request as its script says, and hangs up after what is not `OK`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.unasked = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.script(len(self.requests))
                writer.write(answer)
                if not answer.endswith(OK):
                    break
                if self.unasked:
                    await asyncio.sleep(0.02)
                    writer.write(self.unasked)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def a_provider(
    script: Script, *, kept_alive: float = 15
) -> AsyncGenerator[tuple[Provider, HttpClient]]:
    provider, client = Provider(script), HttpClient(kept_alive=kept_alive)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat"
    try:
        yield provider, client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


def outgoing(url: str, body: bytes = b"{}", headers: RawHeaders = ()) -> Outgoing:
    return Outgoing(url=url, headers=headers, body=body, timeouts=Timeouts(connect=1, first_byte=1, idle=1))


async def answered(client: HttpClient, sent: Outgoing) -> bytes:
    answer = await client.send(sent)
    try:
        return await answer.whole(1_000_000)
    finally:
        answer.close()


async def test_a_request_leaves_as_it_was_given_and_its_connection_is_kept() -> None:
    async with a_provider(lambda _: OK) as (provider, client):
        for body in (b'{"a": 1}', b"x" * 200_000):
            headers = [(b"x-name", "z\u00fcrich".encode("latin-1")), (b"x-name", b"twice")]
            assert await answered(client, outgoing(provider.url + "?q=%2F", body, headers)) == b"ok"
    first, second = provider.requests
    host = provider.url.split("/")[2].encode()
    assert first == (
        b"POST /v1/chat?q=%2F HTTP/1.1\r\nHost: " + host + b"\r\nx-name: z\xfcrich\r\nx-name: twice\r\n"
        b'Content-Length: 8\r\n\r\n{"a": 1}'
    )
    assert second.endswith(b"\r\n\r\n" + b"x" * 200_000)
    assert provider.connections == 1


@pytest.mark.parametrize("value", [b"secret\n", b"a\r\nx-evil: 1", b"a\0b"])
async def test_a_header_that_would_break_the_head_is_not_sent(value: bytes) -> None:
    async with a_provider(lambda _: OK) as (provider, client):
        with pytest.raises(UpstreamUnavailable) as refused:
            await client.send(outgoing(provider.url, headers=[(b"authorization", value)]))
    assert provider.requests == []
    assert "secret" not in refused.value.message


async def test_what_comes_before_the_answer_is_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with a_provider(lambda _: early + OK) as (provider, client):
        assert await answered(client, outgoing(provider.url)) == b"ok"
        assert await answered(client, outgoing(provider.url)) == b"ok"
    assert provider.connections == 1


@pytest.mark.parametrize(
    "wire", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"", b"what?\r\n\r\n", OK[:10]], ids=str
)
async def test_an_answer_that_does_not_come_whole_is_of_unknown_outcome_and_its_connection_goes(
    wire: bytes,
) -> None:
    async with a_provider(lambda number: wire if number == 1 else OK) as (provider, client):
        with pytest.raises(OutcomeUnknown):
            await answered(client, outgoing(provider.url))
        assert await answered(client, outgoing(provider.url)) == b"ok"
    assert provider.connections == 2


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with a_provider(lambda _: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok") as (provider, client):
        assert await answered(client, outgoing(provider.url)) == b"ok"


async def test_an_answer_left_unread_does_not_meet_the_next_request() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    async with a_provider(lambda number: half if number == 1 else OK) as (provider, client):
        (await client.send(outgoing(provider.url))).close()
        assert await answered(client, outgoing(provider.url)) == b"ok"
    assert provider.connections == 2


OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"


async def test_an_answer_that_nobody_asked_for_meets_no_request() -> None:
    async with a_provider(lambda number: OTHER + OK if number == 1 else OK) as (provider, client):
        assert await answered(client, outgoing(provider.url)) == b"other"
        assert await answered(client, outgoing(provider.url)) == b"ok"
        provider.unasked = OTHER
        assert await answered(client, outgoing(provider.url)) == b"ok"
        await asyncio.sleep(0.1)
        assert await answered(client, outgoing(provider.url)) == b"ok"
    assert provider.connections == 3


async def test_a_connection_that_its_provider_ends_or_that_was_idle_for_too_long_is_not_used_again() -> None:
    last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with a_provider(lambda number: last if number == 1 else OK, kept_alive=0.1) as (provider, client):
        for pause in (0, 0, 0.25):
            await asyncio.sleep(pause)
            assert await answered(client, outgoing(provider.url)) == b"ok"
    assert provider.connections == 3


async def test_calls_at_the_same_time_have_connections_of_their_own() -> None:
    async with a_provider(lambda _: OK) as (provider, client):
        for _ in range(3):
            calls = [answered(client, outgoing(provider.url)) for _ in range(8)]
            assert await asyncio.gather(*calls) == [b"ok"] * 8
    assert provider.connections == 8


async def test_nobody_there_means_nothing_was_sent() -> None:
    client = HttpClient()
    with pytest.raises(UpstreamUnavailable):
        await client.send(outgoing("http://127.0.0.1:9/v1"))
    with pytest.raises(UpstreamUnavailable):
        await client.send(outgoing("http:///v1"))
    await client.close()
