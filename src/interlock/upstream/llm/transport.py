"""The seam to the HTTP client: send a request, read the answer in pieces, close."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from interlock.core.document.provider import Timeouts
from interlock.core.model import value

Headers = tuple[tuple[str, str], ...]
RawHeaders = Sequence[tuple[bytes, bytes]]


@value
class Outgoing:
    """One request to a provider."""

    url: str
    headers: RawHeaders
    body: bytes
    timeouts: Timeouts


class Incoming(Protocol):
    """The answer, whose body comes in pieces."""

    status: int
    headers: RawHeaders

    async def whole(self, most: int) -> bytes:
        """Return the whole body. Raises `OutcomeUnknown` when it breaks off or is larger than `most`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield whatever has arrived, as it arrives. Raises `OutcomeUnknown` when it breaks off."""
        ...

    def close(self) -> None:
        """Give the connection back, or drop it where there is more to come. Twice does no harm."""
        ...


class Transport(Protocol):
    """Sends requests to providers."""

    async def send(self, outgoing: Outgoing) -> Incoming:
        """Send a request and return once status and headers are there.

        Raises `UpstreamUnavailable` when nothing was sent, `OutcomeUnknown` when that is not known.
        """
        ...

    async def close(self) -> None:
        """Drop every connection."""
        ...
