"""Unpacking what a provider compressed although it was asked not to, a little at a time (B1).

A few bytes can unpack to gigabytes, so no piece is larger than `PIECE`, and whoever reads may stop. `deflate`
comes with its wrapping and, from some servers, without.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 256 * 1024
"""Bytes that are unpacked at once."""

_WRAPPED, _BARE = 47, -15
_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate"})
_GZIP = b"\x1f\x8b"


class Unpacker:
    """One body that arrives in pieces. Raises `zlib.error` for what is damaged."""

    def __init__(self) -> None:
        self._head = b""
        self._unpack = zlib.decompressobj(wbits=_WRAPPED)
        self._begun = self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what a piece of the body unpacks to."""
        if not self._begun:
            self._head += data
            if len(self._head) < len(_GZIP):
                return
            data, self._head, self._begun = self._head, b"", True
            self._unpack = zlib.decompressobj(wbits=_wrapping(data))
        while True:
            piece = self._unpack.decompress(data, PIECE)
            if piece:
                yield piece
            data = self._unpack.unconsumed_tail
            if self._unpack.eof:
                self._ended, data = True, self._unpack.unused_data
                if not data.startswith(_GZIP):
                    return
                self._unpack, self._ended = zlib.decompressobj(wbits=_WRAPPED), False
            elif not data and len(piece) < PIECE:
                return

    def end(self) -> None:
        """Say that the body has ended, which one that was cut has not."""
        if self._begun and not self._ended:
            raise zlib.error("the body ended early")


def unpacker(coding: bytes) -> Unpacker | None:
    """Return what unpacks a `Content-Encoding`, None for one that is not known here."""
    return Unpacker() if coding.strip().lower() in _CODINGS else None


def _wrapping(data: bytes) -> int:
    """Return how the body is wrapped: as gzip, as zlib, or not at all (RFC 1950, 1952)."""
    zlibbed = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    return _WRAPPED if zlibbed or data.startswith(_GZIP) else _BARE
