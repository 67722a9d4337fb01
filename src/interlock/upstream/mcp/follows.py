"""Which runs follow which resources of one tool server, and what the server was asked for it.

The server is asked once per connection and resource: the first follower subscribes, the last one that
leaves unsubscribes. A modern server is listened to instead, and the listening ends. What is followed
outlives a connection: it is asked for again on the next one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError

from interlock.errors import InterlockError
from interlock.runtime import Scheduler
from interlock.upstream.mcp.connection import Connection

_TIMEOUT = 30.0


def _counter() -> Counter[tuple[str, str]]:
    return Counter()


@dataclass(slots=True)
class Follows:
    """The followers of one tool server, counted by run and resource."""

    _counts: Counter[tuple[str, str]] = field(default_factory=_counter)
    _asked: dict[tuple[Connection, str], asyncio.Task[Any] | None] = field(
        default_factory=dict[tuple[Connection, str], "asyncio.Task[Any] | None"]
    )

    @property
    def every(self) -> set[str]:
        """Every run that follows something."""
        return {run for run, _ in self._counts}

    def runs(self, uri: str) -> list[str]:
        """Return the runs that follow `uri`."""
        return [run for run, followed in self._counts if followed == uri]

    async def begin(self, run: str, uri: str, connection: Connection, scheduler: Scheduler) -> None:
        """Count one follower more. Raises `MCPError` when the server refuses the first one."""
        self._counts[run, uri] += 1
        try:
            await self._ask(connection, uri, scheduler)
        except BaseException:
            self._drop(run, uri)
            raise

    async def less(self, run: str, uri: str, connection: Connection | None) -> None:
        """Count one follower less, and tell the server when it was the connection's last."""
        if self._drop(run, uri) and connection is not None:
            await self._leave(connection, uri)

    async def end(self, run: str, connection: Connection | None) -> None:
        """A run is over: it follows nothing any more. `connection` is given if others share it."""
        for uri in [uri for known, uri in self._counts if known == run]:
            del self._counts[run, uri]
            if connection is not None and not self.runs(uri):
                await self._leave(connection, uri)

    async def again(self, run: str, connection: Connection, scheduler: Scheduler) -> None:
        """Ask a new connection for everything that `run` follows; what it refuses is not heard of."""
        for uri in [uri for known, uri in self._counts if known == run]:
            with suppress(MCPError, InterlockError, TimeoutError):
                await self._ask(connection, uri, scheduler)

    def _drop(self, run: str, uri: str) -> bool:
        """Count one less; whether the connection's last follower of `uri` is gone."""
        if self._counts[run, uri] > 1:
            self._counts[run, uri] -= 1
            return False
        del self._counts[run, uri]
        return True

    async def _ask(self, connection: Connection, uri: str, scheduler: Scheduler) -> None:
        for known in [each for each in self._asked if not each[0].alive]:
            del self._asked[known]
        if (connection, uri) in self._asked:
            return
        self._asked[connection, uri] = None
        if connection.modern:
            work = _hear(connection, uri)
            self._asked[connection, uri] = scheduler.spawn(work, name=f"updates of {connection.server}")
            return
        try:
            await connection.request("resources/subscribe", {"uri": uri}, timeout=_TIMEOUT)
        except BaseException:
            self._asked.pop((connection, uri), None)
            raise

    async def _leave(self, connection: Connection, uri: str) -> None:
        if connection.shared and self.runs(uri):
            return
        if (connection, uri) not in self._asked:
            return
        listening = self._asked.pop((connection, uri))
        if listening is not None:
            listening.cancel()
        elif connection.alive:
            with suppress(MCPError, InterlockError, TimeoutError):
                await connection.request("resources/unsubscribe", {"uri": uri}, timeout=_TIMEOUT)


async def _hear(connection: Connection, uri: str) -> None:
    with suppress(MCPError, SubscriptionLost, TimeoutError, InterlockError):
        async with listen(connection.session, resource_subscriptions=[uri]) as subscription:
            async for _ in subscription:
                pass  # each event also reaches the connection's message handler
