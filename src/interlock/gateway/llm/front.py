"""The door of the LLM gateway: raw ASGI, a dictionary on the path, no framework (B1, B5).

A run token stands where the vendors' SDKs put an API key. What is wrong with a request is said in the
caller's own wire format. While a call runs, a watcher waits for the caller to leave: `send` would not tell.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

from interlock.core.model import Principal, WireFamily
from interlock.errors import RunHalted, TokenInvalid, UpstreamError
from interlock.gateway.llm.errors import Fault, Refused, faulty, refused, stream_error
from interlock.gateway.llm.header import comment, encoded, foreign, inward, outward, own
from interlock.gateway.llm.listing import listed
from interlock.model_call.answer import Told, halted
from interlock.model_call.engine import ModelCall
from interlock.model_call.life import ModelRequest
from interlock.runtime import Scheduler
from interlock.upstream.llm.body import Malformed, read
from interlock.upstream.llm.surface import MODELS, SURFACES, Surface
from interlock.upstream.llm.transport import RawHeaders
from interlock.wiring import WiredModels

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
_BODY_SECONDS = 60.0
"""How long a body may take to arrive."""

_SOON = 0.02
"""Seconds of a round: from its second on, somebody waits for the caller to leave."""

_HOST = re.compile(r"[A-Za-z0-9.-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_ANTHROPIC_ONLY = "anthropic-version"
_AUTHORIZATION = b"authorization"
_JSON = b"application/json"
_KEYS = frozenset({_AUTHORIZATION, b"x-api-key"})


class LlmGateway:
    """The ASGI application of the model paths."""

    def __init__(self, wired: WiredModels, *, body_seconds: float = _BODY_SECONDS) -> None:
        self._wired = wired
        self._body_seconds = body_seconds
        self._watchers = _Watchers(wired.runtime.scheduler)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        surface = _surface(scope["path"])
        family = _family(surface, headers)
        try:
            if problem := self._wired.follow.problem:
                return await _send(send, faulty(family, Fault.BEHIND, problem))
            principal = await self._wired.authenticator.recognise(_token(scope["headers"]))
            if surface is None:
                return await _send(send, faulty(family, Fault.NO_PATH, _SERVED))
            if surface is MODELS:
                return await self._list(scope, send, principal, family)
            await self._call(scope, headers, receive, send, surface, principal)
        except _Wrong as wrong:
            await _send(send, faulty(family, wrong.fault, str(wrong)))
        except RunHalted as error:
            await _send(send, refused(family, halted(error.kill, error.message), base=self._base(scope)))
        except TokenInvalid as error:
            await _send(send, faulty(family, Fault.NO_TOKEN, f"{error.message} {error.hint}".strip()))

    async def _list(self, scope: Any, send: Send, principal: Principal, family: WireFamily) -> None:
        if scope["method"] != "GET":
            raise _Wrong(Fault.METHOD, "This path is read with GET.")
        name = scope["path"].removeprefix(MODELS.path).strip("/")
        found = listed(self._wired.models.in_scope(principal, family), family, name)
        if found is None:
            raise _Wrong(Fault.NO_PATH, "The workflow does not have this model in scope.")
        head = (("content-type", "application/json"),)
        await _send(send, Refused(status=200, headers=head, body=found))

    async def _call(
        self,
        scope: Any,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        surface: Surface,
        principal: Principal,
    ) -> None:
        """Read a model call and carry it out."""
        if scope["method"] != "POST":
            raise _Wrong(Fault.METHOD, "This path is called with POST.")
        limit = self._wired.settings.max_model_body
        raw = await _InTime(_body(headers, receive, limit), self._body_seconds)
        try:
            body = read(raw, surface)
        except Malformed as error:
            raise _Wrong(Fault.MALFORMED, str(error)) from None
        request = ModelRequest(
            principal=principal,
            surface=surface,
            body=body,
            headers=outward(scope["headers"]),
            query=scope["query_string"].decode("latin-1"),
        )
        await self._carry_out(self._wired.models.begin(request), scope, receive, send)

    async def _carry_out(self, call: ModelCall, scope: Any, receive: Receive, send: Send) -> None:
        """Run a call while a watcher waits for its caller to leave."""
        request, wire = call.request, _Wire(send, call.request.surface.family)
        watcher = _Watcher(receive, call.leave)
        self._watchers.add(watcher)
        try:
            refusal = await call.run(wire)
        except Exception:
            log.exception("a model call failed")
            await wire.fail(request.surface.family)
            return
        finally:
            self._watchers.stop(watcher)
        if refusal is not None:
            said = refused(request.surface.family, refusal, base=self._base(scope))
            told = Told(call=call.id, run=request.principal.run, requested=request.body.model)
            await _send(send, said, own(told))

    def _base(self, scope: Any) -> str:
        """Return the address that people reach us at, else the one that the caller used.

        The local socket has none, nor has a caller who does not say: there a link is a path alone.
        """
        public = self._wired.settings.public_url.rstrip("/")
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if public or (scope.get("server") or ("", None))[1] is None or not _HOST.fullmatch(host):
            return public
        return f"{scope['scheme']}://{host}"


class _Watcher:
    """Waits for a caller to go away, once it has begun."""

    __slots__ = ("left", "receive", "task")

    def __init__(self, receive: Receive, left: Callable[[], None]) -> None:
        self.receive = receive
        self.left = left
        self.task: asyncio.Task[None] | None = None


class _Watchers:
    """Begins to watch the callers of those calls that last: most have ended by then, which spares a task.

    One timer goes round for all of them, as long as there is somebody to watch.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._fresh: set[_Watcher] = set()
        self._older: set[_Watcher] = set()
        self._going = False

    def add(self, watcher: _Watcher) -> None:
        """Watch a caller from the second round on."""
        self._fresh.add(watcher)
        if not self._going:
            self._going = True
            asyncio.get_running_loop().call_later(_SOON, self._round)

    def stop(self, watcher: _Watcher) -> None:
        """Watch a caller no longer."""
        self._fresh.discard(watcher)
        self._older.discard(watcher)
        if watcher.task is not None:
            watcher.task.cancel()

    def _round(self) -> None:
        for each in self._older:
            each.task = self._scheduler.spawn(_gone(each.receive), name="watch a caller")
            each.task.add_done_callback(partial(_left, each.left))
        self._older, self._fresh = self._fresh, set()
        self._going = bool(self._older)
        if self._going:
            asyncio.get_running_loop().call_later(_SOON, self._round)


