"""How answers leave the listener: whole ones in one piece, all others as the application sends them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.listen import Asgi, Listener, Listeners, server_config
from interlock.settings import Settings

pytestmark = pytest.mark.anyio
Header = tuple[bytes, bytes]


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="il"))  # a socket's path must be short
    yield folder / "s"
    shutil.rmtree(folder)


def saying(headers: Sequence[Header], *pieces: bytes) -> Asgi:
    """Return an application that answers so, in these pieces."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    return app


@asynccontextmanager
async def listening(app: Asgi, place: Path) -> AsyncGenerator[Listeners]:
    listeners = Listeners(app, Settings(data=place.parent), tcp=False, place=place)
    started = asyncio.Event()
    running = asyncio.create_task(listeners.run(lambda _: started.set()))
    await started.wait()
    try:
        yield listeners
    finally:
        listeners.stop()
        await running


async def asked(place: Path, *requests: bytes, wait: float = 0.3) -> bytes:
    """Send requests one after another on one connection; return what came back until it was quiet."""
    reader, writer = await asyncio.open_unix_connection(str(place))
    got = b""
    try:
        for request in requests:
            writer.write(request)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while data := await reader.read(65_536):
                        got += data
    finally:
        writer.close()
        await writer.wait_closed()
    return got


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_whole_answer_comes_whole_and_the_connection_serves_on(place: Path, size: int) -> None:
    body = b"x" * size
    async with listening(saying([(b"content-length", b"%d" % size)], body), place):
        got = await asked(place, GET, GET, wait=0.15)
    assert got == (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + body) * 2


async def test_a_length_with_a_body_in_pieces_is_sent_in_pieces(place: Path) -> None:
    async with listening(saying([(b"content-length", b"4")], b"ab", b"cd"), place):
        got = await asked(place, CLOSING)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\nabcd")


async def test_the_head_of_a_stream_does_not_wait_for_its_first_piece(place: Path) -> None:
    gate = asyncio.Event()

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"late"})

    async with listening(app, place):
        got = await asked(place, GET, wait=0.1)
        gate.set()
    assert b"a: b\r\n" in got
    assert b"late" not in got


@pytest.mark.parametrize(
    "headers",
    [[(b"content-length", b"2"), (b"a", b"b\r\nc: d")], [(b"a\r\nb", b"c"), (b"content-length", b"2")]],
)
async def test_a_header_cannot_bring_another(place: Path, headers: list[Header]) -> None:
    async with listening(saying(headers, b"ok"), place):
        got = await asked(place, CLOSING)
    assert b"c: d" not in got
    assert b"ok" not in got


async def test_a_body_that_is_not_as_long_as_was_said_is_cut_off(place: Path) -> None:
    async with listening(saying([(b"content-length", b"3")], b"ab"), place):
        got = await asked(place, GET)
    assert not got.endswith(b"abc")


async def test_to_head_there_is_no_body(place: Path) -> None:
    async with listening(saying([(b"content-length", b"2")], b"ok"), place):
        got = await asked(place, CLOSING.replace(b"GET", b"HEAD"))
    assert b"content-length: 2\r\n" in got
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("size", "whole"), [(0, True), (200_000, True), (3_000_000, False)])
async def test_a_body_comes_whole_unless_it_is_large(place: Path, size: int, whole: bool) -> None:
    pieces: list[bytes] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]
        await saying([(b"content-length", b"2")], b"ok")(_, receive, send)

    body = bytes(range(256)) * (size // 256)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with listening(app, place):
        got = await asked(place, head + body, wait=2)
    assert got.endswith(b"ok")
    assert b"".join(pieces) == body
    assert (len(pieces) == 1) == whole


async def test_who_waits_for_a_body_learns_that_its_sender_left(place: Path) -> None:
    met: list[str] = []

    async def app(_: Any, receive: Any, __: Any) -> None:
        met.append((await receive())["type"])

    async with listening(app, place):
        await asked(place, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", wait=0.1)
        await asyncio.sleep(0.05)
    assert met == ["http.disconnect"]


async def test_a_server_that_is_stopped_the_moment_it_starts_ends_without_an_error(place: Path) -> None:
    ports: list[int | None] = []
    listeners = Listeners(saying([]), Settings(data=place.parent, port=0), tcp=True, place=place)
    running = asyncio.create_task(listeners.run(ports.append))
    while listeners.port is None:  # noqa: ASYNC110 - before anybody is told that it has started
        await asyncio.sleep(0)
    listeners.stop()
    await running
    assert ports == []


async def test_an_idle_connection_is_closed_and_one_in_use_is_not(place: Path) -> None:
    config = server_config(saying([(b"content-length", b"2")], b"ok"), uds=str(place))
    config.timeout_keep_alive = 0.3  # type: ignore[assignment]  # seconds; the server only adds them
    server = Listener(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_unix_connection(str(place))
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)
    writer.write(GET[:10])  # the beginning of a request is no idleness
    await asyncio.sleep(0.5)
    writer.write(GET[10:])
    await reader.readuntil(b"\r\n\r\nok")
    used = asyncio.get_running_loop().time() - began
    assert await reader.read() == b""
    idle = asyncio.get_running_loop().time() - began - used
    assert (used > 0.9, 0.2 < idle < 5) == (True, True)
    writer.close()
    server.stop()
    await running
