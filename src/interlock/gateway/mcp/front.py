"""The door of the MCP gateway: a raw ASGI application that lets nothing in that it does not understand.

In order: Host and Origin, the bearer run token, the size of the body, and its form (one JSON object,
no duplicate keys, no deep nesting). What passes is handed to the SDK's server; a legacy session belongs to
the run that opened it, and no other run's token can use it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from interlock.core.canonical import NotCanonical, parse_object
from interlock.core.model import Json
from interlock.errors import TokenInvalid
from interlock.gateway.mcp.caller import PRINCIPAL
from interlock.gateway.mcp.server import McpServer
from interlock.store.journal import JournalEntry
from interlock.wiring import Wired

METADATA = "/.well-known/oauth-protected-resource"
_LOOPBACK = {"127.0.0.1", "localhost", "::1", "interlock"}
_ANYWHERE = {"", "0.0.0.0", "::"}
_OWNERS = 4_096
_BODY_SECONDS = 30.0
_ENDING_SECONDS = 1.0
_REFUSED = {400: "malformed", 404: "unknown_session", 408: "too_slow", 413: "too_large"}
_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600


class McpGateway:
    """The ASGI application of `/mcp` and of the protected-resource metadata (RFC 9728).

    `body_seconds` is how long a request's body may take to arrive, in seconds.
    """

    def __init__(self, wired: Wired, *, path: str = "/mcp", body_seconds: float = _BODY_SECONDS) -> None:
        self._wired = wired
        self._path = path
        self._body_seconds = body_seconds
        self._server = McpServer(wired)
        self._owners: dict[str, AuthenticatedUser] = {}
        self._under_way: dict[object, asyncio.Event] = {}
        self._open = wired.settings.host in _ANYWHERE
        self._hosts = {*_LOOPBACK, wired.settings.host}

    async def start(self) -> None:
        """Begin to serve. Call it once, before the first request."""
        await self._server.start()

    async def close(self) -> None:
        """End every session."""
        await self._server.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        headers = _headers(scope["headers"])
        scope = {**scope, "headers": list(headers.items())}
        if not self._welcome(headers):
            return await _refuse(send, 403, _INVALID_REQUEST, "This Host or Origin is not served here.")
        if scope["path"].startswith(METADATA):
            return await self._metadata(scope, headers, send)
        try:
            scope[PRINCIPAL] = principal = await self._wired.authenticator.recognise(_bearer(headers))
        except TokenInvalid as error:
            return await self._unauthorized(scope, headers, send, error)
        scope["user"] = self._owner(principal.run)
        send = self._watched(send, principal.run)
        if scope["method"] != "POST":
            return await self._server(scope, receive, send)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _read(receive, headers, self._wired.settings.max_body)
        except TimeoutError:
            said = f"The body did not arrive within {self._body_seconds:.0f} s. Send it at once."
            return await _refuse(send, 408, _INVALID_REQUEST, said, (b"connection", b"close"))
        if body is None:
            limit = self._wired.settings.max_body
            return await _refuse(
                send, 413, _INVALID_REQUEST, f"The body is larger than {limit} bytes. Send less at once."
            )
        try:
            message = parse_object(body)
        except NotCanonical as error:
            return await _refuse(send, 400, *_malformed(body, error))
        named = _named(headers, message)
        if (before := self._under_way.get(named)) is not None:
            with suppress(TimeoutError):  # it has been answered, perhaps, and is just ending
                await asyncio.wait_for(before.wait(), _ENDING_SECONDS)
        if named in self._under_way:
            said = "A request of this id is under way in this session. Give each request an id of its own."
            return await _refuse(send, 400, _INVALID_REQUEST, said)
        ended = self._under_way[named] = asyncio.Event()
        try:
            return await self._server(scope, _replay(body, receive), send)
        finally:
            del self._under_way[named]
            ended.set()

    def _welcome(self, headers: dict[bytes, bytes]) -> bool:
        """Whether Host and Origin are ours: a page of another site cannot reach a local gateway."""
        host = _name(headers.get(b"host", b"").decode("latin-1"))
        if not self._open and host not in self._hosts:
            return False
        origin = headers.get(b"origin")
        if origin is None:
            return True
        site = _name(origin.decode("latin-1").partition("://")[2])
        return site in self._hosts or site == host

    def _owner(self, run: str) -> AuthenticatedUser:
        """Return what the SDK compares to bind a session to its run; the token itself stays outside."""
        owner = self._owners.get(run)
        if owner is None:
            if len(self._owners) >= _OWNERS:
                self._owners.clear()
            owner = self._owners[run] = AuthenticatedUser(AccessToken(token="", client_id=run, scopes=[]))
        return owner

    async def _metadata(self, scope: Any, headers: dict[bytes, bytes], send: Any) -> None:
        base = _base(scope, headers)
        body = {
            "resource": f"{base}{self._path}",
            "authorization_servers": [base],
            "bearer_methods_supported": ["header"],
            "resource_name": f"Interlock MCP gateway ({self._wired.settings.environment})",
        }
        await _send_json(send, 200, body)

    async def _unauthorized(
        self, scope: Any, headers: dict[bytes, bytes], send: Any, error: TokenInvalid
    ) -> None:
        metadata = f"{_base(scope, headers)}{METADATA}{self._path}"
        said = error.message.replace('"', "'").encode("ascii", "replace").decode()
        kind = 'error="invalid_token", ' if b"authorization" in headers else ""
        challenge = f'Bearer {kind}error_description="{said}", resource_metadata="{metadata}"'
        await _refuse(
            send,
            401,
            _INVALID_REQUEST,
            f"{error.message} {error.hint}".strip(),
            (b"www-authenticate", challenge.encode("latin-1", "replace")),
        )

    def _watched(self, send: Any, run: str) -> Any:
        """Return a `send` that puts on record that a request was refused, by us or by the protocol."""

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                self._record(message["status"], run)
            await send(message)

        return watched

    def _record(self, status: int, run: str) -> None:
        entry = JournalEntry(
            at=self._wired.runtime.clock.now(),
            kind="request.refused",
            body={"code": _REFUSED.get(status, "rejected"), "status": status},
            run=run,
        )
        self._wired.store.note(entry)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers without surrounding blanks (RFC 9110 5.5); doubled ones are joined, so none wins."""
    headers: dict[bytes, bytes] = {}
    for name, value in raw:
        value = value.strip(b" \t")
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _bearer(headers: dict[bytes, bytes]) -> str:
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenInvalid("This gateway needs a run token.", hint="Start the agent with: interlock run")
    return token.strip()


