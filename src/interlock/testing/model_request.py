"""One request to the scripted model server, read from its socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from interlock.runtime import SystemClock
from interlock.testing.model_reply import Body

CLOCK = SystemClock()


@dataclass(slots=True, kw_only=True)
class Received:
    """One request. Header names are in lower case; `left_at` is the monotonic time at which a client left."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float = field(default_factory=CLOCK.monotonic)
    left_at: float | None = None
    done: bool = False

    @property
    def body(self) -> Body:
        """The decoded body; empty where it is no JSON object."""
        try:
            found = json.loads(self.raw)
        except ValueError:
            return {}
        return cast("Body", found) if isinstance(found, dict) else {}


async def read(reader: asyncio.StreamReader) -> Received | None:
    """Read one request; None when the client has closed."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([piece async for piece in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, path=path, headers=headers, raw=body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
