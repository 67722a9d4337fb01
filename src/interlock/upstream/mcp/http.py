"""A tool server behind streamable HTTP. A failed exchange fails its own call, not the whole connection.

The SDK lets a network error end the session with every call in flight on it. This transport turns such an
error into the JSON-RPC error of the one request it belongs to, and says in it whether anything was sent.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

_CONNECT = 10.0
_KEPT = 3.0
"""Seconds an idle connection is kept: less than servers usually keep it (5), so that none is used that the
server is just closing; a call that is broken off that way would have an unknown outcome."""
_CODE = -32099
_MARK = secrets.token_hex(16)
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class ExchangeFailed(Exception):
    """One HTTP exchange failed: `sent` says whether the request may have reached the server."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.sent = sent


def exchange_failed(data: object, message: str) -> ExchangeFailed | None:
    """Return what a JSON-RPC error that this transport made stands for; None for a server's own."""
    for sent in (True, False):
        if data == {"interlock": _MARK, "sent": sent}:
            return ExchangeFailed(message, sent=sent)
    return None


@asynccontextmanager
async def open_http(url: str, *, headers: Mapping[str, str], limit: int) -> AsyncGenerator[tuple[Any, Any]]:
    """Yield the SDK's message streams to the server at `url`; `limit` caps one answer in bytes."""
    transport = _Careful(httpx2.AsyncHTTPTransport(limits=_LIMITS, retries=0), limit)
    timeout = httpx2.Timeout(None, connect=_CONNECT, pool=_CONNECT)
    async with (
        httpx2.AsyncClient(transport=transport, headers={**headers, **_PLAIN}, timeout=timeout) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=limit) as streams,
    ):
        yield streams


_PLAIN = {"accept-encoding": "identity"}
_LIMITS = httpx2.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=_KEPT)


class _Careful(httpx2.AsyncBaseTransport):
    """Answers for a network error in the server's stead, and stops an answer that is too long."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except _NOT_SENT as error:
            return _failure(request, f"cannot be reached ({type(error).__name__})", sent=False)
        except httpx2.TransportError as error:
            return _failure(request, f"broke off the exchange ({type(error).__name__})", sent=True)
        if response.status_code == 404 and "mcp-session-id" in request.headers and request.method == "POST":
            await response.aclose()
            return _failure(request, "has ended its session", sent=False)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            return _failure(request, "sent an encoded answer that was not asked for", sent=True)
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return await self._read_short(request, response)
        return response

    async def _read_short(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """Read an answer that is not a stream here, where a failure can still be told apart."""
        body = bytearray()
        try:
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            async for chunk in _raw(response.stream):
                body += chunk
                if len(body) > self._limit:
                    return _failure(request, f"answered with more than {self._limit} bytes", sent=True)
        except httpx2.TransportError as error:
            return _failure(request, f"broke off its answer ({type(error).__name__})", sent=True)
        finally:
            await response.aclose()
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx2.ByteStream(bytes(body)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _raw(stream: httpx2.AsyncByteStream) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk


def _failure(request: httpx2.Request, message: str, *, sent: bool) -> httpx2.Response:
    body = {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": _CODE, "message": message, "data": {"interlock": _MARK, "sent": sent}},
    }
    return httpx2.Response(
        502 if sent else 503,
        headers={"content-type": "application/json"},
        content=json.dumps(body).encode(),
        request=request,
    )
