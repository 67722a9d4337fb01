"""Which addresses a webhook may reach: a URL in a manifest must not make Interlock call what it should not.

The address that is connected to is the one that was checked, so a name that resolves differently a moment
later gains nothing. Link-local addresses, where clouds keep their metadata, are never reached; loopback
and private ones only where the operator allows it.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

_TRANSLATED = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


class Unreachable(OSError):
    """The target must not be called; the message says why."""


def check_url(url: str, *, private: bool) -> None:
    """Refuse a URL that must not be called, as far as it says so itself. Raises `Unreachable`."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise Unreachable("a webhook is called over https")
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise Unreachable("the URL names no host, or holds a credential")
    try:
        literal = ip_address(parts.hostname)
    except ValueError:
        return
    _check(str(literal), private=private)


def refusal(address: str, *, private: bool) -> str:
    """Say why an IP address must not be reached, or return an empty text."""
    found = _embedded(ip_address(address.partition("%")[0]))
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return "it is link-local, multicast or unspecified"
    if found.is_global:
        return ""
    if private and (found.is_loopback or (found.is_private and not found.is_reserved)):
        return ""
    return "it is not a public address; INTERLOCK_NOTIFY_PRIVATE allows private ones"


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address if address in _SIX_TO_FOUR else address


def _check(address: str, *, private: bool) -> None:
    said = refusal(address, private=private)
    if said:
        raise Unreachable(f"its address must not be reached: {said}")


class CheckedResolver(AbstractResolver):
    """Resolves a name to the addresses that may be reached. Raises `Unreachable` where there is none."""

    def __init__(self, resolver: AbstractResolver, *, private: bool) -> None:
        self._resolver = resolver
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return only what may be reached."""
        found = await self._resolver.resolve(host, port, family)
        kept = [each for each in found if not refusal(each["host"], private=self._private)]
        if not kept:
            said = refusal(found[0]["host"], private=self._private) if found else "it has no address"
            raise Unreachable(f"its address must not be reached: {said}")
        return kept

    async def close(self) -> None:
        """Close the resolver that is asked."""
        await self._resolver.close()
