"""One declared tool server at hand: its control connection and the connections of the runs that use it.

A server declared `stateless` serves every agent over the control connection. Any other server gets one
connection per run, so that no state is shared between agents; for a child process one is kept started in
reserve, because starting takes long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from interlock.core.document.tool import ToolServer
from interlock.core.model import Json
from interlock.errors import UpstreamUnavailable
from interlock.upstream.mcp.connection import Connection
from interlock.upstream.mcp.control import Control
from interlock.upstream.mcp.follows import Follows
from interlock.upstream.mcp.offer import Listing, Offer, list_all
from interlock.upstream.mcp.transport import Surroundings, transport_to

Told = Callable[[str, str, str, Mapping[str, Json]], None]
"""Called with server, run (or ""), method and parameters of what a server says."""


class Keeper:
    """One tool server as declared, and every connection to it. `told` is told of what the server says."""

    def __init__(self, document: ToolServer, around: Surroundings, told: Told) -> None:
        self.document = document
        self.offer = Offer()
        self.runs: dict[str, Connection] = {}
        self.control = Control(
            name=document.name,
            runtime=around.runtime,
            offer=self.offer,
            open_=lambda: self._open(shared=document.stateless),
            begin=self._begun,
            tell=lambda method: told(document.name, "", method, {}),
        )
        self._around = around
        self._told = told
        self._follows = Follows()
        self._spare: Connection | None = None
        self._every: set[Connection] = set()
        self._opening: dict[str, asyncio.Lock] = {}
        self._closed = False
        self._keeping: asyncio.Task[Any] | None = None

    @property
    def name(self) -> str:
        """The server's name in the manifest."""
        return self.document.name

    def start(self) -> None:
        """Begin to keep the control connection, now and until `close`."""
        self._keeping = self._around.runtime.scheduler.spawn(self.control.run(), name=f"keeper {self.name}")

    async def close(self) -> None:
        """End every connection, also those that were lost or replaced and have still to end."""
        self._stop()
        await asyncio.gather(*(each.close() for each in self._every))

    async def retire(self) -> None:
        """Take no more calls, let those that were sent answer, and end."""
        self._stop()
        await asyncio.gather(*(each.finish() for each in self._every))

    async def for_run(self, run: str, *, fresh: bool = False) -> Connection:
        """Return the connection that calls of `run` use. Raises `UpstreamUnavailable`.

        Credentials that have expired since it was opened are refused here too. A run whose session with the
        server was lost gets a new one, and `Connection.lost` says so until a result has told it.
        """
        if (refusal := self._around.refusal(self.document)) is not None:
            raise UpstreamUnavailable(refusal)
        if self.document.stateless:
            return await self.control.usable()
        async with self._opening.setdefault(run, asyncio.Lock()):
            held = self.runs.get(run)
            if held is not None and held.alive and not fresh and self.control.compared:
                return held
            await self.control.compare()
            if held is not None and held.alive and not fresh:
                return held
            connection = self.runs[run] = self._take_spare() or self._open(shared=False)
            if held is not None:
                self._replace(held, connection)
            await connection.ready()
            connection.begun = self.document.transport == "stdio" or not connection.modern
            await self._follows.again(run, connection, self._around.runtime.scheduler)
            return connection

    async def release(self, run: str) -> None:
        """End the connection of a run that is over, and what it followed. What was sent may still answer."""
        self._opening.pop(run, None)
        connection = self.runs.pop(run, None)
        if connection is not None and connection.flights:
            self._finish(connection)
        elif connection is not None:
            await connection.close()
        await self._follows.end(run, self.control.connection if self.document.stateless else None)

    async def rest(self, run: str) -> None:
        """End the connection of a run that has been idle; should it come back, it is told so."""
        connection = self.runs.get(run)
        if connection is not None:
            connection.reason = connection.reason or "it was idle for too long"
            await connection.close()

    async def subscribe(self, run: str, uri: str) -> None:
        """Have the server tell `run` when the resource `uri` changes, until it unsubscribes or is over."""
        connection = await self.for_run(run)
        await self._follows.begin(run, uri, connection, self._around.runtime.scheduler)

    async def unsubscribe(self, run: str, uri: str) -> None:
        """End one subscription of `run`; with the last one on a connection the server is told."""
        await self._follows.less(run, uri, self._used_by(run))

    async def listing(self, kind: str) -> list[dict[str, Json]]:
        """Return all the `tools`, `prompts`, `resources` or `resourceTemplates` the server offers now."""
        now = self._around.runtime.clock.monotonic()
        known = self.offer.known(kind, now)
        if known is not None:
            return known
        items = await list_all(await self.control.usable(), kind)
        self.offer.listings[kind] = Listing(items=items, at=now)
        return items

    def _stop(self) -> None:
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
        self.control.close()
        self.runs.clear()
        self._spare = None

    def _replace(self, held: Connection, connection: Connection) -> None:
        if held.begun or held.lost:
            connection.lost = held.lost or held.reason or "the server ended it"
        if held.alive:
            self._finish(held)

    def _finish(self, connection: Connection) -> None:
        """End a connection that takes no more calls, as soon as those on their way have ended."""
        self._around.runtime.scheduler.spawn(connection.finish(), name=f"finish {self.name}")

    async def _begun(self, connection: Connection) -> None:
        """The control connection can be used: ask it for what runs follow, or start one in reserve."""
        if self.document.stateless:
            for run in self._follows.every:
                await self._follows.again(run, connection, self._around.runtime.scheduler)
        elif self.document.transport == "stdio" and self._spare is None:
            self._spare = self._open(shared=False)

    def _take_spare(self) -> Connection | None:
        spare, self._spare = self._spare, None
        if self.document.transport == "stdio" and not self._closed:
            self._spare = self._open(shared=False)
        return spare if spare is not None and not spare.ended.is_set() else None

    def _open(self, *, shared: bool) -> Connection:
        if self._closed:
            raise UpstreamUnavailable(f"The tool server {self.name!r} is not used any more.")

        async def notified(method: str, params: Mapping[str, Json]) -> None:
            self._notified(connection, method, params)

        connection = Connection(
            server=self.name,
            transport=transport_to(self.document, self._around),
            shared=shared,
            headers=self.offer.headers,
            notified=notified,
            runtime=self._around.runtime,
            gone=self._every.discard,
        )
        self._every.add(connection)
        return connection

    def _notified(self, connection: Connection, method: str, params: Mapping[str, Json]) -> None:
        """Hand on what a server says: of a resource to the runs that follow it, else to the one it is for."""
        if self.offer.outdated(method):
            self.control.changed()
        if method == "notifications/resources/updated":
            for run in self._follows.runs(str(params.get("uri"))):
                if connection is self._used_by(run):
                    self._told(self.name, run, method, params)
            return
        run = next((run for run, each in self.runs.items() if each is connection), "")
        self._told(self.name, run, method, params)

    def _used_by(self, run: str) -> Connection | None:
        return self.control.connection if self.document.stateless else self.runs.get(run)
