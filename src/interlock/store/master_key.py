"""The master key, a file that only its owner can read or a setting, and what is sealed with it (H2)."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from interlock.errors import StoreError
from interlock.settings import Settings


class Seal:
    """Seals private keys, each under the name of its key: another's does not open in its place."""

    def __init__(self, master: bytes) -> None:
        self._cipher = AESGCM(master)

    def closed(self, private: bytes, kid: str) -> str:
        """Return a private key as it is stored."""
        nonce = secrets.token_bytes(12)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, private, kid.encode())).decode()

    def opened(self, sealed: str, kid: str) -> bytes:
        """Return a private key that was stored. Raises `StoreError` when another master key sealed it."""
        raw = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:12], raw[12:], kid.encode())
        except InvalidTag:
            raise StoreError(
                f"The signing key {kid} cannot be opened with this master key.",
                hint="Restore keys/master.key of the data directory, or set INTERLOCK_MASTER_KEY.",
            ) from None


def master_key(settings: Settings, *, made: bool) -> bytes:
    """Return the 32 bytes that seal private keys: the setting, or the data directory's file.

    A file that is not there is `made`, or missed: a new one opens nothing that was sealed before. Raises
    `StoreError` when it is missed or malformed, or when others than its owner can read the file.
    """
    if settings.master_key:
        return _decoded_master(settings.master_key, "INTERLOCK_MASTER_KEY")
    path = settings.data / "keys" / "master.key"
    if not path.exists():
        if not made:
            raise StoreError(
                f"The keys of this database are sealed with a master key that is not at {path}.",
                hint="Set INTERLOCK_DATA to the data directory that it is in, or INTERLOCK_MASTER_KEY.",
            )
        _write_private(path, base64.b64encode(secrets.token_bytes(32)))
    if path.stat().st_mode & 0o077:
        raise StoreError(f"Others can read {path}.", hint=f"chmod 600 {path}")
    return _decoded_master(path.read_text(), str(path))


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _decoded_master(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32:
        raise StoreError(f"{where} does not hold 32 bytes in base64.", hint="openssl rand -base64 32")
    return key
