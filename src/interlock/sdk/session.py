"""One run of a program, spoken over HTTP alone: propose calls, collect outcomes, serve its functions.

Everything here runs on the SDK's own loop. A function is run by whoever called it (`Call.run`); one that
nobody here called, such as an undo, is run beside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from interlock.core.model import Json
from interlock.errors import InterlockError, NotFound, NotPermitted, StoreUnavailable
from interlock.runtime import Runtime
from interlock.sdk.endpoint import raise_for_error
from interlock.sdk.function import Ended, Function
from interlock.sdk.grant import RunGrant

log = logging.getLogger(__name__)

LOOK = 30.0
"""Seconds that one request waits for news at the most."""
_AGAIN = 0.5
_TRIES = 5
WAITING = frozenset({"waiting_approval", "scheduled", "approved", "parked", "executing", "retry"})
"""The states in which a call has no outcome yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One decided call that this program is to run."""

    id: str
    tool: str
    arguments: Mapping[str, Json]
    action: str
    call: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class Call:
    """One call that the program waits for. `run` runs its function where it was called from."""

    id: str
    tool: str
    arguments: Mapping[str, Json]
    key: str
    run: Callable[[Ticket], Awaitable[Ended]] | None = None
    ended: Ended | None = None


@dataclass(slots=True, kw_only=True)
class Session:
    """The talking side of one run. `grant` is None where a launcher holds the run's token."""

    client: httpx2.AsyncClient
    runtime: Runtime
    grant: RunGrant | None = None
    _calls: dict[str, Call] = field(default_factory=dict[str, Call])
    _functions: dict[str, dict[str, Function]] = field(default_factory=dict[str, dict[str, Function]])
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])

    async def propose(self, call: Call, *, wait: float | None) -> dict[str, Any]:
        """Propose a call and return the answer, after `wait` seconds at most (None: as long as it takes)."""
        clock = self.runtime.clock
        end = None if wait is None else clock.monotonic() + wait
        self._calls[call.id] = call
        try:
            answer = await self._proposed(call, _left(end, clock.monotonic()))
            while answer.get("state") in WAITING:
                left = _left(end, clock.monotonic())
                if left <= 0:
                    break
                answer = await self._get(f"/api/v1/actions/{answer['action']}/outcome", left)
            return answer
        finally:
            del self._calls[call.id]

    async def offer(self, functions: Iterable[Function]) -> None:
        """Offer functions, and serve the calls of them from now on. Raises `InterlockError`."""
        servers: set[str] = set()
        for each in functions:
            known = self._functions.setdefault(each.server, {})
            if known.get(each.name) != each:
                known[each.name] = each
                servers.add(each.server)
        for server in servers:
            try:
                ticket = await self._take(server, wait=0.0)
            except (NotFound, NotPermitted) as error:  # the decision on a call of it will say so
                log.debug("functions of %s are not offered: %s", server, error.message)
                continue
            if ticket is not None:
                self._begin(server, ticket)
            if server not in self._tasks:
                work = self._serve(server)
                self._tasks[server] = self.runtime.scheduler.spawn(work, name=f"functions of {server}")

    async def keep(self) -> None:
        """Renew the run's token for as long as it can be renewed."""
        grant = self.grant
        while grant is not None:
            await self.runtime.scheduler.sleep(max(grant.due_in, _AGAIN))
            try:
                await grant.renew()
            except StoreUnavailable as error:
                log.warning("the run token could not be renewed yet: %s", error.message)
            except InterlockError as error:
                log.warning("the run token is not renewed any more: %s", error.message)
                return

    async def close(self) -> None:
        """Serve no more functions."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _proposed(self, call: Call, wait: float) -> dict[str, Any]:
        body = {"tool": call.tool, "arguments": dict(call.arguments), "wait": wait, "call": call.id}
        answer = await self._send("POST", "/api/v1/actions", body, {"Idempotency-Key": call.key})
        return answer or {}

    async def _get(self, path: str, wait: float) -> dict[str, Any]:
        answer = await self._send("GET", f"{path}?wait={wait:.3f}")
        return answer or {}

    async def _serve(self, server: str) -> None:
        """Take calls of a server's functions, and run each beside the others."""
        while True:
            try:
                ticket = await self._take(server, wait=LOOK)
            except StoreUnavailable as error:
                log.warning("no calls can be taken for %s yet: %s", server, error.message)
                await self.runtime.scheduler.sleep(_AGAIN)
                continue
            except InterlockError as error:
                log.warning("no calls are taken for %s any more: %s", server, error.message)
                return
            if ticket is not None:
                self._begin(server, ticket)

    def _begin(self, server: str, ticket: Ticket) -> None:
        self.runtime.scheduler.spawn(self._run(server, ticket), name=f"function {ticket.tool}")

    async def _take(self, server: str, *, wait: float) -> Ticket | None:
        offered = [each.definition | {"undo": each.undo} for each in self._functions[server].values()]
        path = f"/api/v1/functions/{server}/take"
        found = await self._send("POST", path, {"functions": offered, "wait": wait})
        return None if found is None else Ticket(**found)

    async def _run(self, server: str, ticket: Ticket) -> None:
        """Run one function between saying that it starts and saying how it ended."""
        path = f"/api/v1/functions/{server}/calls/{ticket.id}"
        try:
            await self._send("POST", f"{path}/start", {})
        except InterlockError as error:
            log.warning("a call of %s was not started: %s", ticket.tool, error.message)
            return
        call = self._calls.get(ticket.call)
        try:
            ended = await (
                call.run(ticket) if call is not None and call.run else self._beside(server, ticket)
            )
        except asyncio.CancelledError as error:
            ended = Ended(how="unknown", error=error)
        if call is not None:
            call.ended = ended
        try:
            await self._send("POST", f"{path}/finish", _finished(ended))
        except InterlockError as error:
            log.error("the outcome of %s could not be told: %s", ticket.action or ticket.tool, error.message)

    async def _beside(self, server: str, ticket: Ticket) -> Ended:
        """Run a function that nobody here called."""
        function = self._functions[server].get(f"{server}.{ticket.tool}")
        if function is None:
            return Ended(how="failed", error=LookupError(f"this program has no function {ticket.tool}"))
        if function.asynchronous:
            return await function.run_async(ticket.arguments)
        return await asyncio.to_thread(function.run, ticket.arguments)

    async def _send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Send a request that may be repeated, and return its JSON; None where there is none.

        An answer that tells of a call is returned whatever its status. Raises `InterlockError`.
        """
        for left in reversed(range(_TRIES)):
            sent = dict(headers or {})
            if self.grant is not None:
                sent["Authorization"] = f"Bearer {self.grant.token}"
            try:
                response = await self.client.request(method, path, json=body, headers=sent)
            except httpx2.TransportError as error:
                if not left:
                    said = f"Interlock cannot be reached: {type(error).__name__}."
                    raise StoreUnavailable(said, hint="interlock doctor") from error
                await self.runtime.scheduler.sleep(_AGAIN)
                continue
            return _answer(response)
        raise AssertionError  # the last try returned or raised


def _answer(response: httpx2.Response) -> dict[str, Any] | None:
    """Return what was answered. A refusal of a call is an answer; an error is raised."""
    if response.status_code == 204:
        return None
    body: dict[str, Any] = {}
    with suppress(ValueError):
        body = response.json()
    if "state" not in body:
        raise_for_error(response)
    return body


def _finished(ended: Ended) -> dict[str, Any]:
    return {"ended": ended.how, "result": plain(ended.value), "message": ended.message}


def plain(value: Any) -> Json:
    """Return a value as JSON; what has no equal there is told by its type alone."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return f"<{type(value).__name__}>"


def _left(end: float | None, now: float) -> float:
    return LOOK if end is None else min(max(end - now, 0.0), LOOK)
