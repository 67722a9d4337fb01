"""Which headers pass the gateway: all but those of one connection, and everybody's credentials (B1, H2)."""

from __future__ import annotations

from collections.abc import Iterable

from interlock.model_answer import Told
from interlock.upstream.llm.transport import RawHeaders

Headers = Iterable[tuple[str, str]]
_PREFIX = "x-interlock-"
_SHADOW = "shadow:"
_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OF_THE_CALLER = _HOP | {
    "accept-encoding",
    "authorization",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
}
_OF_THE_PROVIDER = frozenset(name.encode() for name in (*_HOP, "set-cookie"))
_OURS = _PREFIX.encode()
_PLAIN = ("accept-encoding", "identity")


def outward(raw: RawHeaders) -> Headers:
    """Return what of a caller's headers goes to the provider, which is asked not to compress."""
    pairs = _decoded(raw)
    dropped = _OF_THE_CALLER | _named(pairs)
    kept = [each for each in pairs if each[0] not in dropped and not each[0].startswith(_PREFIX)]
    return (*kept, _PLAIN)


def inward(headers: RawHeaders, told: Told) -> list[tuple[bytes, bytes]]:
    """Return what of a provider's headers goes to the caller, and what Interlock tells beside them."""
    lowered = [(name.lower(), value) for name, value in headers]
    kept = [each for each in lowered if each[0] not in _OF_THE_PROVIDER and not each[0].startswith(_OURS)]
    if any(name == b"connection" for name, _ in lowered):
        named = {each.encode("latin-1") for each in _named(_decoded(lowered))}
        kept = [each for each in kept if each[0] not in named]
    return kept + encoded(own(told))


def own(told: Told) -> Headers:
    """Return the headers in which Interlock tells about a call."""
    said = {
        "call-id": told.call,
        "run-id": told.run,
        "requested-model": told.requested,
        "served-model": told.served,
        "cost-usd": "" if told.cost is None else usd(told.cost),
        "budget-scope": told.scope,
        "budget-state": told.state,
        "budget-used": f"{told.used / 1_000:.3f}" if told.scope else "",
        "degraded": ";".join(told.degraded),
        "partial": "true" if any(not step.startswith(_SHADOW) for step in told.degraded) else "",
        "context-tokens": str(told.context) if told.context else "",
    }
    return tuple((_PREFIX + name, value) for name, value in said.items() if value)


def usd(nano: int) -> str:
    """Return an amount in dollars, exactly."""
    whole, part = divmod(nano, 1_000_000_000)
    return f"{whole}.{part:09d}"


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI sends them. What does not fit a header, or would end it, is written as `?`."""
    return [(name.encode("latin-1"), _fitting(value).encode("latin-1", "replace")) for name, value in headers]


def _fitting(value: str) -> str:
    return value if value.isprintable() else "".join(each if each.isprintable() else "?" for each in value)


def _decoded(raw: RawHeaders) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]


def _named(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the headers that `Connection` says belong to this connection only (RFC 9110 7.6.1)."""
    said = [value for name, value in pairs if name == "connection"]
    return frozenset(each.strip().lower() for value in said for each in value.split(","))
