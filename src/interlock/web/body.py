"""Reading a request's JSON body: bounded, typed, and strict about fields nobody asked for."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from starlette.requests import Request

from interlock.errors import UsageError
from interlock.wiring import Wired

T = TypeVar("T")
Reason = Annotated[str, msgspec.Meta(max_length=2000)]
"""Why something is done, where it is kept and told as it is: whoever reads it is spared a book."""


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: str = ""


async def read_raw(request: Request) -> bytes:
    """Return the body as it came. Raises `UsageError` when it is too large."""
    wired: Wired = request.app.state.wired
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > wired.settings.max_body:
            raise UsageError(f"The body is larger than {wired.settings.max_body} bytes.")
    return raw


async def read_body(request: Request, kind: type[T]) -> T:
    """Return the body as `kind`. Raises `UsageError` when it is too large or not that."""
    raw = await read_raw(request)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise UsageError(f"The request body cannot be read: {error}.") from error
