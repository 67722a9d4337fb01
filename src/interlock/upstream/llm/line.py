"""Lines to the providers: aiohttp's connections, kept between calls without its bookkeeping in between.

A line keeps its parser too. It is used again only where nothing is left of the call before it and nothing
came that nobody asked for; one that lay idle for too long is dropped.
"""

from __future__ import annotations

import asyncio
from time import monotonic

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest


class Line:
    """One connection to a provider. `idle_since` is when its last call ended, on the monotonic clock."""

    __slots__ = ("_connection", "_pool", "idle_since", "protocol")

    def __init__(
        self, connection: aiohttp.connector.Connection, protocol: ResponseHandler, pool: Pool
    ) -> None:
        self._connection = connection
        self._pool = pool
        self.protocol = protocol
        self.idle_since = 0.0
        protocol.set_response_params(auto_decompress=False, read_until_eof=True)

    def release(self) -> None:
        """Keep it for the next call, or drop it where the provider, or what is left, says so."""
        protocol = self.protocol
        transport = protocol.transport
        if transport is None or protocol.should_close or transport.get_write_buffer_size():
            self.close()
        else:
            self._pool.keep(self)

    def close(self) -> None:
        """Drop it."""
        self._connection.close()

    def usable(self, since: float) -> bool:
        """Whether a call may begin on it that was idle, but not before `since`."""
        protocol = self.protocol
        return self.idle_since >= since and protocol.is_connected() and not protocol.should_close


class Pool:
    """The idle lines to one address; the one that was used last is used next. `kept_alive` is in seconds."""

    def __init__(
        self, connector: aiohttp.BaseConnector, loop: asyncio.AbstractEventLoop, *, kept_alive: float
    ) -> None:
        self.loop = loop
        self._connector = connector
        self._kept_alive = kept_alive
        self._idle: list[Line] = []
        self._sweeping = self._closed = False

    async def line(self, request: ClientRequest, timeout: aiohttp.ClientTimeout) -> Line:
        """Return a line to the address of `request`. Raises what connecting raises."""
        since = monotonic() - self._kept_alive
        while self._idle:
            line = self._idle.pop()
            if line.usable(since):
                line.protocol.read_timeout = None
                return line
            line.close()
        connection = await self._connector.connect(request, [], timeout)
        if connection.protocol is None or connection.protocol.transport is None:
            connection.close()
            raise ConnectionResetError
        return Line(connection, connection.protocol, self)

    def keep(self, line: Line) -> None:
        """Keep an idle line for a while."""
        if self._closed:
            return line.close()
        line.idle_since = monotonic()
        self._idle.append(line)
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(self._kept_alive, self._sweep)
        return None

    def close(self) -> None:
        """Drop what is idle, and what comes back from now on."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _sweep(self) -> None:
        since = monotonic() - self._kept_alive
        kept = [each for each in self._idle if each.usable(since)]
        for each in set(self._idle).difference(kept):
            each.close()
        self._idle = kept
        self._sweeping = bool(kept)
        if kept:
            self.loop.call_later(self._kept_alive, self._sweep)
