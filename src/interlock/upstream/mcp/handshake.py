"""Beginning a session: the newest protocol that both sides speak, and in a few words why there is none."""

from __future__ import annotations

import asyncio
from typing import cast

from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from interlock.upstream.mcp.http import exchange_failed
from mcp import ClientSession

_PATIENCE = 60.0


async def shake_hands(session: ClientSession, ended: asyncio.Event) -> None:
    """Agree on a protocol, for no longer than it may take and than anybody wants the connection.

    Raises `TimeoutError`, and what the SDK raises for a server that does not speak the protocol.
    """
    shaking = asyncio.ensure_future(_negotiate(session))
    ending = asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait({shaking, ending}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if shaking.done():
            return shaking.result()
        if not ending.done():
            raise TimeoutError
    finally:
        for each in (shaking, ending):
            each.cancel()
        await asyncio.wait({shaking, ending})


def cause(error: BaseException) -> str:
    """Return the innermost cause in a few words, without any text of the server's."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if isinstance(error, MCPError):
        if (failed := exchange_failed(error.error.data, error.error.message)) is not None:
            return f"it {failed.message}"
        return f"it answered the handshake with error {error.error.code}"
    if isinstance(error, TimeoutError):
        return f"it did not answer the handshake within {_PATIENCE:.0f} s"
    if isinstance(error, OSError):
        return f"it cannot be started ({error.strerror or type(error).__name__})"
    return f"the connection failed ({type(error).__name__})"


async def _negotiate(session: ClientSession) -> None:
    """Agree on the modern protocol, else on the newest legacy one."""
    try:
        await session.discover()
    except (MCPError, ValidationError, RuntimeError):
        await session.initialize()
