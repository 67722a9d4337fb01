"""Keeping one declared tool server at hand: its connections, its tool list, and its restarts.

The control connection lists what the server offers and hears when that changes; it is opened before
anybody asks and reopened with back-off when it is lost. A server declared `stateless` serves every agent
over it. Any other server gets one connection per run, so that no state is shared between agents; for a
child process one is kept started in reserve, because starting takes long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import jsonschema_rs
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import x_mcp_header_map

from interlock.core.document import ToolServer
from interlock.core.model import Json
from interlock.errors import InterlockError, UpstreamUnavailable
from interlock.runtime import Runtime
from interlock.upstream.mcp.connection import Connection, Transport
from interlock.upstream.mcp.follows import Follows
from interlock.upstream.mcp.http import exchange_failed, open_http
from interlock.upstream.mcp.stdio import open_process

log = logging.getLogger(__name__)

_FIRST_BACKOFF, _LAST_BACKOFF = 0.25, 30.0
_SOONEST = 1.0
"""Seconds between two attempts at a server that is down, however often it is asked for."""
_PATIENCE = 60.0
_PAGES = 50
_BACKTRACK = 100_000
_LIST_TIMEOUT = 30.0
_LIST_METHODS = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}
_LIST_TTL = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a keeper is given by its process: nothing here is read from the environment by itself.

    `secret` resolves a `secret://env/NAME` reference or raises `UpstreamUnavailable`; `refusal` says why a
    server's credentials may not be used now, if so; `limit` caps one message in bytes.
    """

    runtime: Runtime
    secret: Callable[[str], str]
    refusal: Callable[[ToolServer], str | None]
    environment: Mapping[str, str]
    limit: int


@dataclass(slots=True, kw_only=True)
class Listing:
    """What a server last said it offers of one kind."""

    items: list[dict[str, Json]]
    at: float


def _no_headers() -> dict[str, dict[tuple[str, ...], str]]:
    return {}


def _no_results() -> dict[str, Callable[[object], bool]]:
    return {}


