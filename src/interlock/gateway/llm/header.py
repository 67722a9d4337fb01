"""Which headers pass the gateway: all but those of one connection, and everybody's credentials (B1, H2).

They stay the bytes that they came as. What comes from outside and goes into a header of ours is made to fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from interlock.model_call.answer import Told
from interlock.upstream.llm.transport import Headers, RawHeaders

_OURS = b"x-interlock-"
_SHADOW = "shadow:"
_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OF_THE_CALLER = _HOP | {
    b"accept-encoding",
    b"authorization",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
}
_OF_THE_PROVIDER = _HOP | {b"set-cookie"}
_TOLD_AT_THE_END = frozenset(
    b"x-interlock-" + name
    for name in (b"call-id", b"cost-usd", b"budget-scope", b"budget-state", b"budget-used", b"context-tokens")
)
_IN_OUR_NAME = re.compile(rb"((?:\A|[\r\n]):[ \t]*)x-interlock-", re.IGNORECASE)
_PLAIN = (b"accept-encoding", b"identity")


def outward(raw: RawHeaders) -> RawHeaders:
    """Return what of a caller's headers goes to the provider, which is asked not to compress."""
    return [*_passed(raw, _OF_THE_CALLER), _PLAIN]


def inward(headers: RawHeaders, told: Told) -> list[tuple[bytes, bytes]]:
    """Return what of a provider's headers goes to the caller, and what Interlock tells beside them."""
    lowered = [(name.lower(), value) for name, value in headers]
    return _passed(lowered, _OF_THE_PROVIDER) + own(told)


def own(told: Told) -> list[tuple[bytes, bytes]]:
    """Return the headers in which Interlock tells about a call."""
    said = [
        (b"x-interlock-call-id", told.call.encode()),
        *_steady(told.run, told.requested, told.served, told.scope, told.state),
    ]
    if told.cost is not None:
        said.append((b"x-interlock-cost-usd", usd(told.cost)))
    if told.scope:
        said.append((b"x-interlock-budget-used", b"%d.%03d" % divmod(told.used, 1_000)))
    if told.degraded:
        said.append((b"x-interlock-degraded", fitting(";".join(told.degraded))))
        if any(not step.startswith(_SHADOW) for step in told.degraded):
            said.append((b"x-interlock-partial", b"true"))
    if told.context:
        said.append((b"x-interlock-context-tokens", b"%d" % told.context))
    return said


@lru_cache(maxsize=512)
def _steady(run: str, requested: str, served: str, scope: str, state: str) -> RawHeaders:
    """Return what is the same for most calls of a run."""
    said = [(b"x-interlock-run-id", run.encode()), (b"x-interlock-requested-model", fitting(requested))]
    if served:
        said.append((b"x-interlock-served-model", fitting(served)))
    if scope:
        said.append((b"x-interlock-budget-scope", fitting(scope)))
    if state:
        said.append((b"x-interlock-budget-state", state.encode()))
    return said


def comment(told: Told) -> bytes:
    """Return what the head of a stream could not tell yet, as a comment of server-sent events at its end."""
    said = [b": %b: %b\n" % each for each in own(told) if each[0] in _TOLD_AT_THE_END]
    return b"%b\n" % b"".join(said)


def foreign(data: bytes) -> bytes:
    """Return a piece of a provider's stream in which no comment is in our name."""
    if data.startswith(b":") or b"\n:" in data or b"\r:" in data:
        return _IN_OUR_NAME.sub(rb"\1x-provider-", data)
    return data


def usd(nano: int) -> bytes:
    """Return an amount in dollars, exactly."""
    return b"%d.%09d" % divmod(nano, 1_000_000_000)


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI sends them."""
    return [(name.encode("latin-1"), fitting(value)) for name, value in headers]


@lru_cache(maxsize=1_024)
def fitting(value: str) -> bytes:
    """Return a value for a header. What does not fit one, or would end it, is written as `?`."""
    kept = value if value.isprintable() else "".join(each if each.isprintable() else "?" for each in value)
    return kept.encode("latin-1", "replace")


def _passed(headers: RawHeaders, dropped: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the headers whose names are not dropped, not ours, and not of this connection only."""
    kept = [each for each in headers if each[0] not in dropped and not each[0].startswith(_OURS)]
    if b"connection" not in dict(headers):
        return kept
    named = _named(value for name, value in headers if name == b"connection")
    return [each for each in kept if each[0] not in named]


def _named(said: Iterable[bytes]) -> frozenset[bytes]:
    """Return the headers that `Connection` says belong to this connection only (RFC 9110 7.6.1)."""
    return frozenset(each.strip().lower() for value in said for each in value.split(b","))
