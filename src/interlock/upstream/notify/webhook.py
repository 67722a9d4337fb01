"""A notice as a signed HTTP POST: HMAC-SHA256 over a timestamp and the exact body, no redirects, no secrets.

The receiver computes the same over `timestamp + "." + body`, compares in constant time, and refuses what is
older than its replay window. A repetition carries the same delivery id and a timestamp of its own.
"""

from __future__ import annotations

import hmac

import aiohttp
from aiohttp.resolver import DefaultResolver

from interlock.upstream.notify.message import Ending, Message, NotTaken, Sent
from interlock.upstream.notify.reach import CheckedResolver, Unreachable, check_url

TIMESTAMP, SIGNATURE, DELIVERY = "x-interlock-timestamp", "x-interlock-signature", "x-interlock-delivery"
REPLAY_WINDOW = 300
"""Seconds after which a receiver should refuse a timestamp."""

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
_AGAIN = frozenset({408, 425, 429})


def sign(key: bytes, timestamp: int, body: bytes) -> str:
    """Return the signature of a body sent at `timestamp` (Unix seconds)."""
    return "v1=" + hmac.new(key, f"{timestamp}.".encode() + body, "sha256").hexdigest()


async def post(message: Message, *, key: bytes, timestamp: int, private: bool) -> Ending:
    """Send a notice to a webhook. Never raises for what the receiver does; what it answers is not kept."""
    headers = {
        "content-type": "application/json",
        TIMESTAMP: str(timestamp),
        SIGNATURE: sign(key, timestamp, message.body),
        DELIVERY: message.delivery,
        "idempotency-key": message.delivery,
    }
    try:
        check_url(message.target, private=private)
        async with (
            _session(private=private) as session,
            session.post(message.target, data=message.body, headers=headers, allow_redirects=False) as answer,
        ):
            return _ending(answer.status)
    except Unreachable as refused:
        return NotTaken(detail=f"not called: {refused}", final=True)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return _failed(error)


def _session(*, private: bool) -> aiohttp.ClientSession:
    resolver = CheckedResolver(DefaultResolver(), private=private)
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    return aiohttp.ClientSession(
        connector=connector, timeout=_TIMEOUT, trust_env=False, auto_decompress=False
    )


def _ending(status: int) -> Ending:
    if 200 <= status < 300:
        return Sent(detail=f"HTTP {status}")
    if 300 <= status < 400:
        return NotTaken(detail=f"HTTP {status}: redirects are not followed", final=True)
    return NotTaken(detail=f"HTTP {status}", final=status < 500 and status not in _AGAIN)


def _failed(error: Exception) -> NotTaken:
    """Say what kind of failure it was: the error's own text may hold the URL, which may hold a secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Unreachable):
            return NotTaken(detail=f"not called: {cause}", final=True)
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    return NotTaken(detail=f"not reached: {type(error).__name__}")