@dataclass(slots=True)
class Keeper:
    """One tool server as declared, and every connection to it."""

    document: ToolServer
    around: Surroundings
    told: Callable[[str, str, str, Mapping[str, Json]], None]
    control: Connection | None = None
    spare: Connection | None = None
    runs: dict[str, Connection] = field(default_factory=dict[str, Connection])
    every: set[Connection] = field(default_factory=set[Connection])
    follows: Follows = field(default_factory=Follows)
    listings: dict[str, Listing] = field(default_factory=dict[str, Listing])
    reason: str = "it has not been reached yet"
    closed: bool = False
    failing: bool = False
    results: dict[str, Callable[[object], bool]] = field(default_factory=_no_results)
    headers: dict[str, dict[tuple[str, ...], str]] = field(default_factory=_no_headers)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _listed: asyncio.Event = field(default_factory=asyncio.Event)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _served: bool = False
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _opening: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list["asyncio.Task[Any]"])

    @property
    def name(self) -> str:
        """The server's name in the manifest."""
        return self.document.name

    def start(self) -> None:
        """Begin to keep the control connection, now and until `close`."""
        self._tasks.append(self.around.runtime.scheduler.spawn(self._keep(), name=f"keeper {self.name}"))

    async def close(self) -> None:
        """End every connection, also those that were lost or replaced and have still to end."""
        self._stop()
        await asyncio.gather(*(each.close() for each in self.every))

    async def retire(self) -> None:
        """Take no more calls, let those that were sent answer, and end."""
        self._stop()
        await asyncio.gather(*(each.finish() for each in self.every))

    def _stop(self) -> None:
        self.closed = True
        for task in self._tasks:
            task.cancel()
        self._over.set()
        self.runs.clear()
        self.control = self.spare = None

    async def for_run(self, run: str, *, fresh: bool = False) -> Connection:
        """Return the connection that calls of `run` use. Raises `UpstreamUnavailable`.

        Credentials that have expired since it was opened are refused here too. A run whose session with the
        server was lost gets a new one, and `Connection.lost` says so until a result has told it.
        """
        if (refusal := self.around.refusal(self.document)) is not None:
            raise UpstreamUnavailable(refusal)
        if self.document.stateless:
            return await self.for_lists()
        async with self._opening.setdefault(run, asyncio.Lock()):
            held = self.runs.get(run)
            if held is not None and held.alive and not fresh and self._listed.is_set():
                return held
            await self._compare()
            if held is not None and held.alive and not fresh:
                return held
            connection = self._take_spare() or self._open(shared=False)
            self.runs[run] = connection
            if held is not None and (held.begun or held.lost):
                connection.lost = held.lost or held.reason or "the server ended it"
            if held is not None and held.alive:
                self._finish(held)
            await connection.ready()
            connection.begun = self.document.transport == "stdio" or not connection.modern
            await self.follows.again(run, connection, self.around.runtime.scheduler)
            return connection

    async def for_lists(self) -> Connection:
        """Return the control connection. Raises `UpstreamUnavailable` while there is none."""
        await self._compare()
        if self.control is None or not self.control.alive:
            raise self._unusable()
        return self.control

    def definition(self, tool: str) -> dict[str, Json] | None:
        """Return what the server last said `tool` is."""
        listing = self.listings.get("tools")
        return next((each for each in listing.items if each.get("name") == tool), None) if listing else None

    def doubt(self) -> None:
        """The server may have been away: list its tools again before it is used again."""
        if self._listed.is_set():
            self._listed.clear()
            self._over = asyncio.Event()
            self._changed.set()

    def nudge(self) -> None:
        """Somebody wants the server: if it is down, try it again soon."""
        self._wanted.set()

    async def _compare(self) -> None:
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

    def _unusable(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"The tool server {self.name!r} cannot be used: {self.reason}.",
            hint="It is restarted by itself; try again later.",
        )

    async def release(self, run: str) -> None:
        """End the connection of a run that is over, and what it followed. What was sent may still answer."""
        self._opening.pop(run, None)
        connection = self.runs.pop(run, None)
        if connection is not None and connection.flights:
            self._finish(connection)
        elif connection is not None:
            await connection.close()
        await self.follows.end(run, self.control if self.document.stateless else None)

    def _finish(self, connection: Connection) -> None:
        """End a connection that takes no more calls, as soon as those on their way have ended."""

        self.around.runtime.scheduler.spawn(connection.finish(), name=f"finish {self.name}")

    async def rest(self, run: str) -> None:
        """End the connection of a run that has been idle; should it come back, it is told so."""
        connection = self.runs.get(run)
        if connection is not None:
            connection.reason = connection.reason or "it was idle for too long"
            await connection.close()

    async def subscribe(self, run: str, uri: str) -> None:
        """Have the server tell `run` when the resource `uri` changes, until it unsubscribes or is over."""
        connection = await self.for_run(run)
        await self.follows.begin(run, uri, connection, self.around.runtime.scheduler)

    async def unsubscribe(self, run: str, uri: str) -> None:
        """End one subscription of `run`; with the last one on a connection the server is told."""
        connection = self.control if self.document.stateless else self.runs.get(run)
        await self.follows.less(run, uri, connection)

    async def listing(self, kind: str) -> list[dict[str, Json]]:
        """Return all the `tools`, `prompts`, `resources` or `resourceTemplates` the server offers now."""
        known = self.listings.get(kind)
        now = self.around.runtime.clock.monotonic()
        if known is not None and (now - known.at < _LIST_TTL or kind == "tools"):
            return known.items
        connection = await self.for_lists()
        items = await _list_all(connection, kind)
        self.listings[kind] = Listing(items=items, at=now)
        return items

    def changed(self, method: str) -> None:
        """The server says one of its lists changed: forget ours, and list tools anew."""
        kind = _LIST_METHODS.get(method)
        if kind == "resources":
            self.listings.pop("resourceTemplates", None)
        if kind == "tools":
            self._changed.set()
        elif kind is not None:
            self.listings.pop(kind, None)

    def _take_spare(self) -> Connection | None:
        spare, self.spare = self.spare, None
        if self.document.transport == "stdio" and not self.closed:
            self.spare = self._open(shared=False)
        return spare if spare is not None and not spare.ended.is_set() else None

    def _open(self, *, shared: bool) -> Connection:
        if self.closed:
            raise UpstreamUnavailable(f"The tool server {self.name!r} is not used any more.")

        async def notified(method: str, params: Mapping[str, Json]) -> None:
            self.changed(method)
            if method == "notifications/resources/updated":
                uri = str(params.get("uri"))
                for run in self.follows.runs(uri):
                    if connection is (self.control if self.document.stateless else self.runs.get(run)):
                        self.told(self.name, run, method, params)
                return
            run = next((run for run, each in self.runs.items() if each is connection), "")
            self.told(self.name, run, method, params)

        connection = Connection(
            server=self.name,
            transport=self._transport(),
            shared=shared,
            headers=self.headers,
            notified=notified,
            runtime=self.around.runtime,
            gone=self.every.discard,
        )
        self.every.add(connection)
        return connection

    def _transport(self) -> Transport:
        document, around = self.document, self.around

        def open_(ended: Callable[[str], None]) -> AbstractAsyncContextManager[tuple[Any, Any]]:
            if (refusal := around.refusal(document)) is not None:
                raise UpstreamUnavailable(refusal)
            credentials = document.credentials
            if document.transport == "stdio":
                environment = {**around.environment, **_resolved(credentials.env, around.secret)}
                return open_process(
                    document.command, environment=environment, limit=around.limit, ended=ended
                )
            headers = _resolved(credentials.headers, around.secret)
            return open_http(document.url or "", headers=headers, limit=around.limit)

        return open_

    async def _keep(self) -> None:
        backoff, scheduler = _FIRST_BACKOFF, self.around.runtime.scheduler
        while not self.closed:
            started = self.around.runtime.clock.monotonic()
            self._wanted.clear()
            self._served = False
            self.control = connection = self._open(shared=self.document.stateless)
            try:
                await self._serve(connection)
            except (InterlockError, MCPError, TimeoutError) as error:
                self._failed(connection.reason or _said(error))
            scheduler.spawn(connection.close(), name=f"close {self.name}")
            if self.around.runtime.clock.monotonic() - started > _LAST_BACKOFF:
                backoff = _FIRST_BACKOFF
            soonest = min(backoff, _SOONEST)
            await scheduler.sleep(soonest)
            await _first(scheduler.sleep(backoff - soonest), self._wanted.wait())
            backoff = min(backoff * 2, _LAST_BACKOFF)

    def _failed(self, reason: str) -> None:
        """The control connection is lost. Who waits hears why, or of the next attempt if it had served."""
        self.failing, self.reason = True, reason
        log.warning("tool server %s: %s", self.name, reason)
        self._listed.clear()
        over = self._over
        if not self._served or over.is_set():
            self._over = asyncio.Event()
        if not self._served:
            over.set()
        self.told(self.name, "", "interlock/lost", {})

    async def _serve(self, connection: Connection) -> None:
        """List the tools now and whenever they change, until the connection is lost."""
        await connection.ready()
        if self.document.stateless:
            for run in self.follows.every:
                await self.follows.again(run, connection, self.around.runtime.scheduler)
        if not self.document.stateless and self.document.transport == "stdio" and self.spare is None:
            self.spare = self._open(shared=False)
        listening = self.around.runtime.scheduler.spawn(
            self._listen(connection), name=f"changes of {self.name}"
        )
        try:
            while connection.alive:
                self._changed.clear()
                tools = await _list_all(connection, "tools")
                self.results = _result_checks(tools)
                self.headers.clear()
                self.headers.update(
                    (str(each.get("name")), x_mcp_header_map(each.get("inputSchema"))) for each in tools
                )
                self.listings["tools"] = Listing(items=tools, at=self.around.runtime.clock.monotonic())
                self.told(self.name, "", "interlock/listed", {})
                self.failing = False
                self._served = True
                self._listed.set()
                self._over.set()
                again = self.around.runtime.scheduler.sleep(_LIST_TTL)
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