def _name(authority: str) -> str:
    """Return the host of `host:port` or `[v6]:port`."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition("/")[0].partition(":")[0].lower()


def _base(scope: Any, headers: dict[bytes, bytes]) -> str:
    return f"{scope.get('scheme', 'http')}://{headers.get(b'host', b'').decode('latin-1')}"


def _named(headers: dict[bytes, bytes], message: Mapping[str, Json]) -> object:
    """Return what no second request may be called while this one is under way; ids are the session's own."""
    session, name = headers.get(b"mcp-session-id"), message.get("id")
    if session is None or "method" not in message or not isinstance(name, int | str):
        return object()
    return session, str(name)


async def _read(receive: Any, headers: dict[bytes, bytes], limit: int) -> bytes | None:
    """Return the whole body, or None as soon as it is too large."""
    said = headers.get(b"content-length", b"0")
    if not said.isdigit() or int(said) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(chunks)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Any) -> Any:
    """Return a `receive` that hands on the body once and then what follows it."""
    pending: list[bytes] = [body]

    async def again() -> Any:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return again


def _malformed(body: bytes, error: NotCanonical) -> tuple[int, str]:
    if body.lstrip()[:1] == b"[":
        return _INVALID_REQUEST, "Batches are not served. Send one JSON-RPC message in one body."
    said = str(error)
    return (_PARSE_ERROR if said.startswith("not ") else _INVALID_REQUEST), f"The body is refused: {said}."


async def _refuse(send: Any, status: int, code: int, message: str, *headers: tuple[bytes, bytes]) -> None:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    await _send_json(send, status, body, *headers)


async def _send_json(send: Any, status: int, body: object, *headers: tuple[bytes, bytes]) -> None:
    raw = json.dumps(body).encode()
    sent = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": raw})
