"""Compact JWS: which headers may be believed, and whether a signature holds (H2)."""

from __future__ import annotations

import base64
import binascii

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from interlock.core.model import Json
from interlock.core.token import MAX_LENGTH, Refused

ALGORITHM = "ES256"
_HEADER = frozenset({"alg", "typ", "kid"})


def read_header(token: str, *, needs_kid: bool = True) -> dict[str, Json] | Refused:
    """Return the header of a compact JWS if it is one that may be believed: ES256, a kid, and nothing else.

    A header cannot bring its own key (`jwk`, `jku`, `x5u`), choose another algorithm or add extensions.
    """
    if len(token) > MAX_LENGTH:
        return Refused(code="oversized", message=f"The token is longer than {MAX_LENGTH} characters.")
    parts = token.split(".")
    if len(parts) != 3:
        return Refused(code="malformed", message="The credential is not a signed token.")
    try:
        header = msgspec.json.decode(_unpadded(parts[0]), type=dict[str, Json])
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return Refused(code="malformed", message="The token's header cannot be read.")
    if header.get("alg") != ALGORITHM:
        return Refused(code="wrong_algorithm", message=f"Only tokens signed with {ALGORITHM} are believed.")
    named = isinstance(header.get("kid"), str) or (not needs_kid and "kid" not in header)
    if not named or not header.keys() <= _HEADER:
        return Refused(
            code="wrong_header", message="The token's header must hold alg, typ and kid, and no more."
        )
    return header


def payload_of(token: str) -> dict[str, Json]:
    """Return what a compact JWS claims, unverified, to find the key to verify it by; {} if unreadable."""
    parts = token.split(".")
    try:
        return msgspec.json.decode(_unpadded(parts[1]), type=dict[str, Json]) if len(parts) == 3 else {}
    except (ValueError, binascii.Error, msgspec.DecodeError):
        return {}


def verify_compact(token: str, key: ECKey) -> dict[str, Json] | Refused:
    """Return the claims of a compact JWS that `key` signed, or why not."""
    try:
        opened = jws.deserialize_compact(token, key, [ALGORITHM])
        return msgspec.json.decode(opened.payload or b"", type=dict[str, Json])
    except (JoseError, ValueError, binascii.Error, msgspec.DecodeError):
        return Refused(code="bad_signature", message="The token's signature does not verify.")


def _unpadded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