def _result_checks(tools: list[dict[str, Json]]) -> dict[str, Callable[[object], bool]]:
    """Compile the result schemas that can be compiled; nothing is fetched, no pattern backtracks for long."""
    checks: dict[str, Callable[[object], bool]] = {}
    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK)
    for tool in tools:
        schema = tool.get("outputSchema")
        if not isinstance(schema, dict):
            continue
        with suppress(ValueError, TypeError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
            validator = jsonschema_rs.validator_for(
                cast("dict[str, Any]", schema), retriever=_no_remote, pattern_options=options
            )
            checks[str(tool.get("name"))] = validator.is_valid
    return checks


def _no_remote(uri: str) -> Json:
    raise ValueError(f"a schema may not refer to {uri[:200]}")


async def _list_all(connection: Connection, kind: str) -> list[dict[str, Json]]:
    """Walk the pages of one list; a server that never ends is cut off."""
    if not _offers(connection, kind):
        return []
    method = "resources/templates/list" if kind == "resourceTemplates" else f"{kind}/list"
    items: list[dict[str, Json]] = []
    params: dict[str, Json] = {}
    for _ in range(_PAGES):
        page = await connection.request(method, params, timeout=_LIST_TIMEOUT)
        items += page.get(kind) or []
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str) or cursor == params.get("cursor"):
            break
        params = {"cursor": cursor}
    return items


def _offers(connection: Connection, kind: str) -> bool:
    offered = connection.capabilities
    match kind:
        case "tools":
            return offered.tools is not None
        case "prompts":
            return offered.prompts is not None
        case _:
            return offered.resources is not None


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


def _resolved(values: Mapping[str, str], secret: Callable[[str], str]) -> dict[str, str]:
    return {name: secret(value) if value.startswith("secret://") else value for name, value in values.items()}
