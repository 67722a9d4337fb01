"""The HTTP client of the call path: aiohttp, one session per event loop, nothing pooled or decoded for us.

Whatever has arrived is passed on in one piece. There is no total timeout: one to connect, one until the first
byte, one between two. How many calls a provider gets at once is not the connection pool's business.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable

import aiohttp
from yarl import URL

from interlock.core.document import Timeouts
from interlock.errors import OutcomeUnknown, UpstreamUnavailable
from interlock.upstream.llm.transport import Outgoing, RawHeaders

_KEPT_ALIVE = 15.0
"""Seconds an idle connection is kept: less than providers do, so that none is used as it is closed."""
_SKIPPED = ("Accept", "Content-Type", "User-Agent")
_PACKED = {"gzip": 47, "x-gzip": 47, "deflate": 47}
_NAMES = 1_024


class HttpClient:
    """The transport of the real world."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[Timeouts, aiohttp.ClientTimeout] = {}

    async def send(self, outgoing: Outgoing) -> HttpAnswer:
        """Send a request. Raises `UpstreamUnavailable`, `OutcomeUnknown`."""
        session = self._session or self._open()
        try:
            answer = await session.request(
                "POST",
                self._url(outgoing.url),
                data=outgoing.body,
                headers=outgoing.headers,
                timeout=self._timeout(outgoing.timeouts),
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            said = f"The model provider cannot be reached ({type(error).__name__})."
            raise UpstreamUnavailable(said, hint="interlock doctor") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _lost(error) from error
        connection = answer.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = outgoing.timeouts.idle
        return HttpAnswer(answer)

    async def close(self) -> None:
        """Drop every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SKIPPED,
            auto_decompress=False,
        )
        return self._session

    def _url(self, url: str) -> URL:
        found = self._urls.get(url)
        if found is None:
            if len(self._urls) >= _NAMES:
                self._urls.clear()
            found = self._urls[url] = URL(url, encoded=True)
        return found

    def _timeout(self, timeouts: Timeouts) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(timeouts)
        if found is None:
            found = aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=timeouts.connect,
                sock_read=timeouts.first_byte,
            )
            self._timeouts[timeouts] = found
        return found


class HttpAnswer:
    """One answer of a provider. A body that it compressed although it was asked not to is unpacked."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.status = answer.status
        self._answer = answer
        packed = _PACKED.get(answer.headers.get("Content-Encoding", "").strip().lower())
        self._unpack = None if packed is None else _unpacker(packed)
        self.headers: RawHeaders = answer.raw_headers
        if packed is not None:
            self.headers = tuple(each for each in self.headers if each[0].lower() != b"content-encoding")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield whatever has arrived. Raises `OutcomeUnknown` when it breaks off."""
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk if self._unpack is None else self._unpack(chunk)
        except (aiohttp.ClientError, TimeoutError, OSError, zlib.error) as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Give the connection back, or drop it where there is more to come."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()


def _unpacker(bits: int) -> Callable[[bytes], bytes]:
    return zlib.decompressobj(wbits=bits).decompress


def _lost(error: Exception) -> OutcomeUnknown:
    slow = isinstance(error, TimeoutError | asyncio.TimeoutError)
    said = "did not answer in time" if slow else f"broke off the answer ({type(error).__name__})"
    return OutcomeUnknown(f"The model provider {said}.", hint="What the call cost is estimated.")
