"""The control connection to one tool server: it lists the tools and hears when they change.

It is opened before anybody asks, and reopened with back-off when it is lost. Until a server that was lost
has listed its tools again, no call goes to it: it could have come back as another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError

from interlock.errors import InterlockError, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.mcp.connection import Connection
from interlock.upstream.mcp.http import exchange_failed
from interlock.upstream.mcp.offer import LIST_TTL, Offer, list_all

log = logging.getLogger(__name__)

_FIRST_BACKOFF, _LAST_BACKOFF = 0.25, 30.0
_SOONEST = 1.0
"""Seconds between two attempts at a server that is down, however often it is asked for."""
_PATIENCE = 60.0


@dataclass(slots=True, kw_only=True)
class Control:
    """Keeps one connection to the server `name`, and with it what the server offers.

    `open_` makes a new connection, `begin` is awaited whenever one can be used, `tell` is told of a server
    that was `lost` or has `listed` its tools. `reason` says why the server cannot be used, if it cannot;
    `failing` that the last attempt at it failed.
    """

    name: str
    runtime: Runtime
    offer: Offer
    open_: Callable[[], Connection]
    begin: Callable[[Connection], Awaitable[None]]
    tell: Callable[[str], None]
    connection: Connection | None = None
    reason: str = "it has not been reached yet"
    failing: bool = False
    _closed: bool = False
    _served: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _listed: asyncio.Event = field(default_factory=asyncio.Event)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def compared(self) -> bool:
        """Whether the server has listed its tools since it was last lost or doubted."""
        return self._listed.is_set()

    @property
    def connected(self) -> Connection | None:
        """The connection, if a request can be sent over it now."""
        return self.connection if self.connection is not None and self.connection.alive else None

    async def usable(self) -> Connection:
        """Return the connection. Raises `UpstreamUnavailable` while there is none."""
        await self.compare()
        connection = self.connected
        if connection is None:
            raise self._unusable()
        return connection

    async def compare(self) -> None:
        """See to it that a server that was lost has listed its tools again, trying it now if it is down.

        Raises `UpstreamUnavailable` when it cannot be used.
        """
        if self._listed.is_set():
            return
        self.nudge()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), _PATIENCE)
        if not self._listed.is_set():
            raise self._unusable()

    def doubt(self) -> None:
        """The server may have been away: list its tools again before it is used again."""
        if self._listed.is_set():
            self._listed.clear()
            self._over = asyncio.Event()
            self._changed.set()

    def nudge(self) -> None:
        """Somebody wants the server: if it is down, try it again soon."""
        self._wanted.set()

    def changed(self) -> None:
        """The server says that its tools changed: list them anew."""
        self._changed.set()

    def close(self) -> None:
        """Let nobody wait any longer. The connection itself is its owner's to end."""
        self._closed = True
        self._over.set()
        self.connection = None

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        backoff, scheduler = _FIRST_BACKOFF, self.runtime.scheduler
        while not self._closed:
            started = self.runtime.clock.monotonic()
            self._wanted.clear()
            self._served = False
            self.connection = connection = self.open_()
            try:
                await self._serve(connection)
            except (InterlockError, MCPError, TimeoutError) as error:
                self._failed(connection.reason or _said(error))
            scheduler.spawn(connection.close(), name=f"close {self.name}")
            if self.runtime.clock.monotonic() - started > _LAST_BACKOFF:
                backoff = _FIRST_BACKOFF
            soonest = min(backoff, _SOONEST)
            await scheduler.sleep(soonest)
            await _first(scheduler.sleep(backoff - soonest), self._wanted.wait())
            backoff = min(backoff * 2, _LAST_BACKOFF)

    async def _serve(self, connection: Connection) -> None:
        """List the tools now and whenever they change, until the connection is lost."""
        await connection.ready()
        await self.begin(connection)
        listening = self.runtime.scheduler.spawn(self._listen(connection), name=f"changes of {self.name}")
        try:
            while connection.alive:
                self._changed.clear()
                tools = await list_all(connection, "tools")
                self.offer.learn(tools, self.runtime.clock.monotonic())
                self.tell("interlock/listed")
                self.failing = False
                self._served = True
                self._listed.set()
                self._over.set()
                again = self.runtime.scheduler.sleep(LIST_TTL)
                await _first(self._changed.wait(), connection.ended.wait(), again)
        finally:
            listening.cancel()
        raise UpstreamUnavailable(f"The tool server {self.name!r} was lost: {connection.reason}.")

    async def _listen(self, connection: Connection) -> None:
        """Hear of changes from a modern server, which tells only who listens."""
        if not connection.modern:
            return
        offered = connection.capabilities
        try:
            async with listen(
                connection.session,
                tools_list_changed=bool(offered.tools and offered.tools.list_changed),
                prompts_list_changed=bool(offered.prompts and offered.prompts.list_changed),
                resources_list_changed=bool(offered.resources and offered.resources.list_changed),
            ) as subscription:
                async for _ in subscription:
                    pass  # each event also reaches the connection's message handler
        except MCPError as error:
            log.debug("tool server %s does not tell of changes: %s", self.name, error.error.code)
        except (SubscriptionLost, TimeoutError, InterlockError):
            self.doubt()

    def _failed(self, reason: str) -> None:
        """The connection is lost. Who waits hears why, or of the next attempt if it had served."""
        self.failing, self.reason = True, reason
        log.warning("tool server %s: %s", self.name, reason)
        self._listed.clear()
        over = self._over
        if not self._served or over.is_set():
            self._over = asyncio.Event()
        if not self._served:
            over.set()
        self.tell("interlock/lost")

    def _unusable(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"The tool server {self.name!r} cannot be used: {self.reason}.",
            hint="It is restarted by itself; try again later.",
        )


def _said(error: InterlockError | MCPError | TimeoutError) -> str:
    """Return what went wrong in a few words, none of them a server's."""
    if isinstance(error, MCPError):
        failed = exchange_failed(error.error.data, error.error.message)
        return f"it {failed.message}" if failed else f"it answered with error {error.error.code}"
    return str(error) or "it did not answer in time"


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