def _left(told: Callable[[], None], task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        told()


class _Wire:
    """The way back to one caller."""

    def __init__(self, send: Send, family: WireFamily) -> None:
        self._send = send
        self._family = family
        self._begun = False

    async def answer(self, status: int, headers: RawHeaders, told: Told, body: bytes) -> None:
        """Send a whole answer."""
        self._begun = True
        head = [*inward(headers, told), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: RawHeaders, told: Told) -> None:
        """Send the head of a stream."""
        self._begun = True
        head = inward(headers, told) + _STREAMED
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def send(self, data: bytes) -> None:
        """Send a piece of the stream at once."""
        await self._send({"type": "http.response.body", "body": foreign(data), "more_body": True})

    async def end(self, broken: UpstreamError | None = None, *, told: Told | None = None) -> None:
        """End the stream; one that its provider broke off ends with an error of the caller's format.

        What is known only now is a comment, which a reader of events leaves out.
        """
        last = b"" if broken is None else stream_error(self._family, broken.message)
        last += b"" if told is None else comment(told)
        await self._send({"type": "http.response.body", "body": last})

    async def fail(self, family: WireFamily) -> None:
        """Say that something of ours went wrong."""
        if not self._begun:
            return await _send(
                self._send, faulty(family, Fault.INTERNAL, "Interlock could not do this call.")
            )
        last = stream_error(family, "Interlock could not finish this call.")
        return await self._send({"type": "http.response.body", "body": last})


class _Wrong(Exception):
    """Something is wrong with the request itself."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


_SERVED = f"Interlock serves model calls on {', '.join(SURFACES)}; this path is not governed."
_STREAMED = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


def _surface(path: str) -> Surface | None:
    found = SURFACES.get(path)
    return MODELS if found is None and path.startswith(MODELS.path + "/") else found


def _family(surface: Surface | None, headers: dict[bytes, bytes]) -> WireFamily:
    """Return the caller's wire format: the path's own, and where both have the path, the SDK's."""
    if surface is not None and surface is not MODELS:
        return surface.family
    return WireFamily.ANTHROPIC if _ANTHROPIC_ONLY.encode() in headers else WireFamily.OPENAI


def _token(raw: RawHeaders) -> str:
    """Return the run token from where the SDKs put an API key. Raises `TokenInvalid`.

    Of two keys that disagree none counts: whoever stands before us may have believed the other one.
    """
    given: set[str] = set()
    for name, value in [each for each in raw if each[0] in _KEYS]:
        said = value.decode("latin-1")
        if name == _AUTHORIZATION:
            scheme, _, said = said.partition(" ")
            if scheme.lower() != "bearer":
                continue
        given.add(said.strip())
    given.discard("")
    if len(given) == 1:
        return given.pop()
    if given:
        raise TokenInvalid(
            "Authorization and x-api-key name different keys.", hint="Send the run token in one of them."
        )
    raise TokenInvalid(
        "Model calls need a run token in the place of the API key.",
        hint="Start the agent with: interlock run",
    )


async def _gone(receive: Receive) -> None:
    """Return when the caller has gone away."""
    while (await receive())["type"] != "http.disconnect":
        continue


class _InTime:
    """A body that arrives in time. As `asyncio.timeout`, at no cost for one that is there already."""

    def __init__(self, arriving: Coroutine[Any, Any, bytes], seconds: float) -> None:
        self._arriving = arriving
        self._seconds = seconds

    def __await__(self) -> Generator[Any, Any, bytes]:
        arriving = self._arriving
        try:
            waits_for = arriving.send(None)
        except StopIteration as done:
            return done.value
        return (yield from self._rest(waits_for))

    def _rest(self, waits_for: Any) -> Generator[Any, Any, bytes]:
        """Wait for what has begun, until the time is over."""
        task, late = asyncio.current_task(), False

        def give_up() -> None:
            nonlocal late
            late = task is not None and task.cancel()

        timer = asyncio.get_running_loop().call_later(self._seconds, give_up)
        try:
            return (yield from _resumed(self._arriving, waits_for))
        except asyncio.CancelledError:
            if not late or task is None or task.uncancel():
                raise
            said = f"The body did not arrive within {self._seconds:.0f} s. Send it at once."
            raise _Wrong(Fault.TOO_SLOW, said) from None
        finally:
            timer.cancel()


def _resumed(work: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Go on with a coroutine that was begun and waits for a future (PEP 380)."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
            step, said = work.throw, error
        else:
            step, said = work.send, sent
        try:
            waits_for = step(said)
        except StopIteration as done:
            return done.value


async def _body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Return the whole body."""
    kind = headers.get(b"content-type", _JSON)
    if kind != _JSON:
        kind = kind.partition(b";")[0].strip().lower()
    if kind != _JSON or headers.get(b"content-encoding", b"identity") != b"identity":
        raise _Wrong(Fault.MEDIA, "Send the body as application/json, not compressed.")
    said = headers.get(b"content-length", b"0")
    if not said.isdigit() or int(said) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Wrong(Fault.MALFORMED, "The body ended early.")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> _Wrong:
    return _Wrong(Fault.TOO_LARGE, f"The body is larger than {limit} bytes.")


async def _send(send: Send, said: Refused, told: RawHeaders = ()) -> None:
    headers = [*encoded(said.headers), *told, (b"content-length", b"%d" % len(said.body))]
    await send({"type": "http.response.start", "status": said.status, "headers": headers})
    await send({"type": "http.response.body", "body": said.body})
