"""What a process without the API answers beside calls: its health and the key set, with no framework (B1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from interlock import __version__
from interlock.core.model import Json
from interlock.services.check_ready import check_ready
from interlock.wiring import WiredModels

Send = Callable[[Any], Awaitable[None]]
_CACHED = (b"cache-control", b"public, max-age=300")


class Health:
    """The ASGI application of `/healthz`, `/readyz` and the key set; `role` is what this process serves."""

    def __init__(self, wired: WiredModels, *, role: str) -> None:
        self._wired = wired
        self._role = role

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:  # noqa: ARG002
        """Serve one HTTP request."""
        match scope.get("path"):
            case "/healthz":
                await answer(send, 200, {"status": "ok", "version": __version__})
            case "/readyz":
                wired = self._wired
                state = await check_ready(
                    store=wired.store, memory=wired.memory, problem=wired.follow.problem
                )
                await answer(send, 200 if state["ready"] else 503, state)
            case "/.well-known/jwks.json":
                await answer(send, 200, self._wired.keyring.jwks(), _CACHED)
            case _:
                message = f"This process has the role {self._role}, which does not serve this path."
                hint = "Ask the process that has the role for it: control for the API, gateway for calls."
                error: dict[str, Json] = {"code": "not_served_here", "message": message, "hint": hint}
                await answer(send, 404, {"error": error})


async def answer(send: Send, status: int, body: Json, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole answer as JSON."""
    data = msgspec.json.encode(body)
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": data})
