"""The signing keys of one environment (H2): ES256, sealed at rest, published as a JWKS, rotated gaplessly.

The newest key whose `signs_at` has come signs. A key that was replaced verifies until `retires_at`: the
longest life of a token plus the allowed skew after its successor began to sign. A revoked key verifies
nothing. The master key that seals the private keys is a file that only its owner can read, or a setting.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from interlock.core.model import Json
from interlock.core.token import MAX_LENGTH, MAX_LIFE, SKEW, Refused
from interlock.errors import NotFound, StateConflict, StoreError
from interlock.settings import Settings
from interlock.store.database import Store, Transaction
from interlock.store.schema import signing_keys

ALGORITHM = "ES256"
_HEADER = frozenset({"alg", "typ", "kid"})
RETIRE_AFTER = MAX_LIFE + SKEW


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key of the environment. Times in microseconds; `retires_at` None while it has no successor."""

    kid: str
    public: Mapping[str, Json]
    created_at: int
    signs_at: int
    retires_at: int | None
    revoked_at: int | None
    private: ECKey | None
    verifier: ECKey

    def verifies(self, now: int) -> bool:
        """Whether signatures of this key are believed at `now`."""
        return self.revoked_at is None and (self.retires_at is None or now < self.retires_at)

    def state(self, now: int) -> str:
        """Return what the key does at `now`, in one word."""
        if self.revoked_at is not None:
            return "revoked"
        if not self.verifies(now):
            return "retired"
        if self.signs_at > now:
            return "published"
        return "signs" if self.retires_at is None or now < self.retires_at - RETIRE_AFTER else "verifies"

    def signs(self, now: int) -> bool:
        """Whether this key may sign at `now`."""
        return self.private is not None and self.verifies(now) and self.signs_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The content of a token whose signature holds."""

    kid: str
    claims: Mapping[str, Json]


class Keyring:
    """The environment's keys in memory. Every change is committed first and appears here on commit."""

    def __init__(self, *, environment: str, now: Callable[[], int], seal: AESGCM) -> None:
        self.environment = environment
        self._now = now
        self._seal = seal
        self._keys: dict[str, SigningKey] = {}

    @classmethod
    async def open(cls, store: Store, settings: Settings) -> Keyring:
        """Load the keys of the environment, making the first one on a new store.

        Raises `StoreError` when the master key is missing, readable by others, or not the one that
        sealed the stored keys.
        """
        of_environment = signing_keys.c.environment == settings.environment
        count = sa.select(sa.func.count()).select_from(signing_keys).where(of_environment)
        sealed = await store.read(lambda connection: connection.execute(count).scalar_one())
        seal = AESGCM(master_key(settings, made=not sealed))
        ring = cls(environment=settings.environment, now=store.now, seal=seal)
        await store.transact(ring._load_or_make)
        return ring

    def sign(self, claims: Mapping[str, Json], *, typ: str) -> str:
        """Return `claims` as a compact JWS of type `typ`, signed by the current key."""
        key = self.current()
        header = {"alg": ALGORITHM, "typ": typ, "kid": key.kid}
        return jws.serialize_compact(header, msgspec.json.encode(claims), key.private, [ALGORITHM])

    def verify(self, token: str, *, typ: str) -> Verified | Refused:
        """Return the content of a token of this environment, or why its signature is not believed."""
        header = read_header(token)
        if isinstance(header, Refused):
            return header
        if header.get("typ") != typ:
            return Refused(code="wrong_type", message=f"The token is not of type {typ}.")
        key = self._keys.get(cast("str", header["kid"]))
        if key is None:
            return Refused(
                code="unknown_key", message="The token is signed by a key this environment does not have."
            )
        if key.revoked_at is not None:
            return Refused(code="revoked_key", message="The key that signed the token has been revoked.")
        if not key.verifies(self._now()):
            return Refused(code="retired_key", message="The key that signed the token has been retired.")
        claims = verify_compact(token, key.verifier)
        return claims if isinstance(claims, Refused) else Verified(kid=key.kid, claims=claims)

    def current(self) -> SigningKey:
        """Return the key that signs now. Raises `StoreError` when every key is revoked."""
        now = self._now()
        able = [key for key in self._keys.values() if key.signs(now)]
        if not able:
            raise StoreError(
                "No signing key of this environment is usable.", hint="interlock token rotate-keys"
            )
        return max(able, key=lambda key: (key.signs_at, key.kid))

    def known(self) -> list[SigningKey]:
        """Return all keys known, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.signs_at, key.kid))

    def public_key(self, kid: str) -> Mapping[str, Json] | None:
        """Return the public JWK of a key, retired or not; None if there is no such key."""
        key = self._keys.get(kid)
        return None if key is None else key.public

    def jwks(self) -> dict[str, Json]:
        """Return the JSON Web Key Set that verifiers fetch: every key that verifies now or will."""
        now = self._now()
        return {"keys": [dict(key.public) for key in self.known() if key.verifies(now)]}

    def rotate(self, transaction: Transaction, *, publish_ahead: int) -> str:
        """Make the next key, which signs `publish_ahead` microseconds from now; return its kid.

        The keys before it retire the longest token life plus skew after that. Raises `StateConflict`
        while a key already waits to sign.
        """
        if any(
            key.signs_at > transaction.now and key.verifies(transaction.now) for key in self._keys.values()
        ):
            raise StateConflict(
                "The next key is published already and does not sign yet.",
                hint="Wait until it signs, then rotate again.",
            )
        return self._make(transaction, signs_at=transaction.now + publish_ahead)

    def revoke(self, transaction: Transaction, kid: str) -> None:
        """Stop believing a key at once; if it was the one that signs, a new one signs from now on.

        Raises `NotFound`, or `StateConflict` when it is revoked already.
        """
        key = self._keys.get(kid)
        if key is None:
            raise NotFound(f"There is no signing key {kid!r}.", hint="See /.well-known/jwks.json")
        if key.revoked_at is not None:
            raise StateConflict(f"The key {kid} is revoked already.")
        now = transaction.now
        transaction.execute(sa.update(signing_keys).where(signing_keys.c.kid == kid).values(revoked_at=now))
        if not any(other.kid != kid and other.signs(now) for other in self._keys.values()):
            self._make(transaction, signs_at=now)
        self._refresh_on_commit(transaction)

    def _load_or_make(self, transaction: Transaction) -> None:
        self._keys = self._read(transaction.connection)
        if not any(key.verifies(transaction.now) for key in self._keys.values()):
            self._make(transaction, signs_at=transaction.now)

    def _make(self, transaction: Transaction, *, signs_at: int) -> str:
        private = ECKey.generate_key("P-256", private=True)
        kid = f"{self.environment}-{transaction.ids.new('key')}"
        public = {**private.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
        transaction.execute(
            sa.update(signing_keys)
            .where(signing_keys.c.environment == self.environment, signing_keys.c.retires_at.is_(None))
            .values(retires_at=signs_at + RETIRE_AFTER)
        )
        transaction.execute(
            sa.insert(signing_keys).values(
                kid=kid,
                environment=self.environment,
                public_jwk=msgspec.json.encode(public).decode(),
                private_enc=self._sealed(private.as_der(private=True), kid),
                created_at=transaction.now,
                signs_at=signs_at,
            )
        )
        transaction.audit("key.created", body={"kid": kid, "signs_at": signs_at})
        self._refresh_on_commit(transaction)
        return kid

    def _refresh_on_commit(self, transaction: Transaction) -> None:
        """Read the keys as this transaction leaves them, and use them once it is committed."""
        keys = self._read(transaction.connection)
        transaction.on_commit(lambda: self._replace(keys))

    def _replace(self, keys: dict[str, SigningKey]) -> None:
        self._keys = keys

    def _read(self, connection: sa.Connection) -> dict[str, SigningKey]:
        rows = connection.execute(
            sa.select(signing_keys).where(signing_keys.c.environment == self.environment)
        )
        return {row["kid"]: self._key(row) for row in rows.mappings()}

    def _key(self, row: sa.RowMapping) -> SigningKey:
        public = msgspec.json.decode(row["public_jwk"], type=dict[str, str | list[str]])
        return SigningKey(
            kid=row["kid"],
            public=public,
            created_at=row["created_at"],
            signs_at=row["signs_at"],
            retires_at=row["retires_at"],
            revoked_at=row["revoked_at"],
            private=ECKey.import_key(self._opened(row["private_enc"], row["kid"])),
            verifier=ECKey.import_key({**public}),
        )

    def _sealed(self, private: bytes, kid: str) -> str:
        nonce = secrets.token_bytes(12)
        return base64.b64encode(nonce + self._seal.encrypt(nonce, private, kid.encode())).decode()

    def _opened(self, sealed: str, kid: str) -> bytes:
        raw = base64.b64decode(sealed)
        try:
            return self._seal.decrypt(raw[:12], raw[12:], kid.encode())
        except InvalidTag:
            raise StoreError(
                f"The signing key {kid} cannot be opened with this master key.",
                hint="Restore keys/master.key of the data directory, or set INTERLOCK_MASTER_KEY.",
            ) from None


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


def _unpadded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
